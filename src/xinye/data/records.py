"""Records out of tables, JSON and Parquet, each with its line, in bounded memory; and which column
holds the text.

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
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

from xinye.data.encodings import open_text
from xinye.data.files import (
    ACCEPTED,
    PLAIN_SUFFIXES,
    check_libraries,
    check_regular,
    suffix_of,
)
from xinye.errors import XinyeError, not_unicode

Row = dict[str, Any]  # a record as it stands in a file: any JSON object

HEAD_RECORDS = 100  # records looked at to find the column of text
HEAD_ROWS = 1000  # rows looked at to see whether the first is a header
LONGEST_NAME = 64  # characters of a column's name
JSON_BLOCK = 1 << 16  # characters; for each error the decoder counts the lines of its block
MOST_OPEN_QUOTES = 100  # each has the rest of the file read once more
LONGEST_CELL = 1 << 26  # characters; without a limit an open quote takes the rest of the file
FIELD_NAMES = (
    "text", "content", "paragraphs", "body", "story", "review", "document", "article", "sentence",
    "正文", "内容", "文本", "段落", "文章", "评论",
)  # fmt: skip
_QUOTES = (
    f"more than {MOST_OPEN_QUOTES} quotes are never closed; the rest is not read. "
    'Write a quote within a cell as ""'
)
_VALUE = re.compile(r"[^\s,]")  # the first character of a value of JSON
# how JSON writes half of a character; mostly the other follows
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")

_decode = json.JSONDecoder().raw_decode

OnBad = Callable[[Path, int, str], None]
Records = Iterator[tuple[int, Any]]  # each with its line, in Parquet its number


def refuse(path: Path, line: int, problem: str) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise XinyeError(f"{path}, line {line}: {problem}") from None


def read_records(
    path: Path, on_bad: OnBad = refuse, named: Sequence[str] = (), tabbed: bool = False
) -> Records:
    """The records of a table or a JSON file: rows are dictionaries by the header's names, or where
    there is none (see `headerless`) by "1", "2" … With `tabbed` plain text is read as a table, too.
    """
    suffix = suffix_of(path)
    if _is_table(path, tabbed):
        return _table_records(path, on_bad, named)
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


# -- the column of text ----------------------------------------------------------------------------


def as_text(value: object) -> str | None:
    """A text, or a list of lines, as one text; None for what is neither."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return None


def find_column(columns: Iterable[str], usual: Iterable[str]) -> str | None:
    """The column that has one of these `usual` names, in whatever case and with whatever spaces
    around it; None where none has. The names that come first are looked for first.

    >>> find_column(["id", " Review "], ["text", "review"])
    ' Review '
    """
    by_name = {str(column).strip().lower(): column for column in reversed([*columns])}
    return next((by_name[name] for name in usual if name in by_name), None)


def choose_field(path: Path, rows: Sequence[Row]) -> str:
    """The column of text: by name, or the only one that holds words, or the one that holds at least
    twice as many.
    """
    columns = list(dict.fromkeys(chain.from_iterable(rows)))
    if (name := find_column(columns, FIELD_NAMES)) is not None:
        return name
    lengths: Counter[str] = Counter()
    nested = set()
    for column, value in ((column, row.get(column)) for column in columns for row in rows):
        text = as_text(value)
        inner = value[0] if text is None and isinstance(value, list) else value
        if text and re.search(r"[^\W\d_]", text):
            lengths[column] += len(text)
        elif text is None and isinstance(inner, dict | list):
            nested.add(column)  # conversations and the like: their id beside them is not the text
            lengths[column] += len(str(value))
    best, second, *_ = [*lengths.most_common(2), ("", 0), ("", 0)]
    if best[1] and best[0] not in nested and best[1] >= 2 * second[1]:
        return best[0]
    there = ", ".join(map(str, columns))
    raise XinyeError(f"{path}: which column is the text? Name it with --field; there are: {there}")


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
        return _headerless(_row_reader(path, file)(file), named)


def _headerless(table: Iterator[list[str]], named: Sequence[str]) -> str:
    rows: list[list[str]] = []
    with suppress(csv.Error):  # up to a row that is damaged
        rows.extend(filter(None, islice(table, HEAD_ROWS)))
    if not rows or set(named) & set(rows[0]):
        return ""
    first, *others = rows
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


def _row_reader(path: Path, file: TextIO) -> Callable[[Iterable[str]], Any]:
    """`csv.reader` for the rows of this table. With tabs programs disagree whether quotes mean
    anything, and the file itself tells. Strict: a stray quote would swallow the rows after it in
    silence.
    """
    csv.field_size_limit(LONGEST_CELL)
    if suffix_of(path) == ".csv":
        return partial(csv.reader, strict=True)
    quoted = partial(csv.reader, delimiter="\t", strict=True)
    try:
        even = len({len(row) for row in quoted(file) if row}) == 1
    except csv.Error:
        even = False
    file.seek(0)
    return quoted if even else partial(quoted, quoting=csv.QUOTE_NONE)


def _table_records(path: Path, on_bad: OnBad, named: Sequence[str]) -> Records:
    """The rows of a table as dictionaries. Behind a quote that is never closed it goes on at the
    next line.
    """
    with open_text(path) as file:
        read_rows = _row_reader(path, file)
        numbered = _headerless(read_rows(file), named)
        file.seek(0)
        rows = read_rows(file)
        header: list[str] = []
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
            if row and not header:
                header = [str(number) for number in range(1, len(row) + 1)] if numbered else row
                row = row if numbered else []
            if row and len(row) == len(header):
                yield line, dict(zip(header, row, strict=True))
            elif row:
                on_bad(path, line, _uneven(path, len(row), len(header), bool(numbered)))
            line = skipped + rows.line_num + 1


def _uneven(path: Path, columns: int, expected: int, numbered: bool) -> str:
    """What is wrong with a row of more or fewer columns."""
    comma = suffix_of(path) == ".csv"
    return (
        f"{columns} column{'s' * (columns != 1)}, the "
        f"{'first' if numbered else 'header'} line has {expected}; "
        f"{'quote text that holds the delimiter' if comma else 'a tab parts them'}"
    )


# -- JSON ------------------------------------------------------------------------------------------


def _json_lines(path: Path, on_bad: OnBad) -> Records:
    with open_text(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                problem = str(getattr(error, "msg", error)).removesuffix(" at")
                column = getattr(error, "colno", 1)
                on_bad(path, number, f"not valid JSON ({problem} at column {column})")
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
                value, end = _decode(self.text, self.position)
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


# -- Parquet ---------------------------------------------------------------------------------------


def parquet_records(path: Path, field: str | None) -> Records:
    """The rows of a Parquet file with their numbers; where it is known, only the column of the text
    is read.
    """
    check_libraries([path])
    import pyarrow
    import pyarrow.parquet

    number = 0
    check_regular(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if field is None and file.metadata.num_rows:
                field = choose_field(path, next(file.iter_batches(HEAD_RECORDS)).to_pylist())
            # A name that is not there goes on to the error that lists the others.
            columns = [field] if field in file.schema_arrow.names else None
            for batch in file.iter_batches(1024, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except UnicodeDecodeError as error:
        raise XinyeError(
            f"{path}, record {number + 1} or behind it: a text is not UTF-8 ({error.reason})"
        ) from None
    except (pyarrow.ArrowException, OSError) as error:
        problem = str(error).splitlines()[0]
        raise XinyeError(f"{path}: not a whole Parquet file ({problem})") from None
