"""Reads the rows of a spreadsheet (.xlsx) as texts, in bounded memory: the first sheet with a
table, or the sheet that was named.

A file may be a zip bomb, so its parts are measured before they are unpacked, and rows are streamed.
"""

import re
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime, time
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO
from xml.parsers import expat
from zipfile import ZipFile

from xinye.data.files import SPREADSHEETS, open_regular, suffix_of, what_text
from xinye.data.notes import Notes, place_of
from xinye.data.sheet_xml import (
    LAST_COLUMN,
    MOST_ROWS,
    Cell,
    SheetRow,
    TooManyRows,
    check_no_dtd,
    letters_of,
    merged_cells,
    sheet_xml_rows,
)
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.libraries import need

LARGEST_PART = 1 << 29  # bytes of a sheet, or of all texts, unpacked
MOST_COLUMNS = 1000
HEAD_ROWS = 100  # rows that are read to see whether the sheet is a table
SAVE_ANEW = "save it as .xlsx in Excel, WPS or LibreOffice"
MERGED = "the value of a cell merged over several rows is read in each of them"
_OLD = b"\xd0\xcf\x11\xe0"  # the first bytes of an .xls, and of a workbook with a password
BOOLEANS = {"1": "true", "true": "true", "0": "false", "false": "false"}
_NUMBER = re.compile(r"[+-]?([0-9]+|[0-9]*\.[0-9]+|[0-9]+\.)([eE][+-]?[0-9]+)?", re.ASCII)
# Also whole rows, "2:3", and whole columns, "A:B".
_RANGE = re.compile(
    "[A-Z]{1,3}[0-9]{1,7}(:[A-Z]{1,3}[0-9]{1,7})?|[0-9]{1,7}:[0-9]{1,7}|[A-Z]{1,3}:[A-Z]{1,3}"
)
_RETURN = re.compile("_x000D_\n?")  # how Excel writes the line ends of Windows

# Merged ranges keyed by their first row, each as (first column, last column, last row).
Merged = dict[int, list[tuple[int, int, int]]]
TableRow = tuple[int, list[str], str]  # the row's line, its cells, and why it cannot be read, or ""


# The name given with --sheet. A context variable and not an argument, because all readers of a
# table, however deep, must agree. "" reads the first sheet that is a table; None is the value
# outside of tasks.
_named: ContextVar[str | None] = ContextVar("sheet", default=None)


@contextmanager
def sheet_named(name: str | None) -> Iterator[None]:
    """Within this context, workbooks are read from the sheet of this name, or, without a name, from
    the first sheet that is a table."""
    token = _named.set(name or "")
    try:
        yield
    finally:
        _named.reset(token)


def note_no_workbook(path: Path, notes: Notes) -> None:
    """Add a note if a sheet was named but the file is not a workbook."""
    if _named.get() and suffix_of(path) not in SPREADSHEETS:
        notes.add(str(path), "--sheet has no effect: the file is not a workbook")


@dataclass(frozen=True)
class _Sheet:
    """A sheet, and the name of its part in the archive."""

    title: str
    hidden: bool
    part: str

    @property
    def shown(self) -> str:
        return f"{self.title!r} (hidden)" if self.hidden else repr(self.title)


@dataclass(frozen=True)
class _Book:
    """An open workbook. Cells refer to `texts` by number; `dates` and `times` are the numbers of
    styles for dates and durations."""

    path: Path
    archive: ZipFile
    sheets: list[_Sheet]
    texts: Sequence[str]
    dates: Container[int]
    times: Container[int]
    epoch: datetime

    def date(self, cell: Cell) -> Any:
        """The date or time in a cell, or "#VALUE!" if the number is not a date, as in Excel."""
        from openpyxl.utils.datetime import from_excel, from_ISO8601

        if cell.kind == "d":
            try:
                return from_ISO8601(cell.value)
            except ValueError:
                raise ValueError("is not a date") from None
        try:
            return from_excel(float(cell.value), self.epoch, timedelta=cell.style in self.times)
        except (OverflowError, ValueError):
            return "#VALUE!"


def sheet_rows(path: Path, notes: Notes) -> Iterator[TableRow]:
    """The rows that are not empty, without empty cells at their ends.

    A cell that is merged over several rows is repeated in each of them. `notes` report this, and
    the sheets that are not read. Raises `XinyeError` for a damaged file, or if there is no sheet of
    the name that was given."""
    need(f"{path}: an Excel file", "openpyxl")
    try:
        with open_regular(path) as file:
            if file.peek(4)[:4] == _OLD:
                raise XinyeError(f"{path}: an old .xls file, or one with a password; {SAVE_ANEW}")
            if not file.peek(2).startswith(b"PK") and (what := what_text(path)):
                raise XinyeError(f"{path}: {what}")
            yield from _rows(path, file, notes)
    except XinyeError:
        raise
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None
    except Exception as error:  # the library raises all kinds of errors on damaged files
        problem = str(error).partition("\n")[0][:200] or type(error).__name__
        if isinstance(error, KeyError):
            named = str(error.args[0])[:200]
            problem = named if " " in named else f"it contains no file named {named!r}"
        raise XinyeError(
            f"{path}: not a complete .xlsx file ({problem}); {SAVE_ANEW} again"
        ) from None


def _rows(path: Path, file: BinaryIO, notes: Notes) -> Iterator[TableRow]:
    from openpyxl.utils.cell import range_boundaries

    # warnings about styles and other parts that are not read
    warnings.filterwarnings("ignore", module="openpyxl")
    with ZipFile(file) as archive:
        for part in archive.infolist():
            if part.file_size > LARGEST_PART:
                raise XinyeError(
                    f"{path}: the part {part.filename} has {part.file_size / 1e6:,.0f} MB, "
                    f"but only {LARGEST_PART / 1e6:,.0f} MB can be read; save the table as "
                    "CSV"
                )
            if part.filename.endswith((".xml", ".rels")):
                check_no_dtd(archive, part.filename)
        book = _open(path, file, archive)
        sheet = _sheet(book, notes)
        if sheet is None:
            return
        merged: Merged = {}
        with archive.open(sheet.part) as xml:
            for reference in merged_cells(xml):
                if not _RANGE.fullmatch(reference):
                    what = f"merged cells in {reference[:20]!r}, which is not a range such as A1:B2"
                    raise ValueError(f"sheet {sheet.title!r}: {what}")
                first_column, row, last_column, last_row = range_boundaries(reference)
                # a range of whole rows has no columns, and one of whole columns has no rows
                across = first_column or 1, last_column or LAST_COLUMN, last_row or MOST_ROWS
                merged.setdefault(row or 1, []).append(across)
        yield from _with_merged(path, _cells(book, sheet, notes), merged, notes)


def _open(path: Path, file: BinaryIO, archive: ZipFile) -> _Book:
    """A workbook as `openpyxl.load_workbook` opens it, but without reading every sheet, which takes
    long for long sheets."""
    from openpyxl.reader.excel import ExcelReader
    from openpyxl.styles.stylesheet import apply_stylesheet

    reader = ExcelReader(file, read_only=True, data_only=True, keep_links=False)
    reader.read_manifest()
    with suppress(KeyError):  # The part is listed but missing; perhaps no cell needs it.
        reader.read_strings()
    reader.read_workbook()
    apply_stylesheet(reader.archive, reader.wb)
    sheets = [
        _Sheet(sheet.name, sheet.state != "visible", related.target)
        for sheet, related in reader.parser.find_sheets()
        if related.target in reader.valid_files and "worksheet" in related.Type
    ]
    book = reader.wb
    # openpyxl has no public attribute for these
    dates, times = book._date_formats, book._timedelta_formats
    return _Book(path, archive, sheets, reader.shared_strings, dates, times, book.epoch)


def _sheet(book: _Book, notes: Notes) -> _Sheet | None:
    """The named sheet. Without a name, the first visible sheet that is a table, because a cover
    sheet may come first; if none is a table, the first with rows. None if all are empty."""
    name = _named.get()
    if name:
        for sheet in book.sheets:
            if sheet.title.strip() == name.strip():
                return sheet
        there = ", ".join(sheet.shown for sheet in book.sheets)
        near = did_you_mean(name, [sheet.title for sheet in book.sheets])
        raise XinyeError(f"{book.path}: no sheet {name!r} (--sheet); its sheets are {there}{near}")
    filled: list[_Sheet] = []
    tables: list[_Sheet] = []
    for sheet in sorted(book.sheets, key=lambda sheet: sheet.hidden):
        rows = (cells for _, cells, _ in _cells(book, sheet, Notes()) if cells)
        try:
            head = list(islice(rows, HEAD_ROWS))
        except XinyeError:  # too wide or damaged: reading the sheet raises the error
            head = [["?", "?"]] * 2
        if head:
            filled.append(sheet)
        if sum(len(list(filter(str.strip, cells))) > 1 for cells in head) > 1:
            tables.append(sheet)
    if not filled:
        return None
    visible = [sheet for sheet in filled if not sheet.hidden]
    chosen = next((each for each in tables if not each.hidden or not visible), filled[0])
    if len(filled) > 1:
        others = ", ".join(sheet.shown for sheet in filled if sheet is not chosen)
        reason = "the first table" if chosen in tables else "the first with any rows"
        what = (
            f"of {len(filled)} sheets only {chosen.shown}, {reason}, is read; --sheet NAME reads "
            f"another: {others}"
        )
        if name is None:  # commands that read text have no --sheet
            what = (
                f"of {len(filled)} sheets only {chosen.shown}, {reason}, is read; to read another, "
                f"save it as a separate file: {others}"
            )
        notes.add(str(book.path), what)
    elif chosen.hidden:
        notes.add(
            str(book.path), f"the sheet {chosen.title!r} is hidden in the workbook, but is read"
        )
    return chosen


def _cells(book: _Book, sheet: _Sheet, notes: Notes) -> Iterator[TableRow]:
    """The rows of a sheet that are not empty, without trailing empty cells, each with its problem
    or ""."""
    hidden: set[int] = set()
    found: set[int] = set()  # columns that are not empty
    with book.archive.open(sheet.part) as xml:
        try:
            for row in sheet_xml_rows(xml, hidden):
                place = place_of(book.path, row.number)
                texts, problem = _texts(book, row, place)
                columns = [column for column, text in texts.items() if text.strip()]
                _check_width(sheet, place, max(columns, default=0))
                found.update(columns)
                if columns and row.hidden:
                    notes.add(
                        place, "the row is hidden in the workbook, perhaps by a filter, but is read"
                    )
                cells = [texts.get(at, "") for at in range(1, max(columns, default=0) + 1)]
                problem = problem or _unvalued(row)
                if cells or problem:
                    yield row.number, cells, problem
        except TooManyRows:
            raise XinyeError(
                f"{book.path}: the sheet {sheet.title!r} has more than {MOST_ROWS:,} rows, the "
                "most that an .xlsx file can have"
            ) from None
        except (ValueError, expat.ExpatError) as error:
            raise ValueError(f"sheet {sheet.title!r}: {error}") from None
    for column in sorted(found & hidden):
        place = f"{book.path}, column {letters_of(column)}"
        notes.add(place, "the column is hidden in the workbook, but is read")


def _check_width(sheet: _Sheet, place: str, width: int) -> None:
    if width > MOST_COLUMNS:
        raise XinyeError(
            f"{place}: the sheet {sheet.title!r} has {width:,} columns, and only {MOST_COLUMNS:,} "
            "can be read; delete those that hold no data"
        )


def _unvalued(row: SheetRow) -> str:
    """The problem if a cell of the row has a formula without a stored value, or ""."""
    for cell in row.cells:
        # a formula may give an empty text
        if cell.formula and not cell.value and cell.kind != "str":
            return f"cell {cell.name} holds a formula without a value; {SAVE_ANEW}"
    return ""


def _with_merged(
    path: Path, rows: Iterator[TableRow], merged: Merged, notes: Notes
) -> Iterator[TableRow]:
    """The rows with merged cells repeated in each row that they cover, and without a title above
    the table."""
    begun = False
    # for each column: the last row of its merged cell, and the text
    continued: dict[int, tuple[int, str]] = {}
    for number, cells, problem in rows:
        place = place_of(path, number)
        for column, (last, text) in list(continued.items()):
            if last < number:
                del continued[column]
            elif cells and not "".join(cells[column : column + 1]).strip():
                cells += [""] * (column + 1 - len(cells))
                cells[column] = text
                notes.add(place, MERGED)
        ranges = merged.get(number, [])
        for first, _, last in ranges:
            if last > number and first <= len(cells) and cells[first - 1]:
                continued[first - 1] = last, cells[first - 1]
        wide = any(last > first for first, last, _ in ranges)
        if not begun and wide and sum(map(bool, cells)) == 1:
            notes.add(place, f"the title {''.join(cells)[:40]!r} above the table is left out")
            continued.clear()
            continue
        begun = True
        yield number, [] if problem else cells, problem


def _texts(book: _Book, row: SheetRow, place: str) -> tuple[dict[int, str], str]:
    """The texts of a row keyed by column, and the problem of the first bad cell, or ""."""
    texts: dict[int, str] = {}
    problem = ""
    for cell in row.cells:
        try:
            texts[cell.column] = _text(book, cell, place)
        except ValueError as error:
            problem = problem or f"cell {cell.name}: {cell.value.strip()[:20]!r} {error}"
            texts[cell.column] = ""
    return texts, problem


def _text(book: _Book, cell: Cell, place: str) -> str:
    """A cell's text. Raises `ValueError` for a value that does not match its type, and `XinyeError`
    if the cell refers to a text that the workbook does not have."""
    stored = cell.value
    if cell.kind not in ("s", "str", "inlineStr", "e"):
        stored = stored.strip()
    if cell.kind == "s" and stored:
        if not re.fullmatch(r"\s*-?[0-9]{1,9}\s*", stored):
            raise ValueError("is not the number of a text")
        number = int(stored)
        if not 0 <= number < len(book.texts):
            texts = plural(len(book.texts), "text")
            raise XinyeError(
                f"{place}, cell {cell.name}: the cell refers to text {number} of the "
                f"workbook, which has only {texts}: the file is damaged; {SAVE_ANEW} again"
            )
        return _shown(book.texts[number])
    if not stored or cell.kind in ("str", "inlineStr", "e"):
        return _shown(stored)
    if cell.kind == "b":
        if stored not in BOOLEANS:
            raise ValueError("is neither true (1) nor false (0)")
        return BOOLEANS[stored]
    if cell.kind != "d" and (not _NUMBER.fullmatch(stored) or not isfinite(float(stored))):
        raise ValueError("is not a number")
    if cell.kind == "d" or cell.style in book.dates:
        return _shown(book.date(cell))
    return _shown(float(stored) if re.search("[.eE]", stored) else int(stored))


def _shown(value: Any) -> str:
    """A value as a spreadsheet program shows it without a number format."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, datetime):
        day, at = value.date().isoformat(), value.time()
        return day if at == time() else f"{day} {at.isoformat('seconds')}"
    return _RETURN.sub("\n", str(value))
