"""The stream of a board: what is new, from any number on."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from xinye.apps.monitor.alerts import STATES
from xinye.apps.monitor.log import Entry
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import NotFound, XinyeError
from xinye.server import streams
from xinye.server.errors import APIError
from xinye.server.hub import ALL, Hub
from xinye.server.monitor.loop import position
from xinye.server.monitor.state import JSON, alert_seen
from xinye.server.streams import ALIVE, KEEP_ALIVE, RETRY, event

log = logging.getLogger("xinye.server")
PAGE = 200  # entries of the log that are read at once
Position = tuple[int, int]  # the numbers of the last document and of the last entry of the log
Event = tuple[str, JSON, Position]
Read = Callable[[Position], Awaitable[Sequence[Event]]]


def parse(last_event_id: str) -> Position | None:
    """The position that a client sends back; None if it has none."""
    numbers = last_event_id.split(".")
    if len(numbers) != 2 or not all(each.isascii() and each.isdigit() for each in numbers):
        return None
    return int(numbers[0]), int(numbers[1])


def begin(monitor: Monitor, known: Position | None) -> Position:
    """Where a stream begins: at the position that the client knows, unless the store is another
    one, or now."""
    now = position(monitor)
    fits = known is not None and known[0] <= now[0] and known[1] <= now[1]
    return known if known is not None and fits else now


def news(monitor: Monitor, known: Position) -> list[Event]:
    """What has happened since a position: new documents, then entries of the log, each with the
    position after it."""
    documents, entries = known
    found: list[Event] = []
    last = monitor.documents.last()
    if last > documents:
        found.append(("documents", {"last": last, "new": last - documents}, (last, entries)))
    for number, entry in monitor.log.entries(entries, PAGE):
        found.append((*_seen(monitor, number, entry), (last, number)))
    return found


def _seen(monitor: Monitor, number: int, entry: Entry) -> tuple[str, JSON]:
    seen: JSON = {"number": number, "at": entry.at, "who": entry.who, "what": entry.what}
    if entry.alert is None or entry.what not in (*STATES, "opened"):
        return "entry", seen | {"document": entry.document, "alert": entry.alert}
    try:
        return "alert", seen | {"alert": alert_seen(monitor.alerts.get(entry.alert))}
    except NotFound:
        return "entry", seen | {"document": None, "alert": entry.alert}


async def board_events(hub: Hub, read: Read, known: Position) -> AsyncIterator[str]:
    """What happens after a position. The first event, "ready", says that it has begun: what is
    read from now on misses nothing."""
    with hub.open(ALL) as wakeup:
        yield RETRY
        yield event("ready", {}, _number(known))
        while not hub.closed:
            try:
                found = await read(known)
            except (XinyeError, APIError) as error:
                log.error("a stream cannot read the store: %s", error)
                found = []
            for name, data, known in found:
                yield event(name, data, _number(known))
            await asyncio.sleep(streams.BETWEEN)
            if len(found) < PAGE and not await wakeup.wait(KEEP_ALIVE):
                yield ALIVE


def _number(known: Position) -> str:
    return f"{known[0]}.{known[1]}"
