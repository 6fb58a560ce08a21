"""All that verbs print: the answers here, and what is seen of long work by `training/display.py`."""

import json
import logging
import sys
from collections.abc import Iterable
from typing import Any

from xinye.errors import SIGNS, readable
from xinye.planning.settings import duration
from xinye.training.display import FIRST, Brief, Console, Display, console

__all__ = [
    "FIRST",
    "Brief",
    "Console",
    "Display",
    "LogFormatter",
    "answer",
    "console",
    "duration",
    "print_findings",
    "print_json",
    "write",
]

_ESCAPES = {
    code: f"\\u{code:04x}" for code in SIGNS if code >= 0x7F
}  # those below JSON escapes by itself
answer = Console()  # what was asked for: standard output


def write(pieces: Iterable[str], exact: bool = False) -> str:
    """Print text on standard output as a model writes it, and return it. With `exact` a pipe or a file gets it as it
    is; a terminal never does."""
    exact, written = exact and not sys.stdout.isatty(), []
    for piece in pieces:
        written.append(piece)
        print(piece if exact else readable(piece), end="", flush=True)
    print()
    return "".join(written)


def print_json(data: dict[str, Any]) -> None:
    print(
        json.dumps(data, ensure_ascii=False).translate(_ESCAPES), flush=True
    )  # `serve` goes on after it


class LogFormatter(logging.Formatter):
    """Log lines, which may quote what a stranger sent."""

    def format(self, record: logging.LogRecord) -> str:
        return readable(super().format(record))


def prepare_writing() -> None:
    """Compile what writes texts fast, where that is still to be done, and say so."""
    from xinye.generation.decoder import prepare_decoder
    from xinye.machine import device

    with Display() as display:
        prepare_decoder(device(), display)


def print_findings(sentences: Iterable[str], charts: Iterable[str]) -> None:
    """What figures say, in sentences, and where their charts lie."""
    for sentence in sentences:
        console.print(sentence, soft_wrap=not console.is_terminal)
    for chart in charts:
        console.print(f"chart: {chart}", soft_wrap=True)
