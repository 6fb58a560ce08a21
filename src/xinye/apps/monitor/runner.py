"""`Runner`: what a monitor does again and again: read its sources, analyse and count what is new,
raise alarms, and send messages about them."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from functools import partial
from pathlib import Path

from xinye.apps.monitor.channels import open_channels
from xinye.apps.monitor.documents import DAY, Incoming
from xinye.apps.monitor.ingest import Added, Ingest
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.notices import Wording
from xinye.apps.monitor.outbox import Outbox, Sent, write_deliveries
from xinye.apps.monitor.sources.feeds import Feeds, FeedSettings
from xinye.apps.monitor.sources.files import STDIN, FileSource, read_stdin
from xinye.apps.monitor.sources.opml import read_opml
from xinye.apps.monitor.web_addresses import checked_url
from xinye.data.files import suffix_of
from xinye.data.notes import Notes
from xinye.errors import Unavailable, XinyeError

OPML = (".opml", ".xml")
MOST = 10  # batches of a source in one step
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """What a step did with documents, and with messages."""

    added: Added = field(default_factory=Added)
    sent: Sent = field(default_factory=Sent)

    def __add__(self, other: "Done") -> "Done":
        return Done(self.added + other.added, self.sent + other.sent)


class Runner:
    """A monitor at work. `sources` are files and folders of records, lists of feeds (OPML), single
    feeds (https://…), and "-" for standard input. `warn` hears of what went wrong with them.

    >>> runner = Runner(folder, monitor, ["feeds.opml"])  # doctest: +SKIP
    >>> while runner.endless or runner.reading:  # doctest: +SKIP
    ...     runner.step()
    """

    def __init__(
        self,
        folder: MonitorFolder,
        monitor: Monitor,
        sources: Sequence[str],
        clock: Callable[[], float] = time.time,
        warn: Warn = lambda text: None,
        once: bool = False,
    ) -> None:
        """Load the models, and check sources and channels. `once` tells that sources are read only
        once. Raises `XinyeError` for a source that is not there, and for a channel whose secret is
        missing."""
        settings = folder.settings
        self.monitor, self._warn, self._clock = monitor, warn, clock
        urls, names, stdin = _sorted(sources, settings.zone, warn)
        self._files = {name: FileSource(name, settings.zone, warn, clock, once) for name in names}
        feeds = FeedSettings(
            allow=settings.private_hosts, every=settings.feed_minutes * 60, zone=settings.zone
        )
        self.feeds = Feeds(monitor.store, urls, feeds, clock, warn=warn)
        self._sources = {
            "feeds": _Source(partial(self.feeds.due, once)),
            **{name: _Source(files.new) for name, files in self._files.items()},
        }
        if stdin is not None:
            self._sources[STDIN] = _Source(lambda: stdin)
        self._problems: dict[str, str] = {}  # of sources, each told once
        self.failed = False  # whether a source could not be read, now or earlier
        channels = open_channels(settings.channels, os.environ, warn)
        wording = Wording(settings.languages[0], settings.board_url, settings.zone)
        notify = partial(write_deliveries, channels=tuple(channels), wording=wording)
        self.analyst = folder.analyst()
        self.ingest: Ingest = monitor.ingest(
            settings.alarm,
            self.analyst.analyse,
            self.analyst.listed,
            notify=notify,
            summarize=folder.summarizer(),
        )
        self.outbox = Outbox(monitor.store, channels, clock)
        self._tidied = float("-inf")

    @property
    def endless(self) -> bool:
        """Whether more may come: from feeds and folders. A file ends."""
        return bool(self.feeds.urls) or any(Path(name).is_dir() for name in self._files)

    @property
    def reading(self) -> bool:
        """Whether a source has not been read to its end: a long file, or standard input."""
        return any(source.batches is not None for source in self._sources.values())

    @property
    def waiting(self) -> bool:
        """Whether a file that has just changed waits to be read soon."""
        return any(files.waits for files in self._files.values())

    def step(self) -> Done:
        """Read what is new in each source, at most `MOST` batches, and send what is due after each.
        No source that goes on or is silent keeps the others waiting. One that cannot be read stops
        nothing else: it is told, and `failed`. Once a day, delete texts that are too old. Raises
        `Unavailable` if the store cannot be written: then the batch comes again in the next
        step."""
        done = Done()
        for name, source in self._sources.items():
            try:
                for batch in source.some():
                    done += Done(self.ingest.add(batch), self.outbox.send_due())
                self._problems.pop(name, None)
            except Unavailable:
                raise
            except (XinyeError, OSError) as error:
                self.failed = True
                if self._problems.get(name) != str(error):
                    self._problems[name] = str(error)
                    self._warn(str(error))
        self.ingest.close_quiet()
        if abs(self._clock() - self._tidied) >= DAY:
            self.monitor.retention.tidy()
            self.feeds.forget_others()
            self._tidied = self._clock()
        return done + Done(sent=self.outbox.send_due())


@dataclass
class _Source:
    """A source, of which each step reads a part. `read` begins to read it; an empty batch says that
    no more is there now. A batch that could not be written comes again."""

    read: Callable[[], Iterator[list[Incoming]]]
    batches: Iterator[list[Incoming]] | None = None  # while it is being read
    pending: list[Incoming] | None = None

    def some(self) -> Iterator[list[Incoming]]:
        """The next batches that are there, at most `MOST`."""
        for _ in range(MOST):
            if self.batches is None:
                self.batches = self.read()
            try:
                batch = self.pending or next(self.batches)
            except BaseException as error:
                self.batches = None
                if isinstance(error, StopIteration):
                    return
                raise
            if not batch:
                return
            self.pending = batch
            yield batch
            self.pending = None  # only now, because whoever takes the documents may have failed


def open_monitor(
    folder: MonitorFolder, store: Path, clock: Callable[[], float] = time.time
) -> Monitor:
    """The store of a monitor, made if there is none."""
    settings = folder.settings
    limits = Limits(retention_days=settings.retention_days, near_days=settings.repeat_days)
    return Monitor(store, limits, clock, settings.hours_ahead)


def _sorted(
    sources: Sequence[str], zone: tzinfo, warn: Warn
) -> tuple[dict[str, str], list[str], Iterator[list[Incoming]] | None]:
    """The addresses of feeds with their titles, the names of files and folders, and standard
    input."""
    urls, files = dict[str, str](), dict[Path, str]()
    stdin = None
    for source in sources:
        path = Path(source).expanduser()
        if source == STDIN:
            stdin = read_stdin(sys.stdin.buffer, zone, warn)
        elif source.startswith(("http://", "https://")):
            urls.setdefault(checked_url(source).geturl(), "")
        elif suffix_of(path) in OPML:
            notes = Notes()
            try:
                urls |= read_opml(path, notes)
            finally:
                for note in notes.sentences():
                    warn(note)
        elif path.exists():
            files.setdefault(path.resolve(), source)  # however it is written, it is read once
        else:
            raise XinyeError(f"--source {source}: there is no such file or folder")
    return urls, [*files.values()], stdin
