"""The rows of a spreadsheet (.xlsx), as texts, in bounded memory: of the first sheet with a table.

A stranger's file may be a bomb: its parts are measured before they are unpacked, and rows are
streamed.
"""

import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, time
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree.ElementTree import iterparse
from zipfile import ZipFile

from xinye.data.files import open_regular
from xinye.data.notes import Notes, place_of
from xinye.errors import XinyeError
from xinye.libraries import need

LARGEST_PART = 1 << 29  # bytes of a sheet, or of all texts, unpacked
MOST_ROWS = 1 << 20  # as many as Excel can have
MOST_COLUMNS = 1000
HEAD_ROWS = 100  # rows of a sheet looked at to see whether it is a table
SAVE_ANEW = "save it as .xlsx in Excel, WPS or LibreOffice"
_OLD = b"\xd0\xcf\x11\xe0"  # how an .xls begins, and a workbook with a password
_RETURN = re.compile("_x000D_\n?")  # how Excel writes the line ends of Windows

TableRow = tuple[int, list[str], str]  # its line, its cells, and why it cannot be read, or ""


@dataclass
class _Marks:
    """What a sheet holds beside values: which cells are merged, by their first row, as first
    column, last column and last row; and a cell of each row with a formula, but no value."""

    merged: dict[int, list[tuple[int, int, int]]] = field(default_factory=dict)
    unvalued: dict[int, str] = field(default_factory=dict)


def sheet_rows(path: Path, notes: Notes) -> Iterator[TableRow]:
    """The rows that are not empty, without the empty cells behind their last. A cell that is merged
    over several rows stands in each of them; in `notes` stands that, and which sheets are not read.
    """
    need(f"{path}: a spreadsheet", "openpyxl")
    try:
        with open_regular(path) as file:
            if file.peek(4)[:4] == _OLD:
                raise XinyeError(f"{path}: an old .xls, or one with a password; {SAVE_ANEW}")
            yield from _rows(path, file, notes)
    except XinyeError:
        raise
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # the library raises what it likes at damaged files
        problem = str(error).partition("\n")[0][:200] or type(error).__name__
        raise XinyeError(f"{path}: not a whole .xlsx file ({problem}); {SAVE_ANEW} again") from None


def _rows(path: Path, file: BinaryIO, notes: Notes) -> Iterator[TableRow]:
    import openpyxl

    warnings.filterwarnings("ignore", module="openpyxl")  # on styles, and what else is not read
    with ZipFile(file) as archive:
        for part in archive.infolist():
            if part.file_size > LARGEST_PART:
                raise XinyeError(
                    f"{path}: {part.filename} in it has {part.file_size / 1e6:,.0f} MB, and at "
                    f"most {LARGEST_PART / 1e6:,.0f} are read; save it as CSV"
                )
        book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
        sheet = _sheet(path, book.worksheets, notes)
        if sheet is None:
            return
        with archive.open(sheet._worksheet_path) as xml:  # there is no other way to it
            marks = _marks(xml)
        yield from _with_marks(path, _cells(path, sheet), marks, notes)


def _sheet(path: Path, sheets: list[Any], notes: Notes) -> Any:
    """The first visible sheet that is a table, for a cover or an explanation may stand before it;
    where none is one the first that has any rows. None where none has."""
    filled: list[Any] = []
    tables: list[Any] = []
    for sheet in sheets:
        if sheet.sheet_state != "visible":
            continue
        head = list(islice((cells for _, cells in _cells(path, sheet) if cells), HEAD_ROWS))
        if head:
            filled.append(sheet)
        if sum(len(list(filter(str.strip, cells))) > 1 for cells in head) > 1:
            tables.append(sheet)
    if not filled:
        return None
    chosen = (tables or filled)[0]
    if len(filled) > 1:
        others = ", ".join(repr(sheet.title) for sheet in filled if sheet is not chosen)
        reason = "the first table" if tables else "the first with any rows"
        notes.add(
            str(path),
            f"of {len(filled)} sheets only {chosen.title!r}, {reason}, is read; save {others} as "
            "files of their own",
        )
    return chosen


def _cells(path: Path, sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """The rows of a sheet, counted from 1, without the empty cells behind the last."""
    sheet.reset_dimensions()  # what a file says of its size may be wrong
    for number, values in enumerate(sheet.iter_rows(values_only=True), start=1):
        if number > MOST_ROWS:
            raise XinyeError(f"{path}: more than {MOST_ROWS:,} rows; no .xlsx can have so many")
        cells = [_text(value) for value in values]
        while cells and not cells[-1].strip():
            cells.pop()
        if len(cells) > MOST_COLUMNS:
            raise XinyeError(
                f"{place_of(path, number)}: {len(cells):,} columns, and at most {MOST_COLUMNS:,} "
                "are read; leave out what is no data"
            )
        yield number, cells


def _marks(xml: Any) -> _Marks:
    from openpyxl.utils.cell import coordinate_to_tuple, range_boundaries

    marks = _Marks()
    for _, element in iterparse(xml):
        kind = element.tag.rpartition("}")[2]
        if kind == "mergeCell":
            first_column, row, last_column, last_row = range_boundaries(element.get("ref"))
            marks.merged.setdefault(row, []).append((first_column, last_column, last_row))
        elif kind == "c":
            within = {child.tag.rpartition("}")[2]: child.text for child in element}
            stored = within.get("v") or element.get("t") == "str"  # a text may be empty
            if "f" in within and not stored and (cell := element.get("r")):
                marks.unvalued.setdefault(coordinate_to_tuple(cell)[0], cell)
        if kind in ("c", "row"):
            element.clear()
    return marks


def _with_marks(
    path: Path, rows: Iterator[tuple[int, list[str]]], marks: _Marks, notes: Notes
) -> Iterator[TableRow]:
    """The rows, with what is merged in each of its rows, and without a title above the table."""
    begun = False
    going_on: dict[int, tuple[int, str]] = {}  # of a column: its last row, and what stands there
    for number, cells in rows:
        place = place_of(path, number)
        for column, (last, text) in list(going_on.items()):
            if last < number:
                del going_on[column]
            elif cells and not "".join(cells[column : column + 1]).strip():
                cells += [""] * (column + 1 - len(cells))
                cells[column] = text
                notes.add(place, "a cell that is merged over several rows stands in each of them")
        merged = marks.merged.get(number, [])
        for first, _, last in merged:
            if last > number and first <= len(cells) and cells[first - 1]:
                going_on[first - 1] = last, cells[first - 1]
        wide = any(last > first for first, last, _ in merged)
        if not begun and wide and sum(map(bool, cells)) == 1:
            notes.add(place, f"the title {''.join(cells)[:40]!r} above the table is left out")
            going_on.clear()
        elif number in marks.unvalued:
            begun = True
            problem = f"{marks.unvalued[number]} holds a formula without its value; {SAVE_ANEW}"
            yield number, [], problem
        elif cells:
            begun = True
            yield number, cells, ""


def _text(value: Any) -> str:
    """A cell as a spreadsheet program shows it, where no format is given."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime):
        day, at = value.date().isoformat(), value.time()
        return day if at == time() else f"{day} {at.isoformat('seconds')}"
    return _RETURN.sub("\n", str(value))
