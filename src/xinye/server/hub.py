"""`Hub`: wakes the streams of a channel, which has any name, when something has changed."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from xinye.errors import TooMany, Unavailable

ALL = ""  # the channel that hears of all others
MOST_OF_ONE = 20  # streams of one of the others


class Wakeup:
    """What a stream waits for. `busy` says that something is in the making for its channel."""

    def __init__(self) -> None:
        self._loop, self._event = asyncio.get_running_loop(), asyncio.Event()
        self.busy = False

    def wake(self, busy: bool | None) -> None:
        """Wake the stream, from any thread. `busy` is None if that has not changed."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._wake, busy)

    def _wake(self, busy: bool | None) -> None:
        if busy is not None:
            self.busy = busy
        self._event.set()

    async def wait(self, seconds: float) -> bool:
        """True when something has changed; False if nothing has for so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True


class Hub:
    """The streams of a server, at most `most`."""

    def __init__(self, most: int) -> None:
        self._most, self._count = most, 0
        self._streams: dict[str, set[Wakeup]] = defaultdict(set)
        self._lock = threading.Lock()
        self.closed = False

    @contextmanager
    def open(self, channel: str) -> Iterator[Wakeup]:
        """A new stream, until the block ends."""
        wakeup = Wakeup()
        with self._lock:
            self._streams[channel].add(wakeup)
            self._count += 1
        try:
            yield wakeup
        finally:
            with self._lock:
                self._count -= 1
                self._streams[channel].discard(wakeup)
                if not self._streams[channel]:
                    del self._streams[channel]

    def check(self, channel: str) -> None:
        """Raises `Unavailable` or `TooMany` if no more stream can be opened."""
        if self.closed or self._count >= self._most:
            raise Unavailable("the server has too many open streams; try again later")
        if channel != ALL and len(self._streams.get(channel, ())) >= MOST_OF_ONE:
            raise TooMany(f"there are {MOST_OF_ONE} open streams of this already; close one")

    def changed(self, channel: str = ALL) -> None:
        """Something has changed in a channel."""
        if channel != ALL:
            self._wake(channel)
        self._wake(ALL)

    def busy(self, channel: str, begun: bool = True) -> None:
        """Something for a channel is in the making, such as an answer, or no longer."""
        self._wake(channel, begun)

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        for channel in [*self._streams]:
            self._wake(channel)

    def _wake(self, channel: str, busy: bool | None = None) -> None:
        with self._lock:
            streams = [*self._streams.get(channel, ())]
        for each in streams:
            each.wake(busy)
