"""A desk in a file, with a clock that stands still until a test moves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xinye.apps.support.conversations import Conversations
from xinye.apps.support.customers import Begun
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply

FAQ = Reply("faq", "退货请在七天内申请。", score=0.9, threshold=0.8, why="the nearest question")


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def move(self, *, seconds: float = 0, minutes: float = 0, days: float = 0) -> None:
        self.now += seconds + 60 * minutes + 86_400 * days


class Customer:
    """A customer of a desk, who has a conversation."""

    def __init__(self, desk: Conversations, account: str = "") -> None:
        self.desk = desk
        self.begun: Begun = desk.customers.begin(account)
        self.conversation = self.begun.conversation
        self.ids = (self.begun.conversation, self.begun.token)

    def asks(self, text: str = "怎么退货？", client: str = "") -> Message:
        return self.desk.customers.message(*self.ids, text, client)

    def gets(self, reply: Reply = FAQ) -> Message | None:
        """Let the bot answer the oldest message."""
        pending = self.desk.bot.next()
        assert pending and pending.conversation == self.conversation
        return self.desk.bot.reply(pending, reply)

    @property
    def state(self) -> str:
        return self.desk.customers.state(*self.ids).state

    @property
    def texts(self) -> list[str]:
        return [each.text for each in self.desk.customers.messages(*self.ids)]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tmp_path: Path, clock: Clock) -> Iterator[Conversations]:
    desk = Conversations(tmp_path / "support.db", clock=clock)
    yield desk
    desk.close()


@pytest.fixture
def customer(desk: Conversations) -> Customer:
    return Customer(desk, "li.lei")
