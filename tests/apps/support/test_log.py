"""The log only grows, and its figures stay when texts go."""

import sqlite3

import pytest

from apps.support.conftest import Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.log import ASKED, UNCERTAIN, Wait
from xinye.apps.support.reply import Reply

REASON = f"{UNCERTAIN}: nothing about 张三"


@pytest.fixture
def busy(desk: Conversations, clock: Clock) -> Conversations:
    """A desk at which something has happened."""
    for seconds in (1, 2, 9):
        customer = Customer(desk, "li.lei")
        customer.asks()
        clock.move(seconds=seconds)
        customer.gets()
    customer.asks("张三在吗？")
    customer.gets(Reply("handover", "请稍候。", why=REASON))
    clock.move(minutes=5)
    desk.operators.claim(customer.conversation, "amy")
    desk.operators.reply(customer.conversation, "amy", "我来帮您。")
    desk.feedback.by_customer(*customer.ids, 2, True)
    desk.customers.handover(*Customer(desk).ids)
    return desk


def test_figures(busy: Conversations, clock: Clock) -> None:
    figures = busy.log.figures()
    assert figures.conversations == 4
    assert figures.states == {"bot": 2, "human": 1, "waiting": 1}
    assert (figures.ended, figures.alone) == (0, 0)
    assert figures.replies == {"faq": 3, "handover": 1}
    assert figures.handovers == {UNCERTAIN: 1, ASKED: 1}
    assert figures.bot == Wait(conversations=3, median=2.0, p90=9.0)
    assert figures.people == Wait(conversations=1, median=300.0, p90=300.0)
    assert (figures.thumbs_up, figures.thumbs_down) == (1, 0)
    assert busy.log.figures(since=clock.now + 1).bot is None


@pytest.mark.parametrize(
    ("replies", "ended", "alone"),
    [
        ((), 0, 0),  # begun, and nothing said
        ((Reply("template", "您好！"),), 0, 0),  # a greeting only
        ((Reply("template", "三天内发货。", score=0.9, threshold=0.8),), 1, 1),
        ((Reply("template", "您好！"), Reply("faq", "三天内发货。")), 1, 1),
        ((Reply("unsure", "请换个说法。"), Reply("handover", "", why=UNCERTAIN)), 1, 0),
    ],
)
def test_the_share_without_a_person_is_of_closed_conversations_with_a_question(
    desk: Conversations, replies: tuple[Reply, ...], ended: int, alone: int
) -> None:
    closed, open_ = Customer(desk), Customer(desk)
    for customer in (closed, open_):
        for reply in replies:
            customer.asks()
            customer.gets(reply)
    desk.customers.close(*closed.ids)
    figures = desk.log.figures()
    assert (figures.conversations, figures.ended, figures.alone) == (2, ended, alone)


def test_who_is_taken_by_a_person_counts_as_with_one(desk: Conversations) -> None:
    customer = Customer(desk)
    customer.asks()
    customer.gets()
    desk.operators.claim(customer.conversation, "amy")
    desk.operators.close(customer.conversation, "amy")
    assert (desk.log.figures().ended, desk.log.figures().alone) == (1, 0)


def test_figures_stay_when_a_user_is_forgotten(busy: Conversations) -> None:
    before = busy.log.figures()
    busy.retention.forget("li.lei")
    after = busy.log.figures()
    assert after.states == {"closed": 3, "waiting": 1}
    for name in ("conversations", "replies", "handovers", "bot", "people", "thumbs_up"):
        assert getattr(after, name) == getattr(before, name), name
    assert not any(entry.why or entry.sources for _, entry in busy.log.entries())


def test_entries_are_numbered(busy: Conversations) -> None:
    entries = busy.log.entries()
    assert [number for number, _ in entries] == [*range(1, len(entries) + 1)]
    assert busy.log.entries(after=3, count=2) == entries[3:5]
    assert busy.log.latest(3) == entries[-3:]
    assert busy.log.latest(100, after=3) == entries[3:]
    assert [entry.why for _, entry in entries if entry.kind == "handover"] == [REASON]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET score = 1",
        "DELETE FROM log",
        "INSERT OR REPLACE INTO log SELECT * FROM log",
        "INSERT OR REPLACE INTO log_texts SELECT * FROM log_texts",
        "UPDATE log_texts SET why = ''",
        "DELETE FROM log_texts",
        "UPDATE conversations SET state = 'bot' WHERE state = 'closed'",
    ],
)
def test_the_log_cannot_be_changed(busy: Conversations, statement: str) -> None:
    busy.customers.close(*Customer(busy).ids)
    before = busy.log.entries()
    with pytest.raises(sqlite3.IntegrityError), busy.store.writing() as transaction:
        transaction.execute(statement)
    assert busy.log.entries() == before
