"""`Loop`: the threads that do the work of a monitor beside the server, and see what has changed."""

import logging
import threading
import time
import traceback
from collections.abc import Callable
from typing import Protocol

from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import XinyeError
from xinye.server.hub import Hub

log = logging.getLogger("xinye.server")
LOOK = 1.0  # seconds between two steps that find nothing, and between two looks at the store
LONGEST_PAUSE = 60.0  # seconds after a step that failed


class Steps(Protocol):
    """Work in steps. While it is `reading`, the next step follows at once: it finds something, or
    waits for it a moment itself."""

    @property
    def reading(self) -> bool: ...

    def step(self) -> object: ...


class Loop:
    """Does one step of the work after the other, and wakes the streams when the store has changed,
    also by another process."""

    def __init__(self, monitor: Monitor, work: Steps, hub: Hub) -> None:
        self._monitor, self._steps, self._hub = monitor, work, hub
        self._stop, self._known = threading.Event(), (0, 0)
        self._threads = [
            threading.Thread(target=target, name=name, daemon=True)
            for name, target in (("xinye-monitor", self._work), ("xinye-watch", self._watch))
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> None:
        """End the threads. A step in progress has so long to finish; what is not saved then comes
        again."""
        self._stop.set()
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))

    def is_alive(self) -> bool:
        """Whether all threads run."""
        return all(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        pause = LOOK
        while not self._stop.wait(pause):
            if self._tried(self._steps.step, "a step of the monitor failed"):
                pause = 0.0 if self._steps.reading else LOOK
            else:
                pause = min(2 * max(pause, LOOK), LONGEST_PAUSE)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK):
            self._tried(self._look, "the store cannot be read")

    def _look(self) -> None:
        """Wake the streams if the store has changed since the last look."""
        found = position(self._monitor)
        if found != self._known:
            self._known = found
            self._hub.changed()

    def _tried(self, do: Callable[[], object], what: str) -> bool:
        """Whether something succeeded. If not, the log says why, without texts of documents."""
        try:
            do()
        except Exception as error:
            if self._stop.is_set():  # the store may be closed
                return False
            known = isinstance(error, XinyeError)
            said = str(error) if known else "".join(traceback.format_tb(error.__traceback__))
            log.error("%s: %s: %s", what, type(error).__name__, said)
            return False
        return True


def position(monitor: Monitor) -> tuple[int, int]:
    """The numbers of the last document and of the last entry of the log."""
    return monitor.documents.last(), monitor.log.last()
