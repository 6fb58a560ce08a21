"""Streams of a desk: the messages of a conversation, and the queue."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from xinye.errors import NotFound, XinyeError
from xinye.server import streams
from xinye.server.errors import APIError
from xinye.server.hub import ALL, Hub
from xinye.server.streams import ALIVE, JSON, KEEP_ALIVE, RETRY, event

log = logging.getLogger("xinye.server")
# The conversation and its messages after a number, as the client may see them.
Read = Callable[[int], Awaitable[tuple[JSON, Sequence[JSON]]]]


async def conversation_events(
    hub: Hub, conversation: str, read: Read, after: int
) -> AsyncIterator[str]:
    """The messages after a number, the state whenever it changes, and when the bot is typing, until
    the conversation is closed or deleted. The state comes behind the messages, so that that of a
    closed one is the last event."""
    known: JSON = {}
    with hub.open(conversation) as wakeup:
        yield RETRY
        while not hub.closed:
            typing, wakeup.busy = wakeup.busy, False
            try:
                state, messages = await read(after)
            except NotFound:
                return
            except (XinyeError, APIError) as error:
                log.error("a stream cannot read its conversation: %s", error)
                state, messages = known, []
            for message in messages:
                after = message["number"]
                yield event("message", message, after)
            if after < state.get("messages", 0) and messages:
                continue  # more than a page
            if any(known.get(name) != state[name] for name in state if name in STATE):
                known = state
                yield event("state", state)
            if state.get("state") == "closed":
                return
            if typing and not any(message["sender"] == "bot" for message in messages):
                yield event("typing", {})
            if not await wakeup.wait(KEEP_ALIVE):
                yield ALIVE


STATE = ("state", "operator", "claimed_until")  # what makes another event when it changes


async def queue_events(hub: Hub, read: Callable[[], Awaitable[JSON]]) -> AsyncIterator[str]:
    """The queue, whenever it changes, at most twice a second."""
    known: JSON | None = None
    with hub.open(ALL) as wakeup:
        yield RETRY
        while not hub.closed:
            try:
                queue = await read()
            except (XinyeError, APIError) as error:
                log.error("a stream cannot read the queue: %s", error)
                queue = known or {}
            if queue != known:
                known = queue
                yield event("queue", queue)
            await asyncio.sleep(streams.BETWEEN)
            if not await wakeup.wait(KEEP_ALIVE):
                yield ALIVE
