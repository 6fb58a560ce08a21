"""Contexts around training: reproducible numbers, a clean stop on a signal, and a helpful message
when memory runs out."""

import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from xinye import machine
from xinye.errors import XinyeError, plural
from xinye.planning.plan import Draft, Plan

SMALLER = "choose a smaller --size or --context"


@contextmanager
def repeatable() -> Iterator[None]:
    """Inside, a run on a CPU gives the same numbers each time, even if it is compiled. This costs 1
    to 3 % of the speed."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or machine.device().type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def interruptible(
    asked_to_stop: Callable[[str], None], launched: bool = False
) -> Iterator[Callable[[], int]]:
    """Inside, the first Ctrl-C or SIGTERM is only recorded. The function that this yields returns
    the signal's number, or 0. The same signal again ends the program as usual. At the first one,
    `asked_to_stop` is called with a name of the signal, or none if it may not come again.

    A process that was `launched` with others gets SIGTERM from the launcher and from Slurm, and
    again when the first of the others has ended. There another one changes nothing: the launcher
    kills a process that takes too long."""
    asked = 0

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = number
        name, again = "the same signal", before[number]
        if number == signal.SIGINT:
            name = "Ctrl-C"
        elif launched:
            name, again = "", signal.SIG_IGN
        signal.signal(number, again)
        asked_to_stop(name)

    numbers = (
        (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is threading.main_thread()
        else ()
    )
    before = {int(number): signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@contextmanager
def explain_memory(numbers: Plan | Draft) -> Iterator[None]:
    """Raise a `XinyeError` with advice if memory runs out inside."""
    micro_batch_size, context = numbers.micro_batch_size, numbers.context
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        what = (
            f"out of memory with {plural(micro_batch_size, 'window')} at once "
            f"({plural(micro_batch_size * context, 'token')})"
        )
        advice = (
            f"halve them with --micro-batch-size {micro_batch_size // 2}, which works with "
            "--resume, too, and does not change the result"
        )
        if micro_batch_size == 1:
            advice = SMALLER
            if not numbers.activation_checkpointing and numbers.architecture != "lstm":
                advice = f"use --activation-checkpointing, or {SMALLER}"
        raise XinyeError(f"{what}; {advice}", 1) from error


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on the CPU or the GPU."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return bool(re.search("allocate memory", str(error)))
