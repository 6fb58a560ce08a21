"""`Feeds`: fetches the feeds of a monitor that are due, and gives what is in them."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, tzinfo

from xinye.apps.monitor.documents import (
    DAY,
    FUTURE,
    LONGEST_TEXT,
    MISSING,
    TEXT_CUT,
    Incoming,
    Origin,
    dated,
)
from xinye.apps.monitor.sources.dates import read_date
from xinye.apps.monitor.sources.feed_states import FeedState, FeedStates
from xinye.apps.monitor.sources.feed_threads import FeedThreads, Fetched
from xinye.apps.monitor.sources.fetching import Fetcher, FetchError, FetchLimits, Page
from xinye.apps.monitor.web_addresses import checked_url, link
from xinye.apps.store import Store
from xinye.data.feeds import FeedEntry, read_feed
from xinye.errors import XinyeError, plural

SOON = 1.0  # seconds after which a feed that does not answer no longer keeps others waiting
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

    def due(self, once: bool = False) -> Iterator[list[Incoming]]:
        """Fetch all feeds that are due. Gives the entries of each, as soon as it has answered, and
        an empty batch while all are silent. As long as some are silent, those of other hosts are
        fetched again when they are due, unless each is to be fetched only `once`.

        A feed only counts as read when the next one is asked for: if the program ends before, it is
        read again, and its entries have the same ids. No feed that fails stops the others."""
        threads = FeedThreads(self._fetcher, self._settings.hosts)
        try:
            looked = self._begin_due(threads)
            while threads.busy:
                fetched = threads.answer(SOON)
                if fetched is None:
                    yield []
                else:
                    yield from self._take(fetched)
                    threads.done(fetched.state)
                if not once and abs(self._clock() - looked) >= SOON:
                    looked = self._begin_due(threads)
        finally:
            threads.stop()

    def _begin_due(self, threads: FeedThreads) -> float:
        """Fetch what is due. Returns the time."""
        now = self._clock()
        threads.begin(state for state in self.states() if state.is_due(now))
        return now

    def _take(self, fetched: Fetched) -> Iterator[list[Incoming]]:
        """The entries of a feed, if it has any. After that, its state is saved."""
        page = fetched.page or NOTHING
        try:
            if fetched.error:
                raise fetched.error
            state, batch, notes = self._read(fetched.state, page)
        except Exception as error:  # parsers raise all kinds of errors; each affects one feed
            self._fail(fetched.state, error)
            return
        if batch:
            yield batch
        self._succeed(state, page, notes)

    def _succeed(self, state: FeedState, page: Page, notes: Sequence[str]) -> None:
        now = self._clock()
        answered = state.answered(now, now + self._settings.every)
        if page.data is not None:
            answered = answered.noted(notes).tagged(page.etag, page.modified)
        self._states.save(answered)
        for note in answered.notes:
            if note not in state.notes:
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

    def _read(self, state: FeedState, page: Page) -> tuple[FeedState, list[Incoming], list[str]]:
        """The state with the title of a page, its entries, the oldest first, and what is unusual
        about it."""
        if page.data is None:
            return state, [], []
        feed = read_feed(page.data, page.url, page.charset, self._settings.entries, page.cut)
        now = self._clock()
        problems: Counter[str] = Counter()
        state = state.titled(self._titles[state.url] or feed.title)
        origin = Origin(state.url, state.title or checked_url(state.url).hostname or state.url)
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
        return state, batch, notes

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
            problems[TEXT_CUT] += 1
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
