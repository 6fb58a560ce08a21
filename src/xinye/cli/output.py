"""Everything that commands print as results; `training/display.py` shows the progress of long
work.
"""

import atexit
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from xinye.console import FIRST, Console, answer, console, print_table, verbatim
from xinye.data.encodings import bad_bytes
from xinye.data.notes import Notes
from xinye.errors import SIGNS, readable
from xinye.language import shown
from xinye.planning.units import duration
from xinye.training.display import Brief, Display, plan_rows

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
    "plan_rows",
    "print_findings",
    "print_json",
    "print_result",
    "print_table",
    "show_log",
    "verbatim",
    "write",
]

_ESCAPES = {code: f"\\u{code:04x}" for code in SIGNS if code >= 0x7F}  # JSON escapes the others
Result = TypeVar("Result")


def write(pieces: Iterable[str], exact: bool = False) -> str:
    """Print text on standard output while a model writes it, and return it. With `exact`, a pipe or
    a file gets the exact text; a terminal always gets readable characters.
    """
    exact = exact and not sys.stdout.isatty()
    written = []
    for piece in pieces:
        written.append(piece)
        print(piece if exact else readable(piece), end="", flush=True)
    print()
    return "".join(written)


@contextmanager
def bad_bytes_told(what: str) -> Iterator[None]:
    """Within this context, bad bytes are replaced if `what` is "replace". Afterwards it prints
    where.
    """
    notes = Notes()
    with bad_bytes(what, notes):
        yield
    for said in notes.sentences():
        console.print(f"note: {said}", soft_wrap=True)


def print_json(data: Any) -> None:
    """Print a result, a dictionary or a dataclass, as one line of JSON."""
    text = json.dumps(data, ensure_ascii=False, default=_as_dict).translate(_ESCAPES)
    print(text, flush=True)  # `serve` continues to run after this


def _as_dict(result: Any) -> dict[str, Any]:
    return result.as_dict() if hasattr(result, "as_dict") else asdict(result)


def print_result(
    result: Result, as_json: bool, show: Callable[[Result], object] | None = None
) -> int:
    """Print the result of a command, as JSON or with `show`. Returns exit code 0."""
    if as_json:
        print_json(result)
    elif show:
        show(result)
    return 0


class LogFormatter(logging.Formatter):
    """Log lines in the language of the screen, with readable characters, because they may quote
    what a client sent."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        if not record.message.startswith("{"):  # JSON
            record.message = shown(record.message)
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record))


def show_log(level: int) -> None:
    """Print Xinye's log from this level on, and warnings of other libraries, on standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(  # some libraries let everything pass
        lambda record: record.levelno >= logging.WARNING or record.name.startswith("xinye")
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    log = logging.getLogger("xinye")
    log.setLevel(min(level, log.level or level))


def prepare_writing() -> None:
    """Begin to compile the fast code if this has not been done yet, with a message; the command
    says in the end what has come of it."""
    from xinye.machine import device
    from xinye.native.library import THIS, prepare_library_beside

    def tell() -> None:
        said = "the code is still being compiled in the background"
        if THIS.settled():
            said = THIS.outcome()
        console.print(said, style="dim")

    with Display() as display:
        if prepare_library_beside(device(), display):
            atexit.register(tell)


def print_findings(sentences: Iterable[str], charts: Iterable[str] = ()) -> None:
    """Print sentences after an empty line, and the paths of charts."""
    console.print()
    for sentence in sentences:
        console.print(sentence)
    for chart in charts:
        console.print(f"chart: {chart}", soft_wrap=True)


@contextmanager
def exit_when_stopped(message: str) -> Iterator[None]:
    """Within this context, Ctrl-C prints a message and exits with code 130."""
    try:
        yield
    except KeyboardInterrupt:
        console.print(message)
        raise SystemExit(130) from None
