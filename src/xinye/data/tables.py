"""Reads the rows of .csv, .tsv and .xlsx files as records, each with its line, in bounded
memory."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, dropwhile, islice, takewhile
from pathlib import Path
from typing import Any, TextIO

from xinye.data.columns import FIELD_NAMES
from xinye.data.encodings import open_text
from xinye.data.files import PLAIN_SUFFIXES, SPREADSHEETS, suffix_of
from xinye.data.notes import Notes, place_of, without_unseen
from xinye.data.records import OnBad, Records
from xinye.data.spreadsheets import MERGED, TableRow, sheet_rows
from xinye.errors import XinyeError, plural

HEAD_ROWS = 1000  # rows that are read to see whether the first is a header
DELIMITER_LINES = 100  # lines that are read to find the delimiter
DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}  # tried in this order, the usual one first
MOST_TITLES = 5  # rows above a table that may be its title
LONGEST_NAME = 64  # characters of a column's name
SHOWN_NAMES = 6  # column names that a message prints
MOST_OPEN_QUOTES = 100  # after each, the rest of the file is read once more
LONGEST_CELL = 1 << 26  # characters; without a limit an open quote takes the rest of the file
_QUOTES = (
    f"more than {MOST_OPEN_QUOTES} quotes are never closed; the rest is not read. "
    'Write a quote within a cell as ""'
)
# What a spreadsheet shows if a formula fails; exports to other formats contain it, too.
ERRORS = {
    "#BLOCKED!", "#BUSY!", "#CALC!", "#CONNECT!", "#DIV/0!", "#FIELD!", "#GETTING_DATA", "#N/A",
    "#NAME?", "#NULL!", "#NUM!", "#REF!", "#SPILL!", "#UNKNOWN!", "#VALUE!",
}  # fmt: skip
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")
_CAPTION = re.compile(r"[^\W\d][^:：]{0,15}[:：]\s*\S.*")  # matches a cell such as "unit: pieces"
_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # a first line that tells Excel the delimiter


def headerless(path: Path, named: Sequence[str] = (), tabbed: bool = False) -> str:
    """Why a table has no header, as a clause for messages, or "" if its first line is a header.

    If `named` columns are words of the first line, it is a header; if they are numbers, it is not.
    Otherwise the first line is a record if one of its cells is a number, appears again in its
    column, or is too long for a name."""
    if not is_table(path, tabbed):
        return ""
    head = list(islice(_rows(path, Notes()), HEAD_ROWS))
    return _headerless(head[_titles(path, head, named) :], named)


def _titles(path: Path, head: Sequence[TableRow], named: Sequence[str]) -> int:
    """The number of rows above a table that are its title.

    In a title only the first cell is filled, or all filled cells say what they hold ("unit:
    pieces"). Below it there must be a header of several columns, with rows of the same width. For
    text files, a header whose texts contain the delimiter does not count."""
    rows = [cells for _, cells, problem in head if not problem]
    filled = [sum(bool(cell.strip()) for cell in row) for row in rows[: MOST_TITLES + 1]]
    captions = [bool(_caption(row)) for row in rows[: MOST_TITLES + 1]]
    count = next(
        (at for at, cells in enumerate(filled) if cells > 1 and not captions[at]),
        0,
    )
    if not count or any(problem for _, _, problem in head[: count + 1]):
        return 0
    header, *others = rows[count:]
    above = [_caption(row) or row[0].strip() for row in rows[:count]]
    if not all(above) or {*FIELD_NAMES, *named} & {title.lower() for title in above}:
        return 0
    even = all(len(row) == len(header) for row in others)
    bare = any(len(row) < len(header) for row in rows[:count])
    if suffix_of(path) not in SPREADSHEETS and (
        not even or (bare and any(cell.startswith(" ") for cell in header))
    ):
        return 0
    wide = sum(sum(map(bool, row)) > 1 for row in others)
    if not others or 2 * wide < len(others) or _headerless(head[count:], named):
        return 0
    return count


def _caption(row: Sequence[str]) -> str:
    """The filled cells of a row as one text, if each says what it holds; otherwise ""."""
    cells = [cell.strip() for cell in row if cell.strip()]
    labelled = len(cells) < len(row) and all(_CAPTION.fullmatch(cell) for cell in cells)
    return " ".join(cells) if labelled else ""


def _headerless(head: Iterable[TableRow], named: Sequence[str]) -> str:
    whole = takewhile(lambda row: not row[2], head)  # stop at a damaged row
    rows = [cells for _, cells, _ in whole]
    if not rows or set(named) & set(rows[0]):
        return ""
    first = rows[0]
    # Leave out repetitions of the header.
    header = _Header(first)
    others = [row for row in rows if header.names_in(row) != header.names]
    if named and all(name.isdecimal() and 0 < int(name) <= len(first) for name in named):
        return "its columns are named by number"
    for number, cell in enumerate(first):
        if _NUMBER.fullmatch(cell.strip()):
            return f"its cell {cell.strip()!r} is a number"
        if cell.strip() and any(len(row) == len(first) and row[number] == cell for row in others):
            return f"its cell {cell[:20]!r} appears again in the same column"
        if len(cell) > LONGEST_NAME or "。" in cell:
            return f"its cell {cell[:20] + '…'!r} is a sentence"
    return ""


def is_table(path: Path, tabbed: bool) -> bool:
    """True for CSV, TSV and spreadsheets, and with `tabbed` for plain text."""
    suffix = suffix_of(path)
    plain = tabbed and suffix in PLAIN_SUFFIXES
    return suffix in DELIMITERS or suffix in SPREADSHEETS or plain


def _names(row: Sequence[str]) -> list[str]:
    """The cells of a row in the form in which column names are compared. Joined files may begin
    with a BOM."""
    return [without_unseen(cell).casefold() for cell in row]


class _Header:
    """The names of a header, to recognise it again further down."""

    def __init__(self, cells: Sequence[str]) -> None:
        self.names = _names(cells)
        # the longest cell in characters, plus a BOM and a space
        self.longest = max(map(len, cells)) + 2

    def names_in(self, row: Sequence[str]) -> list[str]:
        """The names in a row, if it could be the header; long texts are slow to compare and give an
        empty list."""
        alike = len(row) == len(self.names) and max(map(len, row)) <= self.longest
        return _names(row) if alike else []


def _check_header(path: Path, line: int, header: Sequence[str]) -> None:
    """Raises `XinyeError` if two columns have the same name, because the first would be lost."""
    for name, count in Counter(map(without_unseen, header)).items():
        if name and count > 1:
            place = place_of(path, line)
            raise XinyeError(
                f"{place}: {count} columns are called {name!r}; give each its own name"
            )


@dataclass(frozen=True)
class TableForm:
    """How a table is written as text: its delimiter, a function that reads rows from lines, and the
    number of lines above the table."""

    delimiter: str
    rows: partial[Any]
    above: int = 0

    def with_cells(self, line: str, row: Sequence[str], others: Sequence[str]) -> str:
        """The text of a row with other cells; quotes and all else stay as they are written."""
        quoted = self.rows.keywords.get("quoting") != csv.QUOTE_NONE
        parts, at = [], 0
        for cell, other in zip(row, others, strict=True):
            quotes = quoted and line[at : at + 1] == '"'
            twice = '""' if quotes else '"'
            end = at + quotes + len(cell.replace('"', twice))
            parts += [line[at : at + quotes], other.replace('"', twice)]
            at = end + quotes + 1
            parts.append(line[end:at])
        return "".join([*parts, line[at:]])


def table_form(path: Path, file: TextIO) -> TableForm:
    """The form of the table in a file, read from its beginning."""
    csv.field_size_limit(LONGEST_CELL)
    declared = _SEP.fullmatch(file.readline(len("'sep=;' \n")))
    if declared:
        above, delimiter = 1, declared[1]
    else:
        file.seek(0)
        above, delimiter = 0, _delimiter(path, list(islice(file, DELIMITER_LINES)))
    file.seek(0)
    form = TableForm(delimiter, _row_reader(delimiter, islice(file, above, None)), above)
    file.seek(0)
    return form


def _delimiter(path: Path, lines: Sequence[str]) -> str:
    """The delimiter that splits all of the first rows into the same number of columns; the usual
    one for the file's name is tried first. If none does, one that does so below a title, or else
    the usual one."""
    usual, *others = list(DELIMITERS.get(suffix_of(path), "\t"))
    titled = ""
    for delimiter in (usual, *others):
        rows = _parted(lines, delimiter)
        widths = {len(row) for row in rows}
        if len(widths) == 1 and widths != {1} and (len(lines) > 1 or delimiter == usual):
            return delimiter
        head = [(number, row, "") for number, row in enumerate(rows, 1)]
        if not titled and _titles(path, head, ()):
            titled = delimiter
    return titled or usual


def _parted(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The rows in some lines. The last row is dropped if it may be cut within quotes."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        return []
    cut_off = len(lines) == DELIMITER_LINES and len(rows) > 1
    return rows[:-1] if cut_off else rows


def _row_reader(delimiter: str, lines: Iterable[str]) -> partial[Any]:
    """The `csv.reader` for this table. In tab-separated files quotes may have a meaning or not, so
    this looks at the file. Strict, because a stray quote would swallow the following rows without
    notice."""
    if delimiter != "\t":
        return partial(csv.reader, delimiter=delimiter, strict=True)
    quoted = partial(csv.reader, delimiter="\t", strict=True)
    try:
        widths = [len(row) for row in quoted(lines) if row]
        # rows of width 1 at the top are a title
        even = len(set(dropwhile(lambda width: width == 1, widths))) <= 1
    except csv.Error:
        even = False
    return quoted if even else partial(quoted, quoting=csv.QUOTE_NONE)


def _rows(path: Path, notes: Notes) -> Iterator[TableRow]:
    """The rows of any table with its header, without empty rows. A cell with a spreadsheet error
    counts as empty."""
    for line, cells, problem in _stored_rows(path, notes):
        for number, cell in enumerate(cells):
            if cell[:1] == "#" and cell.strip() in ERRORS:
                what = f"the cell holds the error {cell.strip()} of a spreadsheet: read as empty"
                notes.add(place_of(path, line), what)
                cells[number] = ""
        if problem or any(cell.strip() for cell in cells):
            yield line, cells, problem


def _stored_rows(path: Path, notes: Notes) -> Iterator[TableRow]:
    """The rows as they are stored, including empty ones. In a text file, reading continues on the
    next line after a quote that is never closed."""
    if suffix_of(path) in SPREADSHEETS:
        yield from sheet_rows(path, notes)
        return
    with open_text(path) as file:
        form = table_form(path, file)
        if form.delimiter not in DELIMITERS.get(suffix_of(path), "\t")[0]:
            notes.add(
                str(path),
                f"the columns are separated by {form.delimiter!r}, although the file's name says "
                "otherwise",
            )
        skipped = form.above  # lines before those that `rows` counts
        rows = form.rows(islice(file, skipped, None))
        open_quotes = 0
        while True:
            line = skipped + rows.line_num + 1  # the line in which the row begins
            try:
                row = next(rows, None)
            except csv.Error as error:
                unclosed = "unexpected end" in str(error)
                what = "a quotation mark is never closed" if unclosed else error
                yield line, [], f"not a valid row ({what})"
                if re.search("unexpected end|field limit", str(error)):
                    open_quotes += 1
                    if open_quotes > MOST_OPEN_QUOTES:
                        yield line, [], _QUOTES
                        return
                    file.seek(0)
                    rows = form.rows(islice(file, line, None))
                    skipped = line
                continue
            if row is None:
                return
            yield line, row, ""


def table_records(path: Path, on_bad: OnBad, named: Sequence[str], notes: Notes) -> Records:
    """The rows of a table as dictionaries keyed by column name, each with its line. `notes` report
    what is left out. Raises `XinyeError` if the header is ambiguous."""
    rows = _rows(path, notes)
    head = list(islice(rows, HEAD_ROWS))
    titles = _titles(path, head, named)
    for line, row, _ in head[:titles]:
        title = " ".join(cell.strip() for cell in row if cell.strip())[:40]
        notes.add(place_of(path, line), f"the title {title!r} above the table is left out")
    head = head[titles:]
    numbered = bool(_headerless(head, named))
    _check_two_rows(path, head, notes)
    usual = Counter(len(row) for _, row, _ in head).most_common(1)  # columns
    header: list[str] = []
    place = ""  # place and names of the header
    written: _Header | None = None  # the header as the file has it
    for line, row, problem in chain(head, rows):
        if problem:
            on_bad(path, line, problem)
            continue
        if not header and not numbered:
            header = _without_empty_end(row, 1)
            _check_header(path, line, header)
            written = _Header(header)  # the names as a repeated header would have them
            place = f"line {line}: {_shown(header)}"
            _check_names(path, header, place, named, notes)
            for number, name in enumerate(header):
                if not name.strip():  # columns without a name would overwrite each other
                    header[number] = f"column {number + 1}"
            continue
        header = header or [str(number) for number in range(1, len(row) + 1)]
        row = _without_empty_end(row, len(header))
        if suffix_of(path) in SPREADSHEETS:  # spreadsheets do not store empty cells
            row += [""] * (len(header) - len(row))
        again = written.names_in(row) if written else []
        if written and again == written.names:
            notes.add(place_of(path, line), "the header appears again, and is left out")
        elif written and sorted(again) == sorted(written.names):
            problem = (
                "the header appears again with its columns in another order; split the file here"
            )
            on_bad(path, line, problem)
        elif problem := _uneven(path, row, header, place, usual[0][0]):
            on_bad(path, line, problem)
        else:
            yield line, dict(zip(header, row, strict=True))


def _check_names(
    path: Path, header: Sequence[str], place: str, named: Sequence[str], notes: Notes
) -> None:
    """Add a note if columns have no name. Raises `XinyeError` if half of them have none, because
    the header is then probably elsewhere, unless a person `named` a column that the header has."""
    # a first column without a name is the row number
    unnamed = sum(not name.strip() for name in header[1:])
    if not unnamed:
        return
    if 2 * unnamed >= len(header) and not {*named} & {*header}:
        raise XinyeError(
            f"{path}: read as the header is {place}, in which half or more of the columns "
            "have no name; delete the rows above the true one, or give each column a name"
        )
    advice = "if the header is further down, delete the rows above it"
    notes.add(str(path), f"columns of the header ({place}) have no name; {advice}")


def _check_two_rows(path: Path, head: Sequence[TableRow], notes: Notes) -> None:
    """Raises `XinyeError` if the first row's merged cells are repeated in the second row and
    nowhere else: the header has two rows."""
    if len(head) < 3 or place_of(path, head[1][0]) not in notes.places[MERGED]:
        return
    first, second, third = (cells for _, cells, _ in head[:3])
    again = [at for at, cell in enumerate(first) if cell and cell == "".join(second[at : at + 1])]
    if again and not any(first[at] == "".join(third[at : at + 1]) for at in again):
        lines = f"lines {head[0][0]} and {head[1][0]}"
        raise XinyeError(
            f"{path}, {lines}: the header spans two rows, with merged cells: "
            f"{_shown(first)}; make it one row, with a name for each column"
        )


def _without_empty_end(row: list[str], shortest: int) -> list[str]:
    """The row without trailing empty cells, but with at least `shortest` cells."""
    while len(row) > shortest and not row[-1].strip():
        row.pop()
    return row


def _shown(header: Sequence[str]) -> str:
    """The first cells of a header, for messages."""
    more = ", …" if len(header) > SHOWN_NAMES else ""
    return ", ".join(repr(name[:20]) for name in header[:SHOWN_NAMES]) + more


def _uneven(path: Path, row: Sequence[str], header: Sequence[str], place: str, usual: int) -> str:
    """The problem if a row has too few or too many columns, or "". `usual` is the number of columns
    that most rows have."""
    if len(row) == len(header):
        return ""
    advice = "columns are separated by tabs"
    if suffix_of(path) == ".csv":
        advice = "put quotes around text that holds the delimiter"
    elif suffix_of(path) in SPREADSHEETS:
        advice = "give every column a name, or clear its cells"
    if place and len(header) < min(len(row), usual):
        header_read = (
            f"the header is read from {place}; if it is further down, delete the rows above"
        )
        advice = f"{advice}; {header_read}"
    width = plural(len(row), "column")
    return f"{width}, but the {'header' if place else 'first'} line has {len(header)}; {advice}"
