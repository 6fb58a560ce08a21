"""Processes that train together end where one of them is silent, instead of waiting for ever.

A process that dies breaks its connections, and the others fail at once. A host that is cut off says
nothing: the others would wait for it inside an exchange, which Python cannot interrupt.
"""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

import torch.distributed as dist

from xinye.errors import XinyeError, print_error

SILENCE = timedelta(minutes=5)  # after which a process counts as lost
BEATS = 20  # signs of life in that time


@dataclass
class Watch:
    """A thread that gives signs of life of this process in a store, and looks for those of others:
    the first process for those of all, and all for those of the first one."""

    store: dist.Store
    rank: int
    count: int
    ended: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Inside, a process that is silent for `SILENCE` ends this one."""
        self.store = self.store.clone()  # a connection that nobody else waits in
        self.store.set_timeout(SILENCE)
        self.store.set(f"alive/{self.rank}", "0")
        thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self.ended.set()
            thread.join(5)  # it may wait for a host that is silent

    def _watch(self) -> None:
        others = range(1, self.count) if self.rank == 0 else [0]
        keys = [f"alive/{each}" for each in others]
        signs, seen = [b""] * len(keys), [time.monotonic()] * len(keys)
        beat = 0
        while not self.ended.wait(SILENCE.total_seconds() / BEATS):
            beat += 1
            now = time.monotonic()
            try:
                self.store.set(f"alive/{self.rank}", str(beat))
                found = self.store.multi_get(keys)
            except RuntimeError:
                if time.monotonic() - now < SILENCE.total_seconds():
                    return  # the launcher has ended, and so do all
                self._end(0)
                return
            now = time.monotonic()
            for number, sign in enumerate(found):
                if sign != signs[number]:
                    seen[number] = now
                elif now - seen[number] > SILENCE.total_seconds():
                    self._end(others[number])
            signs = found

    def _end(self, silent: int) -> None:
        """End this process, because another one is silent."""
        if self.ended.is_set():
            return
        if self.rank == 0 or os.environ.get("LOCAL_RANK", "0") == "0":  # one line on each host
            error = XinyeError(
                f"process {silent} has not answered for {SILENCE.seconds} s: its host is off, cut "
                "off or overloaded; all end here, and the run continues from its last checkpoint "
                "with --resume"
            )
            with suppress(OSError):
                print_error(f"xinye: {error}")
        os._exit(1)
