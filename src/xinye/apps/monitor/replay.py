"""Runs past documents through a monitor by their own dates, so that its alarms are known before
anyone relies on it."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from xinye.apps.monitor.alerts import Alert
from xinye.apps.monitor.documents import HOUR, Incoming
from xinye.apps.monitor.ingest import Added, Analyse
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.runner import open_monitor
from xinye.apps.monitor.sources.files import FileSource
from xinye.errors import XinyeError
from xinye.observer import Observer

STEP = 600.0  # seconds of past time between two looks
DAY = 24 * HOUR
WEEK = 7 * DAY


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
    no date and were left out, and the alerts in their order."""

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
    every ten minutes of that time. No messages are sent. `analyse` takes the place of the
    monitor's models. Raises `XinyeError` if the store exists or no document has a date."""
    observer = observer or Observer()
    if store.exists():
        raise XinyeError(f"{store}: exists; a replay begins with an empty store")
    observer.stage("reading the documents")
    notes = set[str]()
    found = [
        each
        for name in files
        for batch in FileSource(name, folder.settings.zone, notes.add).new()
        for each in batch
    ]
    for note in sorted(notes):
        observer.warn(note)
    dated = sorted(
        (each for each in found if each.published is not None), key=lambda each: _date(each)
    )
    if not dated:
        raise XinyeError("no document has a date, so their past cannot be replayed")
    clock = Clock(_date(dated[0]))
    analyse = analyse or folder.analyst().analyse
    added = Added()
    with closing(open_monitor(folder, store, clock)) as monitor:
        ingest = monitor.ingest(folder.settings.alarm, analyse, summarize=folder.summarizer())
        observer.stage("replaying")
        for number, batch in groupby(dated, key=lambda each: int(_date(each) // STEP)):
            while clock.now < number * STEP - DAY:  # a quiet time, in which the monitor looks on
                clock.now += DAY
                ingest.close_quiet()
            clock.now = (number + 1) * STEP
            added += ingest.add([*batch])
            seen = added.new + added.repeats + added.known + added.empty
            observer.progress(f"{seen:,} of {len(dated):,}")
        alerts = [monitor.alerts.get(number) for number in added.alerts]
    return Replay(_date(dated[0]), clock.now, added, len(found) - len(dated), alerts)


def _date(incoming: Incoming) -> float:
    return incoming.published or 0.0
