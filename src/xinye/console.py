"""What prints to a terminal, a pipe or a notebook: text of any source, and tables."""

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

ENDLESS = 10**9  # characters of a line where nothing sets an end to it
NARROWEST = 12  # characters of a column whose cells may be broken
# Of several processes that train together, one talks. A launcher tells each how many they are; a
# rank without that is somebody else's.
FIRST = not {"WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() or os.environ.get("RANK", "0") == "0"


class Console(rich.console.Console):
    """Prints what it is given: no text is taken for markup, and what would drive the terminal is
    shown by a sign."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    @property
    def size(self) -> ConsoleDimensions:
        """Of a terminal. A pipe and a file have no width, whatever COLUMNS says: there a line stays
        a line."""
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
            plain = readable(renderable.plain)
            # where parts have styles of their own, their words are translated before
            renderable.plain = plain if renderable.spans else shown(plain)
        return super().render(renderable, options)


answer = Console()  # what was asked for: standard output
console = Console(stderr=True, quiet=not FIRST)  # all else


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    left: Container[int] = (0,),
    on: Console = answer,
    gap: int = 2,
    spare: Sequence[int] | None = None,
) -> None:
    """Print rows under their columns, with a gap between, those that are not `left` right-aligned.

    Where columns are `spare`, no cell but of the last column is broken: on a narrow terminal they
    are left out instead, one after the other. Without names of columns it has no head.
    """
    columns = [shown_word(column) for column in columns]
    rows = [[shown(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
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
    if on.is_terminal or on.is_jupyter:  # where a live line may stand below
        on.print(table, crop=False)
        return
    with on.capture() as captured:
        on.print(table, crop=False)
    for line in captured.get().splitlines():
        print(line.rstrip(), file=on.file)


def fitting(
    rows: Sequence[Sequence[str | Text]], spare: Sequence[int], width: int, gap: int
) -> list[int]:
    """The columns, by number, that so many characters have room for: all, or without some of the
    spare ones, the first of which goes first."""
    wide = [max(cell_len(str(cell)) for cell in column) + gap for column in zip(*rows, strict=True)]
    wide[-1] = min(wide[-1], NARROWEST + gap)
    shown = [*range(len(wide))]
    for number in spare:
        if sum(wide[each] for each in shown) > width:
            shown.remove(number)
    return shown
