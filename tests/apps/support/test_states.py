"""Whatever happens in whatever order, a conversation never does what it may not."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from apps.support.conftest import Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.apps.support.states import NEXT
from xinye.errors import Conflict

AMY_OR_BOB = st.sampled_from(["amy", "bob"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


class Machine(RuleBasedStateMachine):
    """Two customers, two operators and a slow bot, and what they have seen so far."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = Clock()
        self.desk = Conversations(Path(self.folder.name) / "support.db", clock=self.clock)
        self.customers = [Customer(self.desk) for _ in range(2)]
        self.states = ["bot", "bot"]
        self.seen: list[list[Message]] = [[], []]
        self.claimed: list[object] = []
        self.answered: set[tuple[str, int]] = set()

    def teardown(self) -> None:
        self.desk.close()
        self.folder.cleanup()

    # Each rule says what must hold when it succeeds, and that only a conflict stops it.

    @rule(who=st.integers(0, 1), text=TEXTS, client=st.sampled_from(["", "一", "二"]))
    def ask(self, who: int, text: str, client: str) -> None:
        customer, before = self.customers[who], len(self.seen[who])
        if not text.strip():
            return
        try:
            message = customer.asks(text, client)
        except Conflict:
            assert self.states[who] == "closed"
        else:
            assert message.number <= before or self.states[who] != "closed"

    @rule()
    def take(self) -> None:
        pending = self.desk.bot.next()
        if pending:
            assert self.state_of(pending.conversation) == "bot"
            assert pending.turns[-1].number == pending.number
            self.claimed.append(pending)

    @rule(at=st.integers(0, 9), kind=st.sampled_from(["faq", "handover"]))
    def answer(self, at: int, kind: str) -> None:
        if not self.claimed:
            return
        pending = self.claimed[at % len(self.claimed)]
        before = self.state_of(pending.conversation)
        if self.desk.bot.reply(pending, Reply(kind, "答")):
            key = (pending.conversation, pending.number)
            assert before == "bot" and key not in self.answered
            self.answered.add(key)

    @rule(who=st.integers(0, 1), operator=AMY_OR_BOB)
    def claim(self, who: int, operator: str) -> None:
        conversation = self.desk.operators.state(self.customers[who].conversation)
        taken = conversation.state == "human" and conversation.operator != operator
        self.may(
            not taken and conversation.state != "closed",
            lambda: self.desk.operators.claim(conversation.id, operator),
        )

    @rule(who=st.integers(0, 1), operator=AMY_OR_BOB, what=st.sampled_from(["reply", "release"]))
    def work(self, who: int, operator: str, what: str) -> None:
        conversation = self.desk.operators.state(self.customers[who].conversation)
        own = conversation.state == "human" and conversation.operator == operator
        arguments = (conversation.id, operator, *(["您好"] if what == "reply" else []))
        self.may(own, lambda: getattr(self.desk.operators, what)(*arguments))

    @rule(who=st.integers(0, 1))
    def hand_over(self, who: int) -> None:
        closed = self.states[who] == "closed"
        self.may(not closed, lambda: self.desk.customers.handover(*self.customers[who].ids))

    @rule(who=st.integers(0, 1), rarely=st.integers(0, 5))
    def close(self, who: int, rarely: int) -> None:
        if not rarely:
            self.desk.customers.close(*self.customers[who].ids)

    @rule(minutes=st.sampled_from([1, 3, 11]))
    def wait(self, minutes: int) -> None:
        self.clock.move(minutes=minutes)

    def may(self, allowed: bool, call) -> None:
        if allowed:
            call()
        else:
            with pytest.raises(Conflict):
                call()

    def state_of(self, conversation: str) -> str:
        return self.desk.operators.state(conversation).state

    @invariant()
    def states_follow_each_other(self) -> None:
        for who, customer in enumerate(self.customers):
            before, now = self.states[who], customer.state
            self.states[who] = now
            # One step may both end a claim and claim again, or close.
            ways = {before, *NEXT[before], *(each for next in NEXT[before] for each in NEXT[next])}
            assert now in ways, (before, now)
            assert before != "closed" or now == "closed"
            assert now != "bot" or before == "bot"

    @invariant()
    def histories_only_grow(self) -> None:
        for who, customer in enumerate(self.customers):
            messages = self.desk.customers.messages(*customer.ids)
            assert messages[: len(self.seen[who])] == self.seen[who]
            assert [each.number for each in messages] == [*range(1, len(messages) + 1)]
            self.seen[who] = messages


TestStates = Machine.TestCase
TestStates.settings = settings(max_examples=25, stateful_step_count=25, deadline=None)
