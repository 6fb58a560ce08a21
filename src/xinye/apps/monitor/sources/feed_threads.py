"""`FeedThreads`: fetches feeds in several threads, so that a slow host only delays its own."""

import queue
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from xinye.apps.monitor.sources.feed_states import FeedState
from xinye.apps.monitor.sources.fetching import Fetcher, Page
from xinye.apps.monitor.web_addresses import checked_url


@dataclass(frozen=True)
class Fetched:
    """A feed that was asked: its state before, and the page, or why there is none."""

    state: FeedState
    page: Page | None = None
    error: Exception | None = None


class FeedThreads:
    """Threads that fetch feeds. Each is at one host, until a feed of this host fails; then other
    hosts come first. They must be stopped; they end after the request that they are at."""

    def __init__(self, fetcher: Fetcher, threads: int) -> None:
        self._fetcher, self._most = fetcher, threads
        self._left: Counter[str] = Counter()  # of each host, feeds that are not done
        self._waiting: queue.SimpleQueue[list[FeedState] | None] = queue.SimpleQueue()
        self._answers: queue.Queue[Fetched] = queue.Queue(threads)  # few pages are in memory
        self._threads: list[threading.Thread] = []
        self._stopped = threading.Event()

    @property
    def busy(self) -> bool:
        """Whether a feed is not done."""
        return self._left.total() > 0

    def begin(self, states: Iterable[FeedState]) -> None:
        """Fetch these feeds, without those of hosts of which earlier ones are not done."""
        hosts: defaultdict[str, list[FeedState]] = defaultdict(list)
        for state in states:
            host = _host(state)
            if not self._left[host]:
                hosts[host].append(state)
        for host, group in hosts.items():
            self._left[host] = len(group)
            self._waiting.put(group)
        # Only now, so that the rest of a host that fails at once is behind all of these.
        for _ in range(min(len(hosts), self._most - len(self._threads))):
            self._threads.append(threading.Thread(target=self._work, daemon=True))
            self._threads[-1].start()

    def answer(self, seconds: float) -> Fetched | None:
        """The next feed that was fetched; None if none answers for so long."""
        try:
            return self._answers.get(timeout=seconds)
        except queue.Empty:
            return None

    def done(self, state: FeedState) -> None:
        """Note that what a feed answered is saved."""
        self._left[_host(state)] -= 1

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        for _ in self._threads:
            self._waiting.put(None)

    def _work(self) -> None:
        while group := self._waiting.get():
            for number, state in enumerate(group, 1):
                if self._stopped.is_set():
                    return
                fetched = self._fetch(state)
                self._put(fetched)
                if fetched.error and group[number:]:
                    self._waiting.put(group[number:])
                    break

    def _fetch(self, state: FeedState) -> Fetched:
        try:
            return Fetched(state, self._fetcher.fetch(state.url, state.etag, state.modified))
        except Exception as error:  # a thread that ends with an error would leave others waiting
            return Fetched(state, error=error)

    def _put(self, fetched: Fetched) -> None:
        while not self._stopped.is_set():
            try:
                self._answers.put(fetched, timeout=0.5)
                return
            except queue.Full:
                continue


def _host(state: FeedState) -> str:
    return checked_url(state.url).hostname or ""
