"""The bot: every message is answered once, whatever happens to the workers and meanwhile."""

import pytest

from apps.support.conftest import FAQ, Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.log import FORBIDDEN, LATE, OTHER
from xinye.apps.support.reply import Reply, Source
from xinye.errors import XinyeError


def test_messages_are_answered_in_order(desk: Conversations, clock: Clock) -> None:
    one, two = Customer(desk), Customer(desk)
    for customer, text in ((one, "一"), (one, "二"), (two, "three")):
        customer.asks(text)
        clock.move(seconds=1)
    first = desk.bot.next()
    other = desk.bot.next()  # not "二", since "一" is not answered
    assert first and [each.text for each in first.turns] == ["一"]
    assert other and [each.text for each in other.turns] == ["three"]
    assert desk.bot.next() is None
    desk.bot.reply(first, FAQ)
    second = desk.bot.next()
    assert second and [each.text for each in second.turns] == ["一", "二"]


def test_a_lost_claim_is_worth_nothing(customer: Customer, clock: Clock) -> None:
    bot = customer.desk.bot
    customer.asks()
    slow = bot.next()
    clock.move(seconds=121)
    fast = bot.next()
    assert slow and fast and slow.number == fast.number
    assert bot.reply(slow, Reply("faq", "太慢")) is None
    assert bot.reply(fast, FAQ)
    assert bot.reply(fast, FAQ) is None
    assert customer.texts == ["怎么退货？", FAQ.text]


def test_a_message_that_no_worker_can_answer_goes_to_a_person(customer: Customer) -> None:
    bot = customer.desk.bot
    customer.asks()
    for _ in range(3):
        pending = bot.next()
        assert pending
        bot.give_back(pending)
    assert bot.next() is None
    assert customer.state == "waiting"
    assert customer.desk.log.figures().handovers == {LATE: 1}


def test_claims_are_freed_when_a_server_starts(customer: Customer) -> None:
    customer.asks()
    assert customer.desk.bot.next()
    assert customer.desk.bot.next() is None
    assert customer.desk.bot.free_claims() == 1
    assert customer.gets()


@pytest.mark.parametrize("text", ["请稍候，正在为您转接人工客服。", ""])
def test_a_handover(customer: Customer, text: str) -> None:
    customer.asks("你们会被起诉吗？")
    customer.asks("喂？")
    message = customer.gets(Reply("handover", text, why=f"{FORBIDDEN}: 起诉"))
    assert (message.text if message else "") == text
    conversation = customer.desk.operators.state(customer.conversation)
    assert (conversation.state, conversation.reason) == ("waiting", FORBIDDEN)
    assert customer.desk.bot.next() is None  # the person answers the rest, too


def test_a_reason_that_is_not_known_is_not_kept(customer: Customer) -> None:
    customer.asks()
    customer.gets(Reply("handover", "", why="张三 is angry"))
    assert customer.desk.log.figures().handovers == {OTHER: 1}


@pytest.mark.parametrize("what", ["claim", "close", "handover", "forget"])
def test_no_reply_once_the_bot_has_lost_the_conversation(customer: Customer, what: str) -> None:
    desk = customer.desk
    customer.asks()
    pending = desk.bot.next()
    match what:
        case "claim":
            desk.operators.claim(customer.conversation, "amy")
        case "close":
            desk.customers.close(*customer.ids)
        case "handover":
            desk.customers.handover(*customer.ids)
        case "forget":
            desk.retention.forget("li.lei")
    assert pending and desk.bot.reply(pending, FAQ) is None
    if what != "forget":
        assert customer.texts == ["怎么退货？"]


def test_the_evidence_of_a_reply(customer: Customer) -> None:
    source = Source("手册.md", 12, "七天内可以退货。")
    customer.asks()
    customer.gets(Reply("passage", "七天内", (source,), 0.91, 0.85, "the passage answers", "ab12"))
    answer = customer.desk.operators.messages(customer.conversation)[-1]
    assert (answer.kind, answer.score, answer.threshold) == ("passage", 0.91, 0.85)
    assert (answer.why, answer.sources) == ("the passage answers", (source,))
    _, entry = customer.desk.log.entries()[-1]
    assert (entry.who, entry.what, entry.model, entry.message) == ("bot", "reply", "ab12", 2)
    assert entry.sources == (source,)


def test_an_empty_reply_is_refused(customer: Customer) -> None:
    customer.asks()
    with pytest.raises(XinyeError, match="the reply is empty"):
        customer.gets(Reply("written", " "))
