"""`Monitor`: the store of a monitor, with what can be done with it."""

import time
from collections.abc import Callable
from pathlib import Path

from xinye.apps.keys import secret_of
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.alerts import Alerts
from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.corrections import Corrections
from xinye.apps.monitor.counts import Counts
from xinye.apps.monitor.ingest import Analyse, Ingest
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.log import Log
from xinye.apps.monitor.normalized import Listed, no_company
from xinye.apps.monitor.queries import Documents
from xinye.apps.monitor.retention import Retention
from xinye.apps.monitor.schema import MIGRATIONS
from xinye.apps.monitor.watch import Notify, Summarize, Watch
from xinye.apps.store import TIMEOUT, Store

KIND = "monitor"


class Monitor:
    """The documents, counts and alerts of a monitor, in one file that several processes can use at
    the same time. All methods are safe to call from several threads.

    >>> monitor = Monitor("monitor.db")  # doctest: +SKIP
    >>> ingest = monitor.ingest(AlarmSettings(), analyst.analyse)  # doctest: +SKIP
    >>> ingest.add([Incoming("wire", "17", "Fire at a plant", "…")])  # doctest: +SKIP
    >>> monitor.alerts.find("open")  # doctest: +SKIP

    `clock` gives seconds since 1970, and `zone` is how many hours local time is ahead of UTC."""

    def __init__(
        self,
        path: str | Path,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        zone: int = 0,
        create: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        """Open the store, or make it. Raises `XinyeError` as `Store` does."""
        self.limits = limits or Limits()
        self.store = Store(path, KIND, MIGRATIONS, create, timeout)
        try:
            archive = Archive(self.store, secret_of(self.store), self.limits, clock, zone)
        except BaseException:
            self.store.close()
            raise
        self._archive = archive
        self.documents = Documents(archive)
        self.counts = Counts(archive)
        self.alerts = Alerts(archive)
        self.corrections = Corrections(archive)
        self.retention = Retention(archive)
        self.log = Log(self.store)

    def ingest(
        self,
        settings: AlarmSettings | None = None,
        analyse: Analyse | None = None,
        listed: Listed = no_company,
        notify: Notify | None = None,
        summarize: Summarize | None = None,
    ) -> Ingest:
        """What writes documents. Make one for each process; threads share it."""
        watch = Watch(settings or AlarmSettings(), self.limits, notify, summarize)
        return Ingest(self._archive, watch, analyse, listed)

    def close(self) -> None:
        """Close the store's file."""
        self.store.close()
