"""Tables: the rows of .csv and .tsv files as records, each with its line, in bounded memory."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from xinye.data.encodings import open_text
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.notes import Notes, without_unseen
from xinye.data.records import OnBad, Records
from xinye.errors import XinyeError

HEAD_ROWS = 1000  # rows looked at to see whether the first is a header
DELIMITER_LINES = 100  # lines looked at to see what stands between the columns
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}  # that are tried, the usual one first
LONGEST_NAME = 64  # characters of a column's name
MOST_OPEN_QUOTES = 100  # each has the rest of the file read once more
LONGEST_CELL = 1 << 26  # characters; without a limit an open quote takes the rest of the file
_QUOTES = (
    f"more than {MOST_OPEN_QUOTES} quotes are never closed; the rest is not read. "
    'Write a quote within a cell as ""'
)
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")


def headerless(path: Path, named: Sequence[str] = (), tabbed: bool = False) -> str:
    """Why the first line of a table is a record, and not its header; "" where it is one.

    Columns that a person has `named` decide: by words of the first line it is a header, by their
    numbers it is none. Else it is a record where a cell of it is a number, stands in its column
    again, or is too long for a name.
    """
    if not is_table(path, tabbed):
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


def is_table(path: Path, tabbed: bool) -> bool:
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


def table_records(path: Path, on_bad: OnBad, named: Sequence[str], notes: Notes) -> Records:
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
