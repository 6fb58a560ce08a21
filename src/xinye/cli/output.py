"""All that verbs print: answers here; what is seen of long work is in `training/display.py`."""

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, TypeVar

from xinye.console import FIRST, Console, answer, console, print_table
from xinye.data.encodings import bad_bytes
from xinye.data.notes import Notes
from xinye.errors import SIGNS, readable
from xinye.planning.units import duration
from xinye.training.display import Brief, Display

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
    "print_findings",
    "print_json",
    "print_result",
    "print_table",
    "show_log",
    "write",
]

_ESCAPES = {code: f"\\u{code:04x}" for code in SIGNS if code >= 0x7F}  # JSON escapes the others
Result = TypeVar("Result")


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
        console.print(sentence)
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
