"""`Support`: what the routes of a desk's server share, and what they send of it."""

from dataclasses import asdict, dataclass, field
from typing import Any

from fastapi import Request

from xinye.apps.support.conversations import Conversations
from xinye.apps.support.desk_settings import DeskSettings
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.apps.support.states import Conversation
from xinye.server.hub import Hub
from xinye.server.keys import Keys
from xinye.server.support.answers import Answers
from xinye.server.support.bots import Bots
from xinye.server.support.documents import Documents
from xinye.server.support.roles import Rate
from xinye.server.support.settings import SupportSettings
from xinye.server.threads import Threads

JSON = dict[str, Any]
SEEN_BY_CUSTOMERS = ("id", "state", "begun", "changed", "messages", "operator")
FOR_OPERATORS = ("suggestion", "score", "threshold", "why")


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
    def works(self) -> bool:
        """Whether the bot is running."""
        return self.bots.is_alive()

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
