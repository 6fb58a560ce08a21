"""Printing to a terminal, a pipe or a notebook: safe text and tables."""

import os
from collections.abc import Container, Iterable, Sequence
from typing import Any, Literal

import rich.console
from rich.cells import cell_len
from rich.console import ConsoleDimensions
from rich.protocol import rich_cast
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from xinye.errors import readable
from xinye.language import shown, shown_word

ENDLESS = 10**9  # width in characters of a pipe or file, so that no line is broken
NARROWEST = 12  # characters; a column whose cells may be broken is at least this wide
# If several processes train together, only the first one prints. A launcher sets WORLD_SIZE and
# MASTER_ADDR; a RANK without these belongs to another program.
FIRST = not {"WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() or os.environ.get("RANK", "0") == "0"


def verbatim(text: str, style: str = "") -> Text:
    """A text of a user or of a model for a Console, which prints it as it is, with a visible sign
    in place of each control character."""
    return Text(readable(text), style)


class Console(rich.console.Console):
    """A console without markup, which shows a visible sign in place of each control character.

    A `str` is a message of Xinye and is printed in the language of the screen. A `Text` is printed
    as it is: what was translated before, and what a user or a model wrote (`verbatim`).
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    @property
    def size(self) -> ConsoleDimensions:
        """The size of a terminal or notebook. A pipe or file is as good as endlessly wide, whatever
        COLUMNS says, so that each line stays one line."""
        if self.is_terminal or self.is_jupyter:
            return super().size
        return ConsoleDimensions(ENDLESS, 25)

    @size.setter
    def size(self, new_size: tuple[int, int]) -> None:
        self._width, self._height = new_size

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        return super().render_str(shown(readable(text)), *arguments, **options)

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        renderable = rich_cast(renderable)
        if isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = readable(renderable.plain)
        return super().render(renderable, options)


answer = Console()  # standard output: the result that the user asked for
console = Console(stderr=True, quiet=not FIRST)  # standard error: everything else


def print_table(
    columns: Sequence[str | Text],
    rows: Iterable[Sequence[str | Text]],
    left: Container[int] = (0,),
    on: Console = answer,
    gap: int = 2,
    spare: Sequence[int] | None = None,
) -> None:
    """Print a table. Columns whose numbers are in `left` are left-aligned, the others
    right-aligned; `gap` is the number of spaces between two columns.

    `spare` lists the columns that may be left out on a narrow terminal, the first one first. If it
    is given, only cells of the last column are broken into lines. If all column names are empty,
    the table has no header.
    """
    columns = [shown_word(each) if isinstance(each, str) else each for each in columns]
    rows = [
        [verbatim(shown(cell)) if isinstance(cell, str) else cell for cell in row] for row in rows
    ]
    kept = [*range(len(columns))]
    if spare is not None:
        kept = fitting([columns, *rows], spare, on.width, gap)
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold", show_header=any(columns))
    for number in kept:
        justify: Literal["left", "right"] = "left" if number in left else "right"
        whole = spare is not None and number != kept[-1]
        table.add_column(columns[number], justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(row[number] for number in kept))
    if on.is_terminal or on.is_jupyter:  # a live line may be shown below the table
        on.print(table, crop=False)
        return
    with on.capture() as captured:
        on.print(table, crop=False)
    for line in captured.get().splitlines():
        print(line.rstrip(), file=on.file)


def fitting(
    rows: Sequence[Sequence[str | Text]], spare: Sequence[int], width: int, gap: int
) -> list[int]:
    """The numbers of the columns that fit into `width` characters. Spare columns are dropped until
    the rest fit, in the order given."""
    wide = [max(cell_len(str(cell)) for cell in column) + gap for column in zip(*rows, strict=True)]
    wide[-1] = min(wide[-1], NARROWEST + gap)
    shown = [*range(len(wide))]
    for number in spare:
        if sum(wide[each] for each in shown) > width:
            shown.remove(number)
    return shown
