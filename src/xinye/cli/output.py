"""All that verbs print: answers here; what is seen of long work is in `training/display.py`."""

import json
import locale
import logging
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal, TypeVar

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from xinye.data.encodings import bad_bytes
from xinye.data.notes import Notes
from xinye.errors import SIGNS, readable
from xinye.planning.units import duration
from xinye.training.display import FIRST, Brief, Console, Display, console

__all__ = [
    "FIRST",
    "Brief",
    "Console",
    "Display",
    "LogFormatter",
    "answer",
    "bad_bytes_told",
    "console",
    "duration",
    "exit_when_stopped",
    "locale_language",
    "print_findings",
    "print_json",
    "print_result",
    "print_table",
    "show_log",
    "write",
]

_ESCAPES = {code: f"\\u{code:04x}" for code in SIGNS if code >= 0x7F}  # JSON escapes the others
Result = TypeVar("Result")
WIDEST = 1000  # characters of a table in a file or a pipe
NARROWEST = 12  # characters of a column whose cells may be broken
answer = Console()  # what was asked for: standard output


def write(pieces: Iterable[str], exact: bool = False) -> str:
    """Print text on standard output as a model writes it, and return it. With `exact` a pipe or a
    file gets it as it is; a terminal never does."""
    exact = exact and not sys.stdout.isatty()
    written = []
    for piece in pieces:
        written.append(piece)
        print(piece if exact else readable(piece), end="", flush=True)
    print()
    return "".join(written)


@contextmanager
def bad_bytes_told(what: str) -> Iterator[None]:
    """Until the end bytes that fit no encoding are replaced, where `what` is "replace"; where that
    happened is printed behind it."""
    notes = Notes()
    with bad_bytes(what, notes):
        yield
    for said in notes.sentences():
        console.print(f"the data: {said}", soft_wrap=True)


def print_json(data: Any) -> None:
    """Print a result, a dictionary or a dataclass, as one line of JSON."""
    text = json.dumps(data, ensure_ascii=False, default=_as_dict).translate(_ESCAPES)
    print(text, flush=True)  # `serve` goes on after it


def _as_dict(result: Any) -> dict[str, Any]:
    return result.as_dict() if hasattr(result, "as_dict") else asdict(result)


def print_result(
    result: Result, as_json: bool, show: Callable[[Result], object] | None = None
) -> int:
    """Print the result of a verb for programs, or with `show` for people; returns the exit code of
    a verb that is done."""
    if as_json:
        print_json(result)
    elif show:
        show(result)
    return 0


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    left: Container[int] = (0,),
    on: Console = answer,
    gap: int = 2,
    spare: Sequence[int] | None = None,
) -> None:
    """Print rows under their columns, with a gap between, those that are not `left` right-aligned.

    A table is as wide as the terminal, or as it needs where there is none. Where columns are
    `spare`, no cell but of the last column is broken: on a narrow terminal they are left out
    instead, one after the other. Without names of columns it has no head.
    """
    rows, shown = [*rows], [*range(len(columns))]
    if spare is not None:
        shown = fitting([columns, *rows], spare, on.width if on.is_terminal else WIDEST, gap)
    table = Table(box=None, padding=(0, gap, 0, 0), header_style="bold", show_header=any(columns))
    for number in shown:
        justify: Literal["left", "right"] = "left" if number in left else "right"
        whole = spare is not None and number != shown[-1]
        table.add_column(columns[number], justify=justify, overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(row[number] for number in shown))
    if not on.is_terminal:
        options = on.options.update_width(WIDEST)
        table.width = on.measure(table, options=options).maximum
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


class LogFormatter(logging.Formatter):
    """Log lines, which may quote what a stranger sent."""

    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record))


def show_log(level: int) -> None:
    """Print our log from this level on, and warnings of other libraries, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log = logging.getLogger("xinye")
    log.setLevel(min(level, log.level or level))


def prepare_writing() -> None:
    """Compile what writes texts fast, where that is still to be done, and say so."""
    from xinye.generation.decoder import prepare_decoder
    from xinye.machine import device

    with Display() as display:
        prepare_decoder(device(), display)


def print_findings(sentences: Iterable[str], charts: Iterable[str] = ()) -> None:
    """What figures say, in sentences behind an empty line, and where their charts lie."""
    console.print()
    for sentence in sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)
    for chart in charts:
        console.print(f"chart: {chart}", soft_wrap=True)


@contextmanager
def exit_when_stopped(message: str) -> Iterator[None]:
    """Inside, Ctrl-C prints a message and ends the program with 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(message)
        raise SystemExit(130) from None


def locale_language() -> str:
    """`zh` where the environment's language is Chinese, else `en`."""
    names = [os.environ.get(name, "") for name in ("LC_ALL", "LC_MESSAGES", "LANG")]
    name = next((name for name in names if name), "") or (locale.getlocale()[0] or "")
    return "zh" if name.lower().startswith(("zh", "chinese")) else "en"
