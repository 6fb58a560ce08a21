"""`Feeds`: fetches the feeds of a monitor that are due, and gives what is in them."""

import queue
import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

from xinye.apps.monitor.documents import DAY, Incoming, Origin
from xinye.apps.monitor.sources.addresses import checked_url, link
from xinye.apps.monitor.sources.dates import FUTURE, MISSING, dated, read_date
from xinye.apps.monitor.sources.feed_states import FeedState, FeedStates
from xinye.apps.monitor.sources.fetching import Fetcher, FetchError, FetchLimits, Page
from xinye.apps.store import Store
from xinye.data.feeds import FeedEntry, read_feed
from xinye.errors import XinyeError, plural

LONGEST_TEXT = 100_000  # characters of an entry
SOON = 1.0  # seconds after which a feed that does not answer no longer keeps other sources waiting
MOST_KNOWN = 100_000  # states of feeds that are looked through
UNDATED = "the date is missing or not readable"
AHEAD_OF_TIME = "the date is in the future"
EMPTY = "entries without a title and a text are left out"
NOTHING = Page(None, "")
Warn = Callable[[str], None]


@dataclass(frozen=True)
class FeedSettings:
    """How feeds are fetched. `allow` names hosts in private networks that may be fetched, and
    `zone` is that of dates that name none. A feed that fails is asked again after `every` seconds,
    then after twice as many, at most `longest_wait`."""

    allow: tuple[str, ...] = ()
    every: float = 300.0
    longest_wait: float = 6 * 3600.0
    entries: int = 1_000  # of a feed at a time
    hosts: int = 4  # that are asked at the same time
    zone: tzinfo = UTC
    limits: FetchLimits = field(default_factory=FetchLimits)


@dataclass(frozen=True)
class _Fetched:
    state: FeedState
    page: Page | None = None
    error: Exception | None = None


class Feeds:
    """The feeds of a monitor. Their states are kept in its store.

    >>> feeds = Feeds(store, {"https://example.org/news.rss": "News"})  # doctest: +SKIP
    >>> for batch in feeds.due():  # doctest: +SKIP
    ...     ingest.add(batch)
    """

    def __init__(
        self,
        store: Store,
        titles: Mapping[str, str],
        settings: FeedSettings | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        warn: Warn = lambda text: None,
    ) -> None:
        """`titles` are those of the feeds, by their addresses; "" for one that the feed gives
        itself. `warn` hears of feeds that fail, or that answer something unusual, once for each
        change. Raises `XinyeError` for what is not a web address."""
        self._titles = {checked_url(url).geturl(): title for url, title in titles.items()}
        self.urls = tuple(self._titles)
        self._settings = settings or FeedSettings()
        self._states = FeedStates(store)
        self._clock, self._warn = clock, warn
        self._fetcher = Fetcher(self._settings.limits, self._settings.allow, clock, sleep)

    def states(self) -> list[FeedState]:
        """The state of each feed."""
        return [state.titled(self._titles[state.url]) for state in self._states.find(self.urls)]

    def forget_others(self) -> None:
        """Forget the states of feeds that are no longer listed. If none is listed here, another
        process may read those of the store; then only what nobody has read for a day."""
        late = self._clock() - DAY
        self._states.forget(
            state.url
            for state in self._states.known(MOST_KNOWN)
            if (state.url not in self._titles if self._titles else state.due < late)
        )

    def due(self) -> Iterator[list[Incoming]]:
        """Fetch all feeds that are due now. Gives the entries of each, as soon as it has answered,
        and an empty batch while all are silent.

        A feed only counts as read when the next one is asked for: if the program ends before, it is
        read again, and its entries have the same ids. No feed that fails stops the others."""
        now = self._clock()
        states = [state for state in self.states() if state.is_due(now)]
        for fetched in _fetch_all(states, self._fetcher, self._settings.hosts):
            if fetched is None:
                yield []
                continue
            state, page = fetched.state, fetched.page or NOTHING
            try:
                if fetched.error:
                    raise fetched.error
                batch, note, title = self._read(state, page)
            except Exception as error:  # parsers raise all kinds of errors; each affects one feed
                self._fail(state, error)
                continue
            if batch:
                yield batch
            self._succeed(state.titled(self._titles[state.url] or title), page, note)

    def _succeed(self, state: FeedState, page: Page, note: str) -> None:
        now = self._clock()
        if page.data is None:
            note = state.note
        answered = state.answered(now, now + self._settings.every, note)
        if page.data is not None:
            answered = answered.tagged(page.etag, page.modified)
        self._states.save(answered)
        if note and note != state.note:
            self._warn(f"{state.url}: {note}")

    def _fail(self, state: FeedState, error: Exception) -> None:
        now, settings = self._clock(), self._settings
        wait = min(settings.every * 2.0 ** min(state.failures, 30), settings.longest_wait)
        wanted = error.retry_after if isinstance(error, FetchError) else None
        if wanted is not None:
            wait = min(max(wait, wanted), settings.longest_wait)
        problem = str(error) if isinstance(error, XinyeError) else f"it cannot be read ({error})"
        problem = " ".join(problem.split())
        self._states.save(state.failed(now, now + max(wait, settings.every), problem))
        if problem != state.error:
            self._warn(f"{state.url}: {problem}")

    def _read(self, state: FeedState, page: Page) -> tuple[list[Incoming], str, str]:
        """The entries of a page, the oldest first, what is unusual about it, and its title."""
        if page.data is None:
            return [], "", ""
        feed = read_feed(page.data, page.url, page.charset, self._settings.entries, page.cut)
        now = self._clock()
        problems: Counter[str] = Counter()
        title = state.titled(self._titles[state.url] or feed.title).title
        origin = Origin(state.url, title or checked_url(state.url).hostname or state.url)
        batch = [self._incoming(origin, entry, now, problems) for entry in feed.entries]
        notes = []
        if page.cut:
            size = self._settings.limits.size / 1e6
            notes.append(f"it is larger than {size:g} MB; what is beyond is left out")
        elif feed.broken:
            notes.append(f"its XML is broken and was repaired ({feed.broken})")
        if feed.left_out:
            count = self._settings.entries
            notes.append(f"only the first {count:,} entries of {count + feed.left_out:,} are read")
        shared = _shared(batch)
        if shared:
            notes.append("several entries have the same id; their texts tell them apart")
        batch = [replace(each, shared=each.id in shared) for each in batch]
        for what, count in problems.items():
            notes.append(f"{what} ({plural(count, 'entry', 'entries')})")
        batch = [each for each in reversed(batch) if each.title or each.text]
        return batch, "; ".join(notes), feed.title

    def _incoming(
        self, origin: Origin, entry: FeedEntry, now: float, problems: Counter[str]
    ) -> Incoming:
        date = read_date(entry.published, self._settings.zone)
        published = date.at if date.at is not None else entry.at
        kind = dated(published, now)[1]
        if kind == MISSING:
            problems[UNDATED] += 1
        elif kind == FUTURE:
            problems[AHEAD_OF_TIME] += 1
        elif not date.zoned:
            problems[f"{self._settings.zone} is assumed for a date without a zone"] += 1
        if len(entry.text) > LONGEST_TEXT:
            problems[f"the text is cut after {LONGEST_TEXT:,} characters"] += 1
        if not entry.title and not entry.text:
            problems[EMPTY] += 1
        identity = entry.id or entry.url
        return Incoming(
            "", identity, entry.title[:LONGEST_TEXT], entry.text[:LONGEST_TEXT], link(entry.url),
            published, origin,
        )  # fmt: skip


def _shared(batch: Sequence[Incoming]) -> set[str]:
    """The ids that several different entries have."""
    first: dict[str, tuple[str, str]] = {}
    return {
        each.id
        for each in batch
        if each.id and first.setdefault(each.id, (each.title, each.text)) != (each.title, each.text)
    }


def _fetch_all(
    states: Sequence[FeedState], fetcher: Fetcher, threads: int
) -> Iterator[_Fetched | None]:
    """Fetch feeds in several threads, each with the feeds of one host at a time. Gives None if none
    answers for `SOON` seconds. When the caller stops, the threads end after the request that they
    are at."""
    hosts: defaultdict[str, list[FeedState]] = defaultdict(list)
    for state in states:
        hosts[checked_url(state.url).hostname or ""].append(state)
    waiting = deque(hosts.values())
    results: queue.Queue[_Fetched] = queue.Queue(threads)  # few pages are in memory
    stopped = threading.Event()

    def work() -> None:
        while True:
            try:
                group = waiting.popleft()
            except IndexError:
                return
            for state in group:
                if stopped.is_set():
                    return
                _put(results, _fetch(state, fetcher), stopped)

    for _ in range(min(threads, len(hosts))):
        threading.Thread(target=work, daemon=True).start()
    try:
        left = len(states)
        while left:
            try:
                fetched = results.get(timeout=SOON)
            except queue.Empty:
                yield None
                continue
            yield fetched
            left -= 1
    finally:
        stopped.set()


def _fetch(state: FeedState, fetcher: Fetcher) -> _Fetched:
    try:
        return _Fetched(state, fetcher.fetch(state.url, state.etag, state.modified))
    except Exception as error:  # a thread that ends with an error would leave the others waiting
        return _Fetched(state, error=error)


def _put(results: queue.Queue[_Fetched], fetched: _Fetched, stopped: threading.Event) -> None:
    while not stopped.is_set():
        try:
            results.put(fetched, timeout=0.5)
            return
        except queue.Full:
            continue
