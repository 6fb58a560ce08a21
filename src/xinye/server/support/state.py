"""`Support`: what the routes of a desk's server share, and what they send of it."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from fastapi import Request

from xinye.apps.support.conversations import Conversations
from xinye.apps.support.desk_settings import DeskSettings
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.apps.support.states import Conversation
from xinye.errors import Unavailable, XinyeError
from xinye.server.errors import LATER, APIError
from xinye.server.support.answers import Answers
from xinye.server.support.bots import Bots
from xinye.server.support.documents import Documents
from xinye.server.support.hub import Hub
from xinye.server.support.roles import Keys, Rate
from xinye.server.support.settings import SupportSettings

log = logging.getLogger("xinye.server")
READERS, WRITERS = 8, 32  # threads; those that write may wait for a store that is locked
JSON = dict[str, Any]
Result = TypeVar("Result")
SEEN_BY_CUSTOMERS = ("id", "state", "begun", "changed", "messages", "operator")
FOR_OPERATORS = ("suggestion", "score", "threshold", "why")


class Threads:
    """Does what takes longer than the event loop may wait. Errors that name a file of the server
    are logged, and do not show it to the client."""

    def __init__(self, *private: Path) -> None:
        self._private = [str(path) for path in private]
        self._pools = {
            name: ThreadPoolExecutor(count, f"xinye-{name}")
            for name, count in (
                ("read", READERS),
                ("write", WRITERS),
                ("knowledge", 1),
                ("suggest", 2),
            )
        }

    async def read(self, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that reads the store."""
        return await self.run("read", do, *values)

    async def write(self, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that writes to the store."""
        return await self.run("write", do, *values)

    async def run(self, pool: str, do: Callable[..., Result], *values: Any) -> Result:
        """The result of something that one of these threads does."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pools[pool], do, *values)
        except XinyeError as error:
            if not any(path in str(error) for path in self._private):
                raise
            log.error("%s", error)
            if isinstance(error, Unavailable):
                raise APIError(
                    503, "this cannot be saved or read now; try again later", code="unavailable",
                    headers=LATER,
                ) from None  # fmt: skip
            raise APIError(500, "the server's log says what failed") from None

    def stop(self) -> None:
        """End the threads when they have finished."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class Support:
    """What the routes share."""

    settings: SupportSettings
    keys: Keys
    store: Conversations
    answers: Answers
    documents: Documents
    hub: Hub
    bots: Bots
    threads: Threads
    begun: Rate
    said: Rate
    suggested: dict[str, list[Reply]] = field(
        default_factory=dict
    )  # by conversation, new ones first

    @property
    def desk(self) -> DeskSettings:
        """The settings of the desk as they are now."""
        return self.answers.current.desk.settings

    def changed(self, conversation: str) -> None:
        """Tell all who watch a conversation that it has changed."""
        self.hub.changed(conversation)


def support(request: Request) -> Support:
    """What the routes share."""
    found: Support = request.app.state.support
    return found


# -- what is sent ----------------------------------------------------------------------------------


def as_seen(conversation: Conversation, by_operator: bool) -> JSON:
    """A conversation as an operator or its customer may see it."""
    whole = asdict(conversation)
    return whole if by_operator else {name: whole[name] for name in SEEN_BY_CUSTOMERS}


def message_seen(message: Message, by_operator: bool) -> JSON:
    """A message as an operator or its customer may see it."""
    whole = asdict(message if by_operator else message.for_customer())
    if not by_operator:
        for name in FOR_OPERATORS:
            del whole[name]
    return whole
