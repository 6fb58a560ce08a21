"""Streams the rows of one sheet from a workbook's XML. Only rows with cells are returned, so the
million empty formatted rows that some programs write cost almost nothing.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO
from xml.parsers import expat
from zipfile import ZipFile

BLOCK_BYTES = 1 << 16
MOST_ROWS = 1 << 20  # the most rows that Excel can have
LAST_COLUMN = 1 << 14


class TooManyRows(ValueError):
    """The sheet has more rows than a spreadsheet program can write."""


@dataclass(slots=True)
class Cell:
    """A cell as it is stored.

    `column` counts from 1 and comes from the cell's name ("B2"), or follows the previous cell.
    `kind` is the stored type of the value, `style` the number of its style.
    """

    name: str
    column: int
    kind: str
    style: int
    value: str = ""
    formula: bool = False


@dataclass(slots=True)
class SheetRow:
    """A row, whose number counts from 1, and whether it is hidden."""

    number: int
    hidden: bool
    cells: list[Cell]


class _Parser:
    """The state of reading a sheet. `rows` are those not returned yet; the last may be
    incomplete.
    """

    def __init__(self) -> None:
        self.rows: list[SheetRow] = []
        self.hidden_columns: set[int] = set()
        self._last_column = 0  # the last column whose width or visibility is known
        self._number = 0  # the number of the current row
        self._hides = False
        self._cells: list[Cell] = []
        self._cell: Cell | None = None
        self._texts: list[str] = []  # text of the current cell so far
        self._inside: list[str] = []  # the open elements in the current cell
        self._spoken = 0  # how many of these hold phonetic readings, which are not part of the text
        self._expat = expat.ParserCreate(namespace_separator=" ")
        self._expat.buffer_text = True
        self._expat.StartDoctypeDeclHandler = refuse_dtd
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text

    def feed(self, block: bytes) -> None:
        self._expat.Parse(block, not block)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        if self._cell:
            if name == "c":
                raise ValueError(
                    f"row {self._number}: cell {self._cell.name} contains another cell"
                )
            self._inside.append(name)
            self._spoken += name == "rPh"
            self._cell.formula |= name == "f"
        elif name == "row":
            self._begin_row(attributes)
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "col":
            first = max(_whole(attributes, "min", "columns"), self._last_column + 1)
            self._last_column = min(_whole(attributes, "max", "columns"), LAST_COLUMN)
            if attributes.get("hidden") in ("1", "true"):
                self.hidden_columns.update(range(first, self._last_column + 1))

    def _begin_row(self, attributes: dict[str, str]) -> None:
        before = f"what follows row {self._number}"
        number = _whole(attributes, "r", before) if "r" in attributes else self._number + 1
        if number <= self._number:
            raise ValueError(f"row {number} comes after row {self._number}")
        if number > MOST_ROWS:
            raise TooManyRows
        self._number = number
        self._hides = attributes.get("hidden") in ("1", "true")
        self._cells = []

    def _begin_cell(self, attributes: dict[str, str]) -> None:
        if not self._cells:
            self.rows.append(SheetRow(self._number, self._hides, self._cells))
        before = self._cells[-1].column if self._cells else 0
        column = before + 1
        name = attributes.get("r", "")[:20]
        if name:
            column = _number_of(name.rstrip("0123456789"))
        else:
            name = f"{letters_of(column)}{self._number}"
        place = f"row {self._number}, cell {name}"
        if column <= before:
            raise ValueError(f"{place}, comes after cell {self._cells[-1].name}")
        style = _whole({"s": "0"} | attributes, "s", place)
        self._cell = Cell(name, column, attributes.get("t", "n"), style)
        self._cells.append(self._cell)
        self._texts = []

    def _end(self, name: str) -> None:
        if self._inside:
            self._spoken -= self._inside.pop() == "rPh"
        elif self._cell and name.rpartition(" ")[2] == "c":
            self._cell.value = "".join(self._texts)
            self._cell = None

    def _text(self, text: str) -> None:
        if self._cell and self._inside[-1:] in (["v"], ["t"]) and not self._spoken:
            self._texts.append(text)


def refuse_dtd(*_: object) -> None:
    """Raises `ValueError`: entities of a DTD are not resolved, so their text would be lost without
    notice.
    """
    raise ValueError("it has a DTD, which no spreadsheet program writes")


def _whole(attributes: dict[str, str], name: str, place: str) -> int:
    """The whole number in an attribute. Raises `ValueError` if there is none."""
    given = attributes.get(name, "")
    number = re.fullmatch(r"\s*(-?[0-9]{1,18})(\.0*)?\s*", given)
    if not number:
        raise ValueError(f"{place}: {name}={given[:20]!r} is not a whole number")
    return int(number[1])


@lru_cache(maxsize=LAST_COLUMN)
def letters_of(column: int) -> str:
    """The name of a column, such as "AB"; columns count from 1."""
    letters = ""
    while column > 0:
        column, letter = divmod(column - 1, 26)
        letters = chr(ord("A") + letter) + letters
    return letters


@lru_cache(maxsize=LAST_COLUMN)
def _number_of(column: str) -> int:
    """The number of a column with this name, from 1."""
    if not re.fullmatch("[A-Z]{1,3}", column):
        raise ValueError(f"no column is called {column[:10]!r}")
    number = 0
    for letter in column:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def sheet_xml_rows(xml: IO[bytes], hidden_columns: set[int]) -> Iterator[SheetRow]:
    """The rows of a sheet that have cells. Fills `hidden_columns` with the numbers of hidden
    columns before it returns the first row.

    Raises `TooManyRows`, `ValueError` for rows or cells out of order, and `ExpatError`.
    """
    parser = _Parser()
    parser.hidden_columns = hidden_columns
    for block in iter(partial(xml.read, BLOCK_BYTES), None):
        parser.feed(block)
        # the last row may continue in the next block
        whole = len(parser.rows) - bool(block)
        if whole > 0:
            yield from parser.rows[:whole]
            del parser.rows[:whole]
        if not block:
            return


def check_no_dtd(archive: ZipFile, part: str) -> None:
    """Raises `ValueError` if a part of a workbook begins with a DTD."""
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse_dtd
    # the block ends within the XML, or it is not XML
    with archive.open(part) as xml, suppress(expat.ExpatError):
        parser.Parse(xml.read(BLOCK_BYTES))


def merged_cells(xml: IO[bytes]) -> Iterator[str]:
    """The merged ranges of a sheet, such as "A1:C3"."""
    found: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.endswith("mergeCell"):
            found.append(attributes.get("ref", ""))

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.ParseFile(xml)
    return iter(found)
