"""Copies of files with masked personal data. A copy has the form of its file: the same encoding,
line ends, columns, quotes and JSON, and the same bytes wherever nothing is masked.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from xinye.data.encodings import detect_encoding, open_as
from xinye.data.files import PLAIN_SUFFIXES, check_file, suffix_of, written_beside
from xinye.data.masking import Masker, in_context
from xinye.data.personal import Tagger
from xinye.data.tables import headerless, table_form
from xinye.errors import XinyeError

LINES = (".jsonl", ".ndjson")
TABLES = (".csv", ".tsv")
MASKABLE = (*PLAIN_SUFFIXES, *LINES, ".json", *TABLES)
# A string of JSON and the colon behind it if it is a key, or a number
_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*+")(\s*+:)?|(?<![\w.+-])-?\d{9,19}(?![\w.])', re.DOTALL)
_VALUE = re.compile(r"[\s,\ufeff]*")  # what may stand before a JSON value


@dataclass
class Masked:
    """What was masked in a file: values by kind, and the records (lines of a text, rows of a table)
    that had any. `numbers` counts JSON numbers that look like personal data, by the name of their
    field; they stay, because a mark is a text.
    """

    output: str
    records: int = 0
    masked_records: int = 0
    values: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)


class _Copy:
    """One copy on its way. Marks begin at 1 in each record, which is a conversation or a text;
    the lines of a plain text are one conversation.
    """

    def __init__(self, output: Path, fields: Sequence[str], tagger: Tagger | None) -> None:
        self.result = Masked(str(output))
        self.fields, self.tagger = {*fields}, tagger
        self.seen: set[str] = set()  # names of columns or keys
        self.masker = Masker(tagger=tagger)

    def begin(self) -> None:
        """Begin a record with marks from 1."""
        self.masker = Masker(self.masker.key, tagger=self.tagger)

    def text(self, text: str, name: str) -> str:
        """A text of the field with this name, masked."""
        self.seen.add(name)
        if self.fields and name not in self.fields:
            return text
        return self.masker.mask(text, name)

    def end(self, before: str, after: str) -> str:
        """The record, counted."""
        self.result.records += 1
        self.result.masked_records += before != after
        self.result.values += self.masker.counts
        self.masker.counts.clear()
        return after

    def json(self, text: str) -> str:
        """JSON with masked strings. Keys, and all that is between strings, stay as they are."""
        name = ""

        def token(found: re.Match[str]) -> str:
            nonlocal name
            literal, is_key = found[1], found[2]
            if literal is None:
                if in_context(found[0], name):
                    self.result.numbers[name] += 1
                return found[0]
            value = json.loads(literal, strict=False)
            if is_key:
                name = value
                return found[0]
            masked = self.text(value, name)
            if masked == value:
                return found[0]
            return json.dumps(masked, ensure_ascii="\\u" in literal)

        return _TOKEN.sub(token, text)


def mask_file(
    path: Path, output: Path, fields: Sequence[str] = (), tagger: Tagger | None = None
) -> Masked:
    """Write a copy of a file with masked personal data, and return what was masked.

    All texts are masked, or only those of some `fields`: columns of a table, or keys of JSON at any
    depth. Replaces an existing file. Raises `XinyeError` for a file of another kind, for a damaged
    one with its line, and if no record has one of the fields; then no file is written.
    """
    check_file(path)
    suffix = suffix_of(path)
    if suffix not in MASKABLE:
        raise XinyeError(
            f"{path}: data mask reads {' '.join(MASKABLE)}; save the file as one of these first"
        )
    if fields and suffix in PLAIN_SUFFIXES:
        raise XinyeError(f"{path}: plain text has no fields; leave out --field")
    if output.exists() and output.samefile(path):
        raise XinyeError(f"{output}: this is the file itself; choose another name with -o")
    copy = _Copy(output, fields, tagger)
    encoding = detect_encoding(path)
    output.parent.mkdir(parents=True, exist_ok=True)
    with open_as(path, encoding, newline="") as file, written_beside(output) as beside:
        with beside.open("w", encoding=encoding, newline="", errors="strict") as written:
            if suffix in TABLES:
                parts = _table(path, file, copy)
            elif suffix in PLAIN_SUFFIXES:
                parts = (copy.end(line, copy.text(line, "")) for line in file)
            else:
                parts = _json(path, file, copy, by_line=suffix in LINES)
            for part in parts:
                written.write(part)
        if missing := sorted(copy.fields - copy.seen):
            there = ", ".join(sorted(filter(None, copy.seen)))
            raise XinyeError(f"{path}: no field {missing[0]!r} (--field); it has: {there}")
    return copy.result


def _json(path: Path, file: TextIO, copy: _Copy, by_line: bool) -> Iterator[str]:
    """The masked records of a JSON file. One that holds a single value is read as a whole."""
    if not by_line:
        text = file.read()
        try:
            json.loads(text)
        except (ValueError, RecursionError):  # several values, one on each line
            file.seek(0)
        else:
            yield from _values(text, copy)
            return
    for number, line in enumerate(file, 1):
        if line.isspace():
            yield line
            continue
        try:
            json.loads(line)
        except (ValueError, RecursionError) as error:
            problem = getattr(error, "msg", error)
            raise XinyeError(f"{path}, line {number}: not valid JSON ({problem})") from None
        copy.begin()
        yield copy.end(line, copy.json(line))


def _values(text: str, copy: _Copy) -> Iterator[str]:
    """A valid JSON text with masked strings. The items of an array are records."""
    start = _VALUE.match(text).end()  # type: ignore[union-attr]  # it matches any text
    if text[start : start + 1] != "[":
        yield copy.end(text, copy.json(text))
        return
    decoder, position = json.JSONDecoder(), start + 1
    yield text[:position]
    while True:
        begin = _VALUE.match(text, position).end()  # type: ignore[union-attr]
        yield text[position:begin]
        if text[begin] == "]":
            yield text[begin:]
            return
        _, position = decoder.raw_decode(text, begin)
        copy.begin()
        yield copy.end(text[begin:position], copy.json(text[begin:position]))


def _table(path: Path, file: TextIO, copy: _Copy) -> Iterator[str]:
    """The masked rows of a table. A row without personal data stays as it is written."""
    form = table_form(path, file)
    lines: list[str] = []  # those of the row that is being read

    def noted() -> Iterator[str]:
        for line in file:
            lines.append(line)
            yield line

    rows = form.rows(noted())
    numbered = bool(headerless(path))
    header: list[str] = []
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise XinyeError(f"{path}, line {rows.line_num}: not a valid row ({error})") from None
        written = "".join(lines)
        lines.clear()
        if row is None:
            yield written
            return
        if not numbered and (not header or len(header) < 2 <= len(row)):
            header = row  # a row of one cell above it was a title
            yield written
            continue
        copy.begin()
        names = header if len(header) == len(row) else [str(at + 1) for at in range(len(row))]
        masked = [copy.text(cell, name) for cell, name in zip(row, names, strict=True)]
        after = written if masked == row else form.with_cells(written, row, masked)
        yield copy.end(written, after)
