"""Runs past documents through a monitor by their own dates, so that its alarms are known before
anyone relies on it."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from xinye.apps.monitor.alerts import Alert
from xinye.apps.monitor.documents import DAY, GIVEN, Incoming, dated
from xinye.apps.monitor.ingest import Added, Analyse, Ingest
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.normalized import no_company
from xinye.apps.monitor.runner import open_monitor
from xinye.apps.monitor.sources.files import FileSource
from xinye.errors import XinyeError
from xinye.observer import Observer

STEP = 600.0  # seconds of past time between two looks
WEEK = 7 * DAY
PAUSE = 0.2  # seconds until files that have just changed are looked at again


@dataclass
class Clock:
    """A clock that is set."""

    now: float = 0.0

    def __call__(self) -> float:
        """The seconds since 1970."""
        return self.now


@dataclass(frozen=True)
class Replay:
    """What happened: from the first date to the last, what became of the documents, how many had
    no date, or one of the future, and were left out, and the alerts in their order."""

    begin: float
    end: float
    added: Added
    undated: int
    alerts: list[Alert] = field(default_factory=list)

    @property
    def weeks(self) -> float:
        """The time in weeks."""
        return (self.end - self.begin) / WEEK


def replay(
    folder: MonitorFolder,
    files: Sequence[str],
    store: Path,
    analyse: Analyse | None = None,
    observer: Observer | None = None,
) -> Replay:
    """Write the documents of files to a new store as if each came at its own date, and judge them
    every ten minutes of that time. No messages are sent. The store is there when all is done.
    `analyse` takes the place of the monitor's models. Raises `XinyeError` if the store exists or no
    document has a date."""
    observer = observer or Observer()
    if store.exists():
        raise XinyeError(f"{store}: exists; a replay begins with an empty store")
    observer.stage("reading the documents")
    notes = set[str]()
    found = [
        each
        for name in files
        for each in _read(FileSource(name, folder.settings.zone, notes.add, once=True))
    ]
    for note in sorted(notes):
        observer.warn(note)
    now = time.time()
    past = sorted((each for each in found if dated(each.published, now)[1] == GIVEN), key=_date)
    if not past:
        raise XinyeError("no document has a date of the past, so nothing can be replayed")
    listed = no_company
    if analyse is None:
        analyst = folder.analyst()
        analyse, listed = analyst.analyse, analyst.listed
    clock = Clock(_date(past[0]))
    with (
        _made_whole(store) as beside,
        closing(open_monitor(folder, beside, clock)) as monitor,
    ):
        ingest = monitor.ingest(
            folder.settings.alarm, analyse, listed, summarize=folder.summarizer()
        )
        observer.stage("replaying")
        added, alerts = Added(), list[Alert]()
        for batch in _batches(past, clock, ingest):
            some = ingest.add(batch)
            added += some
            alerts += [monitor.alerts.get(number) for number in some.alerts]  # as they begin
            seen = added.new + added.repeats + added.known + added.empty
            observer.progress(f"{seen:,} of {len(past):,}")
    return Replay(_date(past[0]), clock.now, added, len(found) - len(past), alerts)


@contextmanager
def _made_whole(path: Path) -> Iterator[Path]:
    """Where a store is made that takes its place when it is whole. One of a replay that was
    interrupted would look like a quiet time."""
    with _creating(path):
        folder = TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.")
    with folder:
        beside = Path(folder.name) / path.name
        yield beside
        with _creating(path):
            for name in (f"{path.name}.key", path.name):
                beside.with_name(name).replace(path.with_name(name))


@contextmanager
def _creating(path: Path) -> Iterator[None]:
    """Inside, errors are about the creation of this file."""
    try:
        yield
    except OSError as error:
        raise XinyeError(
            f"{path}: the file cannot be created ({error.strerror}); create its folder, or correct "
            "the permissions"
        ) from None


def _read(source: FileSource) -> Iterator[Incoming]:
    """All documents of a source, also those of files that have just changed."""
    while True:
        for batch in source.new():
            yield from batch
        if not source.waits:
            return
        time.sleep(PAUSE)


def _batches(
    documents: Sequence[Incoming], clock: Clock, ingest: Ingest
) -> Iterator[list[Incoming]]:
    """The documents of each time between two looks, for which the clock is set."""
    for number, batch in groupby(documents, key=lambda each: int(_date(each) // STEP)):
        while clock.now < number * STEP - DAY:  # a quiet time, in which the monitor looks on
            clock.now += DAY
            ingest.close_quiet()
        clock.now = (number + 1) * STEP
        yield [*batch]


def _date(incoming: Incoming) -> float:
    return incoming.published or 0.0
