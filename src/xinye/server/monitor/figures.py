"""The routes that only read: counts, feeds, messages, the log, and the stream of what is new."""

import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator

from xinye.apps.monitor.counts import TOPIC, Share
from xinye.apps.monitor.documents import DAY
from xinye.apps.monitor.labelled import mood_named
from xinye.apps.monitor.outbox import Outbox
from xinye.apps.monitor.sources.dates import read_date
from xinye.apps.monitor.sources.feed_states import FeedStates
from xinye.errors import XinyeError
from xinye.language import chinese
from xinye.server.bodies import JSONRoute
from xinye.server.errors import APIError
from xinye.server.hub import ALL
from xinye.server.keys import caller, unknown
from xinye.server.monitor.events import Event, Position, begin, board_events, news, parse
from xinye.server.monitor.schemas import PersonRequest
from xinye.server.monitor.state import FOR_ADMINS, FOR_ANALYSTS, JSON, Board, Parts
from xinye.server.streams import stream

router = APIRouter(route_class=JSONRoute)
USUAL_DAYS = 7  # of a trend
HOURS_UP_TO = 8 * DAY  # seconds; longer trends have a point for each day, unless asked otherwise
Name = Annotated[str, Query(max_length=200)]
NO_DATE = "this date cannot be read; write 2024-05-01T08:00:00Z, or seconds since 1970"
LATEST = 1e11  # seconds since 1970
Time = Annotated[
    str | None,
    Query(
        max_length=100,
        description="seconds since 1970, or a date such as 2024-05-01 or 2024-05-01T08:00, in the "
        "monitor's time zone unless it names another",
    ),
]
# An offset in an address, of which the plus became a space.
_LOST_PLUS = re.compile(r"(?<=:\d\d) (?=\d\d:?\d\d$)")
Mood = Annotated[
    Literal["", "positive", "neutral", "negative", "unsure"],
    BeforeValidator(lambda given: mood_named(given) or given),  # in Chinese, too
]
Count = Annotated[int, Query(ge=1, le=500)]
After = Annotated[int, Query(ge=0, lt=2**53, description="the number of the last one known")]


@router.get("/v1/monitor/about")
async def about(parts: Parts) -> JSON:
    """The name of the organization, the languages of the board, and its time zone."""
    settings = parts.about
    return {
        "name": settings.name,
        "languages": [*settings.languages],
        "time_zone": settings.time_zone,
    }


@router.get("/v1/monitor/role")
async def role(request: Request) -> JSON:
    """Which role the key belongs to."""
    found = caller(request)
    if not found.role:
        raise unknown("the key is missing or wrong")
    return {"role": found.role}


# -- counts ----------------------------------------------------------------------------------------


def period(parts: Parts, since: Time = None, until: Time = None) -> tuple[float, float]:
    """From when to when; the last days if that is not given."""
    begin, end = moment("since", since, parts), moment("until", until, parts)
    end = parts.clock() if end is None else end
    begin = end - USUAL_DAYS * DAY if begin is None else begin
    if begin > end:
        raise XinyeError("since: it is later than until")
    return begin, end


def moment(name: str, given: str | None, parts: Board) -> float | None:
    """A time of a request in seconds since 1970, None if there is none."""
    if not given:
        return None
    date = read_date(_LOST_PLUS.sub("+", given.strip()), parts.about.zone).at
    if date is not None:
        return date
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= LATEST:
        raise APIError(400, f"{name}: {NO_DATE}", name)
    return seconds


Period = Annotated[tuple[float, float], Depends(period)]


@router.get("/v1/monitor/trend", dependencies=FOR_ANALYSTS)
async def trend(
    parts: Parts,
    period: Period,
    topic: Name = "",
    company: Name = "",
    mood: Mood | None = None,
    step: Literal["hour", "day"] | None = None,
) -> JSON:
    """How many documents there are in each hour or day, by mood."""
    since, until = period
    step = step or ("hour" if until - since <= HOURS_UP_TO else "day")
    points = await parts.threads.read(
        parts.monitor.counts.trend, topic, company, mood, since, until, step
    )
    return {"step": step, "points": [asdict(each) for each in points]}


@router.get("/v1/monitor/topics", dependencies=FOR_ANALYSTS)
async def topics(parts: Parts, period: Period, count: Count = 100) -> JSON:
    """The topics with the most documents. `known` has the names of all topics that the model has
    learned, or that any document has ever had."""
    counts = parts.monitor.counts
    found = await parts.threads.read(counts.topics, *period)
    counted = await parts.threads.read(counts.names, TOPIC)
    known = sorted({*parts.work.analyst.topics, *counted})
    return {"total": len(found), "topics": _shares(found, count), "known": known}


@router.get("/v1/monitor/companies", dependencies=FOR_ANALYSTS)
async def companies(parts: Parts, period: Period, count: Count = 100) -> JSON:
    """The companies with the most documents."""
    found = await parts.threads.read(parts.monitor.counts.companies, *period)
    return {"total": len(found), "companies": _shares(found, count)}


def _shares(shares: list[Share], count: int) -> list[JSON]:
    return [asdict(each) for each in shares[:count]]


# -- feeds, messages, the log ----------------------------------------------------------------------


@router.get("/v1/monitor/feeds", dependencies=FOR_ANALYSTS)
async def feeds(parts: Parts) -> JSON:
    """The feeds that were fetched, those that fail first."""
    states = FeedStates(parts.monitor.store)
    found = await parts.threads.read(states.known)
    names = ("url", "title", "checked", "fresh", "stale", "failures", "error", "notes")
    shown = [{name: getattr(each, name) for name in names} for each in found]
    return {"feeds": [each | _in_chinese(each, "error", "notes") for each in shown]}


def _in_chinese(seen: JSON, *names: str) -> JSON:
    """What was saved in English, in Chinese, too: only the page knows what its reader reads."""
    return {"zh": {name: _chinese(seen[name]) for name in names}}


def _chinese(said: str | Sequence[str]) -> str | list[str]:
    return chinese(said) if isinstance(said, str) else [chinese(each) for each in said]


def _outbox(parts: Board) -> Outbox:
    return Outbox(parts.monitor.store, {}, parts.clock)


@router.get("/v1/monitor/deliveries", dependencies=FOR_ANALYSTS)
async def deliveries(
    parts: Parts,
    state: Literal["waiting", "sent", "dead"] = "dead",
    after: After = 0,
    count: Annotated[int, Query(ge=1, le=100)] = 100,
) -> JSON:
    """Messages about alarms in a state, and how many each state has."""
    outbox = _outbox(parts)
    found = await parts.threads.read(outbox.deliveries, state, after, count)
    counts = await parts.threads.read(outbox.counts)
    shown = [asdict(each) | _in_chinese(asdict(each), "error") for each in found]
    for each in shown:
        del each["key"]  # who has it could make a receiver believe that a message came before
    return {"counts": counts, "deliveries": shown}


@router.post("/v1/monitor/deliveries/{number}/resend", dependencies=FOR_ADMINS)
async def resend(number: int, body: PersonRequest, parts: Parts) -> JSON:
    """Send a dead message again."""
    return {"resent": await parts.write(_outbox(parts).resend, number, body.who)}


@router.get("/v1/monitor/log", dependencies=FOR_ADMINS)
async def entries(parts: Parts, after: After = 0) -> JSON:
    """The log: who did what."""
    found = await parts.threads.read(parts.monitor.log.entries, after)
    return {"entries": [{"number": number} | asdict(entry) for number, entry in found]}


@router.get("/v1/monitor/events", dependencies=FOR_ANALYSTS)
async def events(
    parts: Parts, last_event_id: Annotated[str, Header(max_length=40)] = ""
) -> Response:
    """A stream of what is new: documents, alerts, and entries of the log."""
    parts.hub.check(ALL)
    monitor = parts.monitor

    async def read(known: Position) -> list[Event]:
        return await parts.threads.read(news, monitor, known)

    known = await parts.threads.read(begin, monitor, parse(last_event_id))
    return stream(board_events(parts.hub, read, known))
