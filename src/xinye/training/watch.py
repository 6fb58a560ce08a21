"""Processes that train together end where one of them is silent, instead of waiting for ever.

A process that dies breaks its connections, and the others fail at once. A host that is cut off says
nothing: the others would wait for it inside an exchange, which Python cannot interrupt.
"""

import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import torch.distributed as dist

from xinye.errors import XinyeError, print_error

SILENCE = timedelta(minutes=5)  # after which a process counts as lost
SIGNS = 20  # signs of life in that time
FINISHED = b"finished"  # the last sign


@dataclass
class Watch:
    """Gives signs of life of this process in a store, and looks for those of others: the first
    process for those of all, and all for those of the first one.

    One thread asks the store and another one counts the time, because the host of the store may be
    the silent one: what asks it then waits for ever. A process that has finished says so, since
    others may still have much to do.
    """

    store: dist.Store
    rank: int
    count: int
    seen: dict[int, float] = field(default_factory=dict)  # when a process gave its last sign
    ended: threading.Event = field(default_factory=threading.Event)
    finished: bool = False  # and not failed
    launcher: int = 0  # the process that started this one, if it is torchrun's

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, a process that is silent for `SILENCE` ends this one."""
        # A connection that nobody else waits in; PyTorch's type hints lack the method.
        self.store = self.store.clone()  # type: ignore[attr-defined]
        self.seen = dict.fromkeys(range(1, self.count) if self.rank == 0 else [0], time.monotonic())
        self._give_sign("0")
        if "TORCHELASTIC_RUN_ID" in os.environ:
            self.launcher = os.getppid()
        threads = [threading.Thread(target=each, daemon=True) for each in (self._ask, self._check)]
        for thread in threads:
            thread.start()
        try:
            yield
            self.finished = True
        finally:
            self.ended.set()
            for thread in threads:
                thread.join(2)  # it may wait for a host that is silent

    def _give_sign(self, sign: str) -> None:
        self.store.set(f"alive/{self.rank}", sign)

    def _pauses(self) -> Iterator[int]:
        """The number of each pause between two signs."""
        for number in itertools.count(1):
            if self.ended.wait(SILENCE.total_seconds() / SIGNS):
                return
            yield number

    def _ask(self) -> None:
        signs: dict[int, bytes] = {}
        for number in self._pauses():
            with suppress(RuntimeError):  # the store did not answer; it is asked again
                self._give_sign(str(number))
                found = self.store.multi_get([f"alive/{each}" for each in self.seen])
                for each, sign in zip(self.seen, found, strict=True):
                    if sign == FINISHED:
                        self.seen[each] = math.inf
                    elif sign != signs.get(each):
                        self.seen[each] = time.monotonic()
                    signs[each] = sign
        if self.finished:
            with suppress(RuntimeError):  # the first process has ended, and the store with it
                self._give_sign(FINISHED.decode())

    def _check(self) -> None:
        before = time.monotonic()
        for _ in self._pauses():
            now = time.monotonic()
            if now - before > SILENCE.total_seconds() / 2:  # it was this process that stood still
                self.seen = {each: max(now, last) for each, last in self.seen.items()}
            before = now
            if self.launcher and os.getppid() != self.launcher:
                self.launcher = 0  # it is told once; others are still watched
                self._stop()
            silent, last = min(self.seen.items(), key=lambda each: each[1], default=(0, math.inf))
            if now - last > SILENCE.total_seconds() and not self.ended.is_set():
                self._end(silent)

    def _stop(self) -> None:
        """Save and end as after a signal, because the launcher has ended, and the store with it."""
        self._tell(
            "the launcher of this training has ended; its processes save and end; continue with "
            "--resume"
        )
        os.kill(os.getpid(), signal.SIGTERM)

    def _end(self, silent: int) -> None:
        """End this process, because another one is silent."""
        self._tell(
            f"process {silent} has not answered for {SILENCE.seconds} s: its host is off, cut "
            "off or overloaded; all end here, and the run continues from its last checkpoint "
            "with --resume"
        )
        os._exit(1)

    def _tell(self, what: str) -> None:
        """Print an error, once on each host."""
        if self.rank == 0 or os.environ.get("LOCAL_RANK", "0") == "0":
            error = XinyeError(what)
            with suppress(OSError):
                print_error(f"xinye: {error}")
