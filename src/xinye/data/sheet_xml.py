"""The rows of one sheet of a workbook, streamed from its XML: only those that hold cells, so that a
million empty rows, as programs write them for a format, cost next to nothing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import IO
from xml.parsers import expat

BLOCK_BYTES = 1 << 16
MOST_ROWS = 1 << 20  # as many as Excel can have
LAST_COLUMN = 1 << 14


class TooManyRows(ValueError):
    """For more rows than a spreadsheet program can have written."""


@dataclass(slots=True)
class Cell:
    """A cell as it is stored: what kind its value is of, the number of its style, and whether it
    has a formula. Its column is counted from 1, as its name says or behind the one before."""

    name: str
    column: int
    kind: str
    style: int
    value: str = ""
    formula: bool = False


@dataclass(slots=True)
class SheetRow:
    """A row, counted from 1, and whether it is hidden."""

    number: int
    hidden: bool
    cells: list[Cell]


class _Parser:
    """What is known in the middle of a sheet; `rows` are whole, and not yet handed out."""

    def __init__(self) -> None:
        self.rows: list[SheetRow] = []
        self.hidden_columns: set[int] = set()
        self._last_column = 0  # of those whose form is known
        self._number = 0  # of the row
        self._hides = False
        self._cells: list[Cell] = []
        self._cell: Cell | None = None
        self._inside: list[str] = []  # of a cell: the elements that are open
        self._expat = expat.ParserCreate(namespace_separator=" ")
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text

    def feed(self, block: bytes) -> None:
        self._expat.Parse(block, not block)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(" ")[2]
        if self._cell:
            self._inside.append(name)
            self._cell.formula |= name == "f"
        elif name == "row":
            self._begin_row(attributes)
        elif name == "c":
            self._begin_cell(attributes)
        elif name == "col":
            first = max(int(attributes["min"]), self._last_column + 1)
            self._last_column = min(int(attributes["max"]), LAST_COLUMN)
            if attributes.get("hidden") in ("1", "true"):
                self.hidden_columns.update(range(first, self._last_column + 1))

    def _begin_row(self, attributes: dict[str, str]) -> None:
        number = int(float(attributes["r"])) if "r" in attributes else self._number + 1
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
        column = self._cells[-1].column + 1 if self._cells else 1
        name = attributes.get("r", "")
        if name:
            column = _number_of(name.rstrip("0123456789"))
        style = int(attributes.get("s", 0))
        self._cell = Cell(name, column, attributes.get("t", "n"), style)
        self._cells.append(self._cell)

    def _end(self, name: str) -> None:
        if self._inside:
            self._inside.pop()
        elif self._cell and name.rpartition(" ")[2] == "c":
            self._cell = None

    def _text(self, text: str) -> None:
        # How a word is spoken (`rPh`) is no part of the text.
        if self._cell and self._inside[-1:] in (["v"], ["t"]) and "rPh" not in self._inside:
            self._cell.value += text


@lru_cache(maxsize=LAST_COLUMN)
def _number_of(column: str) -> int:
    """The number, from 1, of the column of a name such as "AB"."""
    if not re.fullmatch("[A-Z]{1,3}", column):
        raise ValueError(f"no column is called {column[:10]!r}")
    number = 0
    for letter in column:
        number = 26 * number + ord(letter) - ord("A") + 1
    return number


def sheet_xml_rows(xml: IO[bytes], hidden_columns: set[int]) -> Iterator[SheetRow]:
    """The rows with cells. `hidden_columns` are known before the first row comes. Raises
    `TooManyRows`."""
    parser = _Parser()
    parser.hidden_columns = hidden_columns
    for block in iter(partial(xml.read, BLOCK_BYTES), None):
        parser.feed(block)
        # the last may go on in the next block
        whole = len(parser.rows) - bool(block)
        if whole > 0:
            yield from parser.rows[:whole]
            del parser.rows[:whole]
        if not block:
            return


def merged_cells(xml: IO[bytes]) -> Iterator[str]:
    """The merged ranges of a sheet, such as "A1:C3", which follow its rows."""
    found: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        if name.endswith("mergeCell"):
            found.append(attributes["ref"])

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = start
    parser.ParseFile(xml)
    return iter(found)
