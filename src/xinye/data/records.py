"""Records out of tables and JSON, each with its line, in bounded memory.

A record that cannot be read is given to `on_bad` (file, line, what is wrong), and reading goes on
behind it.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from xinye.data.encodings import open_text
from xinye.data.files import (
    ACCEPTED,
    PLAIN_SUFFIXES,
    suffix_of,
)
from xinye.data.notes import Notes, without_unseen
from xinye.errors import XinyeError, not_unicode

Row = dict[str, Any]  # a record as it stands in a file: any JSON object

HEAD_ROWS = 1000  # rows looked at to see whether the first is a header
DELIMITER_LINES = 100  # lines looked at to see what stands between the columns
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}  # that are tried, the usual one first
LONGEST_NAME = 64  # characters of a column's name
JSON_BLOCK = 1 << 16  # characters; for each error the decoder counts the lines of its block
MOST_OPEN_QUOTES = 100  # each has the rest of the file read once more
LONGEST_CELL = 1 << 26  # characters; without a limit an open quote takes the rest of the file
_QUOTES = (
    f"more than {MOST_OPEN_QUOTES} quotes are never closed; the rest is not read. "
    'Write a quote within a cell as ""'
)
_VALUE = re.compile(r"[^\s,]")  # the first character of a value of JSON
# how JSON writes half of a character; mostly the other follows
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """An object of JSON. Raises `ValueError` where a key has two values: one would vanish."""
    row = dict(pairs)
    if len(row) < len(pairs):
        for name, value in pairs:
            if row[name] != value:
                raise ValueError(f"the key {name!r} has two values")
    return row


_decoder = json.JSONDecoder(object_pairs_hook=_object)

OnBad = Callable[[Path, int, str], None]
Records = Iterator[tuple[int, Any]]  # each with its line, in Parquet its number


def refuse(path: Path, line: int, problem: str) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise XinyeError(f"{path}, line {line}: {problem}") from None


def read_records(
    path: Path,
    on_bad: OnBad = refuse,
    named: Sequence[str] = (),
    tabbed: bool = False,
    notes: Notes | None = None,
) -> Records:
    """The records of a table or a JSON file: rows are dictionaries by the header's names, or where
    there is none (see `headerless`) by "1", "2" … With `tabbed` plain text is read as a table, too.
    In `notes` stands what was left out, or read otherwise than the file's name says.
    """
    suffix = suffix_of(path)
    if _is_table(path, tabbed):
        return _table_records(path, on_bad, named, notes or Notes())
    if suffix == ".json":
        return _json_records(path, on_bad)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(path, on_bad)
    archive = "unpack it first; " if suffix in (".zip", ".rar", ".7z", ".tar") else ""
    raise XinyeError(f"{path}: {archive}files of this kind cannot be read; {ACCEPTED}")


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a plain-text file with their numbers, without their ends."""
    with open_text(path) as file:
        yield from enumerate((line.removesuffix("\n") for line in file), 1)


# -- tables ----------------------------------------------------------------------------------------


def headerless(path: Path, named: Sequence[str] = (), tabbed: bool = False) -> str:
    """Why the first line of a table is a record, and not its header; "" where it is one.

    Columns that a person has `named` decide: by words of the first line it is a header, by their
    numbers it is none. Else it is a record where a cell of it is a number, stands in its column
    again, or is too long for a name.
    """
    if not _is_table(path, tabbed):
        return ""
    with open_text(path) as file:
        return _headerless(_row_reader(path, _delimiter(path, file), file)(file), named)


def _headerless(table: Iterator[list[str]], named: Sequence[str]) -> str:
    rows: list[list[str]] = []
    with suppress(csv.Error):  # up to a row that is damaged
        rows.extend(filter(None, islice(table, HEAD_ROWS)))
    if not rows or set(named) & set(rows[0]):
        return ""
    first = rows[0]
    # without the header again
    header = _Header(first)
    others = [row for row in rows if header.names_in(row) != header.names]
    if named and all(name.isdecimal() and 0 < int(name) <= len(first) for name in named):
        return "its columns are named by number"
    for number, cell in enumerate(first):
        if _NUMBER.fullmatch(cell.strip()):
            return f"{cell.strip()!r} in it is a number"
        if cell.strip() and any(len(row) == len(first) and row[number] == cell for row in others):
            return f"{cell[:20]!r} stands in its column again"
        if len(cell) > LONGEST_NAME or "。" in cell:
            return f"{cell[:20] + '…'!r} is a text"
    return ""


def _is_table(path: Path, tabbed: bool) -> bool:
    suffix = suffix_of(path)
    return suffix in (".csv", ".tsv") or (tabbed and suffix in PLAIN_SUFFIXES)


def _names(row: Sequence[str]) -> list[str]:
    """A row's cells as names of columns are compared: files that were joined begin with a BOM."""
    return [without_unseen(cell).casefold() for cell in row]


class _Header:
    """The names of a header, to find it again further down."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.names = _names(cells)
        self.longest = max(map(len, cells)) + 2  # characters of a cell, with a BOM and a space

    def names_in(self, row: Sequence[str]) -> list[str]:
        """The names in a row that could be the header; texts, which take long to compare, have
        none."""
        alike = len(row) == len(self.names) and max(map(len, row)) <= self.longest
        return _names(row) if alike else []


def _check_header(path: Path, line: int, header: Sequence[str]) -> None:
    """Raises `XinyeError` where two columns have one name: the first would vanish."""
    for name, count in Counter(map(without_unseen, header)).items():
        if name and count > 1:
            raise XinyeError(
                f"{path}, line {line}: {count} columns are called {name!r}; give each its own name"
            )


def _delimiter(path: Path, file: TextIO) -> str:
    """What stands between the columns: what is usual for the file's name, except where its first
    line is then one column, and something else parts all rows into the same number of columns.
    """
    csv.field_size_limit(LONGEST_CELL)
    usual, *others = list(DELIMITERS.get(suffix_of(path), "\t"))
    lines = list(islice(file, DELIMITER_LINES))
    file.seek(0)
    if _widths(lines[:1], usual) - {1}:
        return usual
    for delimiter in others:
        widths = _widths(lines, delimiter)
        if len(lines) > 1 and len(widths) == 1 and widths != {1}:
            return delimiter
    return usual


def _widths(lines: Sequence[str], delimiter: str) -> set[int]:
    """How many columns the rows of some lines have."""
    try:
        return {len(row) for row in csv.reader(lines, delimiter=delimiter) if row}
    except csv.Error:
        return set()


def _row_reader(path: Path, delimiter: str, file: TextIO) -> Callable[[Iterable[str]], Any]:
    """`csv.reader` for the rows of this table. With tabs programs disagree whether quotes mean
    anything, and the file itself tells. Strict: a stray quote would swallow the rows after it in
    silence.
    """
    if delimiter != "\t":
        return partial(csv.reader, delimiter=delimiter, strict=True)
    quoted = partial(csv.reader, delimiter="\t", strict=True)
    try:
        even = len({len(row) for row in quoted(file) if row}) == 1
    except csv.Error:
        even = False
    file.seek(0)
    return quoted if even else partial(quoted, quoting=csv.QUOTE_NONE)


def _table_records(path: Path, on_bad: OnBad, named: Sequence[str], notes: Notes) -> Records:
    """The rows of a table as dictionaries. Behind a quote that is never closed it goes on at the
    next line.
    """
    with open_text(path) as file:
        delimiter = _delimiter(path, file)
        if delimiter not in DELIMITERS.get(suffix_of(path), "\t")[0]:
            notes.add(str(path), f"the columns are parted by {delimiter!r}, unlike the file's name")
        read_rows = _row_reader(path, delimiter, file)
        numbered = _headerless(read_rows(file), named)
        file.seek(0)
        rows = read_rows(file)
        header: list[str] = []
        written: _Header | None = None  # where it stands in the file
        open_quotes = 0
        skipped = 0  # lines before those that `rows` has counted
        line = 1  # that the row begins in
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                row = []
                on_bad(path, line, f"not a valid row ({error})")
                if re.search("unexpected end|field limit", str(error)):
                    open_quotes += 1
                    if open_quotes > MOST_OPEN_QUOTES:
                        on_bad(path, line, _QUOTES)
                        return
                    file.seek(0)
                    rows = read_rows(islice(file, line, None))
                    skipped = line
            if row is None:
                return
            if row and not header and numbered:
                header = [str(number) for number in range(1, len(row) + 1)]
            elif row and not header:
                _check_header(path, line, row)
                header, row = row, []
                written = _Header(header)
            again = written.names_in(row) if written else []
            if written and again == written.names:
                notes.add(f"{path}, line {line}", "the header stands again, and is left out")
            elif written and sorted(again) == sorted(written.names):
                problem = "the header again, with its columns in another order; split the file here"
                on_bad(path, line, problem)
            elif row and (problem := _uneven(path, row, header, bool(numbered))):
                on_bad(path, line, problem)
            elif row:
                yield line, dict(zip(header, row, strict=True))
            line = skipped + rows.line_num + 1


def _uneven(path: Path, row: Sequence[str], header: Sequence[str], numbered: bool) -> str:
    """Why a row has too few or too many columns; "" where it has as many as the others."""
    if len(row) == len(header):
        return ""
    comma = suffix_of(path) == ".csv"
    return (
        f"{len(row)} column{'s' * (len(row) != 1)}, the "
        f"{'first' if numbered else 'header'} line has {len(header)}; "
        f"{'quote text that holds the delimiter' if comma else 'a tab parts them'}"
    )


# -- JSON ------------------------------------------------------------------------------------------


def _json_lines(path: Path, on_bad: OnBad) -> Records:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                record = _decoder.decode(line)
            except (ValueError, RecursionError) as error:
                problem = str(getattr(error, "msg", error)).removesuffix(" at")
                column = getattr(error, "colno", None)
                where = f" at column {column}" if column else ""
                on_bad(path, number, f"not valid JSON ({problem}{where})")
                continue
            if _HALF.search(line) and (reason := not_unicode(record)):
                on_bad(path, number, f"{reason}; mend it, or delete it")
            else:
                yield number, record


@dataclass
class _JsonText:
    """A JSON file, of which a stretch is held: `position` is in it, `line` is that of the position,
    and `indent` stands before the last value that began a line.
    """

    file: TextIO
    text: str = ""
    position: int = 0
    line: int = 1
    indent: str = ""

    def go(self, to: int) -> None:
        self.line += self.text.count("\n", self.position, to)
        self.position = to

    def read_on(self, size: int = 0) -> bool:
        """Let go what lies before the position and read more; False at the end of the file."""
        more = self.file.read(max(JSON_BLOCK, size))
        if more:
            self.text = self.text[self.position :] + more
            self.position = 0
        return bool(more)

    def next(self) -> str:
        """Go on to the next value; its first character, or "" at the end of the file."""
        gap = ""
        while not (found := _VALUE.search(self.text, self.position)):
            gap += self.text[self.position :]
            self.go(len(self.text))
            if not self.read_on():
                return ""
        gap += self.text[self.position : found.start()]
        if "\n" in gap:
            self.indent = gap.rpartition("\n")[2]
        self.go(found.start())
        return found[0]

    def record(self) -> tuple[Any, str]:
        """The value at the position, which then is behind it, and why it is no Unicode text, ""
        where it is.

        Raises what the decoder raises, with the position where it is wrong.
        """
        while True:
            try:
                value, end = _decoder.raw_decode(self.text, self.position)
            except (ValueError, RecursionError) as error:
                at = max(self.position, getattr(error, "pos", 0))
                # Perhaps the block ended inside the record: read as much again as stands here, and
                # try anew.
                cut_off = at > len(self.text) - 16 or str(error).startswith("Unterminated")
                if cut_off and self.read_on(len(self.text) - self.position):
                    continue
                self.go(at)
                raise
            half = _HALF.search(self.text, self.position, end)
            self.go(end)
            return value, not_unicode(value) if half else ""

    def find(self, words: str) -> bool:
        """Go on to the next place of these words; False where there is none."""
        while (at := self.text.find(words, self.position)) < 0:
            self.go(max(self.position, len(self.text) - len(words)))
            if not self.read_on():
                return False
        self.go(at)
        return True


def _json_records(path: Path, on_bad: OnBad) -> Records:
    """The records of a .json file, an array or one after the other, each decoded as soon as it has
    been read.

    Behind a bad record it goes on at the next line that begins as that record did, indented like
    it.
    """
    with open_text(path) as file:
        json_text = _JsonText(file)
        in_array = json_text.next() == "["
        json_text.position += in_array
        while (first := json_text.next()) and not (in_array and first == "]"):
            line = json_text.line
            try:
                record, problem = json_text.record()
            except (ValueError, RecursionError) as error:
                on_bad(path, json_text.line, f"not valid JSON ({getattr(error, 'msg', error)})")
                begin = first if first in "{[" else "{"
                if not json_text.find(f"\n{json_text.indent}{begin}"):
                    return
                continue
            if problem:
                on_bad(path, line, f"{problem}; mend it, or delete it")
            else:
                yield line, record
        if in_array and not first:
            on_bad(path, json_text.line, "the file ends inside its array; fetch it again")
        elif (json_text.text[json_text.position + 1 :] + file.read(JSON_BLOCK)).strip():
            problem = "more follows the array; name a file of lines .jsonl"
            on_bad(path, json_text.line, problem)
