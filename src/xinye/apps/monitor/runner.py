"""`Runner`: what a monitor does again and again: read its sources, analyse and count what is new,
raise alarms, and send messages about them."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xinye.apps.monitor.channels import open_channels
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.ingest import Added, Ingest
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.notices import Wording
from xinye.apps.monitor.outbox import Outbox, Sent, write_deliveries
from xinye.apps.monitor.sources.feeds import Feeds, FeedSettings
from xinye.apps.monitor.sources.files import STDIN, FileSource, read_stdin
from xinye.apps.monitor.sources.opml import read_opml
from xinye.data.files import suffix_of
from xinye.data.notes import Notes
from xinye.errors import XinyeError

OPML = (".opml", ".xml")
Warn = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """What a step did with documents, and with messages."""

    added: Added
    sent: Sent


class Runner:
    """A monitor at work. `sources` are files and folders of records, lists of feeds (OPML), single
    feeds (https://…), and "-" for standard input. `warn` hears of what went wrong with them.

    >>> with closing(Runner(folder, monitor, ["feeds.opml"])) as runner:  # doctest: +SKIP
    ...     while True:
    ...         runner.step()
    """

    def __init__(
        self,
        folder: MonitorFolder,
        monitor: Monitor,
        sources: Sequence[str],
        clock: Callable[[], float] = time.time,
        warn: Warn = lambda text: None,
    ) -> None:
        """Load the models, and check sources and channels. Raises `XinyeError` for a source that
        is not there, and for a channel whose secret is missing."""
        settings = folder.settings
        self.monitor, self._warn, self._clock = monitor, warn, clock
        urls, self._files, self._stdin = _sorted(sources, warn)
        feeds = FeedSettings(
            allow=settings.private_hosts, every=settings.feed_minutes * 60, zone=settings.zone
        )
        self.feeds = Feeds(monitor.store, urls, feeds, clock, warn=warn)
        self._sources = [FileSource(name, settings.zone, warn, clock) for name in self._files]
        channels = open_channels(settings.channels, os.environ)
        wording = Wording(settings.languages[0], settings.board_url, settings.zone)
        notify = partial(write_deliveries, channels=tuple(channels), wording=wording)
        self.analyst = folder.analyst()
        self.ingest: Ingest = monitor.ingest(
            settings.alarm,
            self.analyst.analyse,
            notify=notify,
            summarize=folder.summarizer(),
        )
        self.outbox = Outbox(monitor.store, channels, clock)

    @property
    def endless(self) -> bool:
        """Whether more may come: from feeds and folders. A file ends."""
        return bool(self.feeds.urls) or any(Path(name).is_dir() for name in self._files)

    def step(self) -> Done:
        """Read what is new in all sources, and send what is due. Raises `Unavailable` if the store
        cannot be written: then the documents come again in the next step."""
        added = Added()
        for batch in self._batches():
            added += self.ingest.add(batch)
        self.ingest.close_quiet()
        return Done(added, self.outbox.send_due())

    def _batches(self) -> Iterator[list[Incoming]]:
        yield from self.feeds.due()
        for source in self._sources:
            yield from source.new()
        if self._stdin is not None:
            stdin, self._stdin = self._stdin, None  # it is read once
            yield from stdin


def open_monitor(
    folder: MonitorFolder, store: Path, clock: Callable[[], float] = time.time
) -> Monitor:
    """The store of a monitor, made if there is none."""
    settings = folder.settings
    limits = Limits(retention_days=settings.retention_days, near_days=settings.repeat_days)
    return Monitor(store, limits, clock, settings.hours_ahead)


def _sorted(
    sources: Sequence[str], warn: Warn
) -> tuple[list[str], list[str], Iterator[list[Incoming]] | None]:
    """The addresses of feeds, the names of files and folders, and standard input."""
    urls, files = list[str](), list[str]()
    stdin = None
    for source in sources:
        path = Path(source).expanduser()
        if source == STDIN:
            stdin = read_stdin(sys.stdin.buffer, warn=warn)
        elif source.startswith(("http://", "https://")):
            urls.append(source)
        elif suffix_of(path) in OPML:
            notes = Notes()
            urls += read_opml(path, notes)
            for note in notes.sentences():
                warn(note)
        elif path.exists():
            files.append(source)
        else:
            raise XinyeError(f"--source {source}: there is no such file or folder")
    return urls, files, stdin
