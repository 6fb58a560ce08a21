"""`Board`: what the routes of a monitor's server share, and what they send of it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Protocol

from fastapi import Depends, Request

from xinye.apps.monitor.alerts import Alert
from xinye.apps.monitor.analysis import Reason
from xinye.apps.monitor.documents import HOUR, Document
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import TooMany
from xinye.server.hub import Hub
from xinye.server.keys import Keys, needs
from xinye.server.monitor.loop import Loop, Steps
from xinye.server.monitor.settings import BoardSettings
from xinye.server.threads import Result, Threads

BEGINNING = 400  # characters of a text in a list
MOST_WAITING = 8  # requests that wait for a thread that does one after the other
JSON = dict[str, Any]

analyst = needs("analyst", "admin")
admin = needs("admin")
ingest = needs("ingest", "admin")
# what routes depend on: who may use them
FOR_ANALYSTS, FOR_ADMINS, FOR_PROGRAMS = [Depends(analyst)], [Depends(admin)], [Depends(ingest)]


class Analysing(Protocol):
    """What knows the topics of a model, and says why the models have decided as they did, such as
    an `Analyst`."""

    @property
    def topics(self) -> tuple[str, ...]: ...

    def reasons(self, title: str, text: str) -> tuple[str, list[Reason]]: ...


class Work(Steps, Protocol):
    """What a server does besides answering, such as a `Runner`."""

    @property
    def monitor(self) -> Monitor: ...

    @property
    def ingest(self) -> Ingest: ...

    @property
    def analyst(self) -> Analysing: ...


@dataclass
class Board:
    """What the routes share."""

    settings: BoardSettings
    keys: Keys
    about: MonitorSettings
    work: Work
    hub: Hub
    loop: Loop
    threads: Threads
    clock: Callable[[], float]
    waiting: dict[str, int]  # requests in the threads that do one after the other

    @property
    def monitor(self) -> Monitor:
        """The store."""
        return self.work.monitor

    @property
    def works(self) -> bool:
        """Whether its threads run."""
        return self.loop.is_alive()

    async def write(self, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that writes to the store, of which all boards are told."""
        result = await self.threads.write(do, *values)
        self.hub.changed()
        return result

    async def queued(self, pool: str, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something slow, of which only one is done at a time. Raises `TooMany` if
        too many wait for it already."""
        if self.waiting.get(pool, 0) >= MOST_WAITING:
            raise TooMany("too many requests wait for this; try again later")
        self.waiting[pool] = self.waiting.get(pool, 0) + 1
        try:
            return await self.threads.run(pool, do, *values)
        finally:
            self.waiting[pool] -= 1


def board(request: Request) -> Board:
    """What the routes share."""
    found: Board = request.app.state.board
    return found


Parts = Annotated[Board, Depends(board)]


# -- what is sent ----------------------------------------------------------------------------------


def document_seen(document: Document, whole: bool = False) -> JSON:
    """A document as it is sent, with the beginning of its text or all of it."""
    analysis, text = document.analysis, document.text
    return {
        "number": document.number,
        "source": document.source,
        "origin": document.origin,
        "title": document.title,
        "text": text if whole else text[:BEGINNING],
        "cut": not whole and len(text) > BEGINNING,
        "url": document.url,
        "at": document.at,
        "fetched": document.fetched,
        "dated": document.dated,
        "first": document.first,
        "repeats": document.repeats,
        "topics": [{"name": name, "probability": share} for name, share in analysis.topics],
        "mood": analysis.mood,
        "mood_probability": analysis.mood_probability,
        "companies": [*analysis.companies],
        "language": analysis.language,
    }


def alert_seen(alert: Alert) -> JSON:
    """An alert as it is sent; its time in seconds."""
    seen = asdict(alert) | {
        "since": alert.since * HOUR,
        "until": (alert.hour + 1) * HOUR,
        "documents": [document_seen(each) for each in alert.documents],
    }
    del seen["hour"]
    return seen
