"""Streams of server-sent events.

A stream keeps nothing. When it is woken it reads from the store what came after the last number
that it has sent, so that a slow client costs nothing, and one that comes back with that number
misses nothing."""

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.datastructures import Headers

KEEP_ALIVE = 15.0  # seconds
BETWEEN = 0.5  # seconds between two events about the same thing
RETRY = "retry: 2000\n\n"
ALIVE = ": keep-alive\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
JSON = dict[str, Any]


def stream(events: AsyncIterator[str]) -> StreamingResponse:
    """The answer that sends these events."""
    return StreamingResponse(events, media_type="text/event-stream", headers=HEADERS)


def event(name: str, data: JSON, number: int | str | None = None) -> str:
    """An event. Its number is sent back by a client that has lost the connection."""
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def wants_stream(headers: Headers) -> bool:
    """Whether the client asks for events."""
    return "text/event-stream" in headers.get("accept", "").lower()
