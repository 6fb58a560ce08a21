"""The routes of alerts: reading, acknowledging, muting and closing them."""

from dataclasses import asdict
from typing import Annotated, Literal

from fastapi import APIRouter, Query

from xinye.server.bodies import JSONRoute
from xinye.server.monitor.schemas import MuteRequest, PersonRequest, UnmuteRequest
from xinye.server.monitor.state import FOR_ANALYSTS, JSON, Parts, alert_seen

router = APIRouter(route_class=JSONRoute, dependencies=FOR_ANALYSTS)
ONE = "/v1/monitor/alerts/{number}"


@router.get("/v1/monitor/alerts")
async def alerts(
    parts: Parts,
    state: Literal["open", "acknowledged", "closed"] | None = None,
    before: Annotated[int | None, Query(ge=0, lt=2**53)] = None,
    count: Annotated[int, Query(ge=1, le=100)] = 50,
) -> JSON:
    """The last alerts, the newest first, each with its most typical documents."""
    found = await parts.threads.read(parts.monitor.alerts.find, state, before, count)
    return {"alerts": [alert_seen(each) for each in found]}


@router.get(ONE)
async def alert(number: int, parts: Parts) -> JSON:
    """One alert."""
    return {"alert": alert_seen(await parts.threads.read(parts.monitor.alerts.get, number))}


@router.post(f"{ONE}/ack")
async def acknowledge(number: int, body: PersonRequest, parts: Parts) -> JSON:
    """Say that somebody deals with an alert. 409 if it is closed."""
    found = await parts.write(parts.monitor.alerts.acknowledge, number, body.who)
    return {"alert": alert_seen(found)}


@router.post(f"{ONE}/mute")
async def mute(number: int, body: MuteRequest, parts: Parts) -> JSON:
    """Acknowledge an alert, and give no others about its subject for so many hours."""
    found = await parts.write(parts.monitor.alerts.mute, number, body.hours, body.who)
    return {"alert": alert_seen(found)}


@router.post(f"{ONE}/close")
async def close(number: int, body: PersonRequest, parts: Parts) -> JSON:
    """Close an alert."""
    found = await parts.write(parts.monitor.alerts.close, number, body.who)
    return {"alert": alert_seen(found)}


@router.get("/v1/monitor/mutes")
async def mutes(parts: Parts) -> JSON:
    """The subjects that are muted now."""
    found = await parts.threads.read(parts.monitor.alerts.mutes)
    return {"mutes": [asdict(each) for each in found]}


@router.post("/v1/monitor/unmute")
async def unmute(body: UnmuteRequest, parts: Parts) -> JSON:
    """Give alerts about a subject again."""
    await parts.write(parts.monitor.alerts.unmute, body.kind, body.subject, body.who)
    return {"kind": body.kind, "subject": body.subject}
