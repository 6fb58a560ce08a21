"""Operators: who has a conversation, for how long, and what they write."""

import threading

import pytest

from apps.support.conftest import Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.log import ASKED
from xinye.apps.support.reply import Reply, Source
from xinye.errors import Conflict, NotFound, XinyeError

TAKEN = "another operator talks to this customer"


@pytest.fixture
def waiting(customer: Customer) -> Customer:
    """A customer who has asked for a person."""
    customer.asks("转人工")
    customer.desk.customers.handover(*customer.ids)
    return customer


def test_the_queue_lists_who_waits_longest_first(desk: Conversations, clock: Clock) -> None:
    customers = [Customer(desk) for _ in range(4)]
    for customer in customers[:3]:
        desk.customers.handover(*customer.ids)
        clock.move(minutes=1)
    desk.operators.claim(customers[0].conversation, "amy")
    queue = desk.operators.queue()
    listed = [(each.id, each.state, each.operator) for each in queue.conversations]
    assert queue.total == 3
    assert listed == [
        (customers[1].conversation, "waiting", None),
        (customers[2].conversation, "waiting", None),
        (customers[0].conversation, "human", "amy"),
    ]
    assert queue.conversations[0].waiting == clock.now - 120
    assert queue.conversations[0].reason == ASKED


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        (("杯子能刻名字吗？", "谢谢", "我要人工", "人呢？", "？"), "杯子能刻名字吗？"),
        (("Can I return a cup?", "No, a person please", "still there?"), "Can I return a cup?"),
        (("在吗", "没用，转人工！"), "没用，转人工！"),
        (("那运费呢，转人工", "都不是", "1"), "那运费呢，转人工"),
        (("包裹到哪了？", "订单号 A123", "喂", "等半天了", "没解决"), "包裹到哪了？"),
        (("Is it free?", "my order number is A1234", "anyone??", "please answer"), "Is it free?"),
        (("喂猫的碗有吗？", "订单号A123能改吗"), "订单号A123能改吗"),
        ((), ""),
    ],
)
def test_the_queue_shows_what_was_asked(
    customer: Customer, said: tuple[str, ...], asked: str
) -> None:
    customer.desk.customers.handover(*customer.ids)
    for text in said:
        customer.asks(text)
    assert customer.desk.operators.queue().asked == {customer.conversation: asked}


@pytest.mark.parametrize("chosen", ["1", "第一个", "是的"])
def test_the_queue_shows_the_question_that_was_chosen(customer: Customer, chosen: str) -> None:
    customer.asks("钱啥时候回来")
    customer.gets(Reply("unsure", "您是不是想问：\n1. 退款多久到账？"))
    customer.asks(chosen)
    customer.desk.customers.handover(*customer.ids)
    customer.asks("谢谢")
    assert customer.desk.operators.queue().asked[customer.conversation] == "退款多久到账？"


def test_of_two_operators_one_gets_a_conversation(waiting: Customer) -> None:
    won, lost = [], []

    def claim(operator: str) -> None:
        try:
            won.append(waiting.desk.operators.claim(waiting.conversation, operator).operator)
        except Conflict as error:
            lost.append(str(error))

    threads = [threading.Thread(target=claim, args=(f"客服{at}",)) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1 and len(lost) == 7
    assert all(TAKEN in text for text in lost)
    assert waiting.desk.operators.state(waiting.conversation).operator == won[0]


def test_a_claim_that_runs_out(waiting: Customer, clock: Clock) -> None:
    operators = waiting.desk.operators
    operators.claim(waiting.conversation, "amy")
    clock.move(minutes=9)
    operators.reply(waiting.conversation, "amy", "我来帮您。")  # keeps it
    clock.move(minutes=9)
    operators.claim(waiting.conversation, "amy")  # so does this
    clock.move(minutes=9)
    assert waiting.state == "human"
    clock.move(minutes=1)
    assert waiting.state == operators.queue().conversations[0].state == "waiting"
    with pytest.raises(Conflict, match="not yours, or not any more; claim it first"):
        operators.reply(waiting.conversation, "amy", "还在吗？")
    assert operators.claim(waiting.conversation, "bob").operator == "bob"
    said = [(entry.what, entry.name) for _, entry in waiting.desk.log.entries()][-2:]
    assert said == [("claim_ended", "amy"), ("claimed", "bob")]


def test_only_the_one_who_has_it_replies_releases_and_closes(waiting: Customer) -> None:
    operators = waiting.desk.operators
    operators.claim(waiting.conversation, "amy")
    for call in (
        lambda: operators.claim(waiting.conversation, "bob"),
        lambda: operators.reply(waiting.conversation, "bob", "您好"),
        lambda: operators.release(waiting.conversation, "bob"),
        lambda: operators.close(waiting.conversation, "bob"),
    ):
        with pytest.raises(Conflict, match=TAKEN):
            call()
    operators.release(waiting.conversation, "amy")
    assert waiting.state == "waiting"
    operators.claim(waiting.conversation, "bob")
    operators.close(waiting.conversation, "bob")
    assert waiting.state == "closed"


def test_the_bot_is_silent_while_a_person_talks(customer: Customer) -> None:
    customer.desk.operators.claim(customer.conversation, "amy")  # taken from the bot
    customer.asks("你好")
    assert customer.desk.bot.next() is None
    assert customer.desk.customers.state(*customer.ids).state == "human"


def test_one_history_for_bot_and_people(customer: Customer) -> None:
    customer.asks("怎么退货？")
    customer.gets()
    customer.desk.customers.handover(*customer.ids)
    customer.desk.operators.claim(customer.conversation, "王芳")
    customer.desk.operators.reply(customer.conversation, "王芳", "您好，我是王芳。")
    customer.asks("好的")
    history = customer.desk.operators.messages(customer.conversation)
    assert [(each.number, each.sender, each.name) for each in history] == [
        (1, "customer", ""),
        (2, "bot", ""),
        (3, "operator", "王芳"),
        (4, "customer", ""),
    ]
    seen = customer.desk.customers.messages(*customer.ids)
    assert [(each.number, each.text) for each in seen] == [
        (each.number, each.text) for each in history
    ]


def test_a_reply_sent_twice_counts_once(waiting: Customer) -> None:
    operators = waiting.desk.operators
    operators.claim(waiting.conversation, "amy")
    first = operators.reply(waiting.conversation, "amy", "您好", "reply-1")
    assert operators.reply(waiting.conversation, "amy", "您好", "reply-1") == first
    assert waiting.texts == ["转人工", "您好"]


def test_what_the_customer_sent_is_masked_and_the_hotline_is_not(waiting: Customer) -> None:
    waiting.asks("我的电话是13812345678")
    waiting.desk.operators.claim(waiting.conversation, "amy")
    text = "已给 13812345678 发短信；有问题请打 13900001111。"
    message = waiting.desk.operators.reply(waiting.conversation, "amy", text)
    assert message.text == "已给 [电话1] 发短信；有问题请打 13900001111。"


def test_a_suggestion_and_its_correction(waiting: Customer) -> None:
    waiting.desk.operators.claim(waiting.conversation, "amy")
    suggestion = Reply(
        "faq", "五天内退货。", score=0.4, threshold=0.8, why="not certain", model="ab"
    )
    message = waiting.desk.operators.reply(
        waiting.conversation, "amy", "七天内退货。", suggestion=suggestion
    )
    assert (message.text, message.suggestion, message.kind) == (
        "七天内退货。",
        "五天内退货。",
        "faq",
    )
    (feedback,) = waiting.desk.feedback.waiting()
    assert (feedback.chosen, feedback.rejected) == ("七天内退货。", "五天内退货。")


def test_customers_do_not_see_what_is_for_operators(waiting: Customer) -> None:
    waiting.desk.operators.claim(waiting.conversation, "amy")
    suggestion = Reply(
        "faq", "内部建议", (Source("内部.md", 1, "内部"),), 0.4, 0.8, "内部原因", "ab"
    )
    waiting.desk.operators.reply(waiting.conversation, "amy", "您好。", suggestion=suggestion)
    assert "内部" not in str(waiting.desk.customers.messages(*waiting.ids))
    assert "内部原因" in str(waiting.desk.operators.messages(waiting.conversation))


def test_what_operators_get_wrong(waiting: Customer) -> None:
    operators = waiting.desk.operators
    with pytest.raises(NotFound):
        operators.claim("nothing", "amy")
    with pytest.raises(XinyeError, match="the name of the operator is empty"):
        operators.claim(waiting.conversation, " ")
    operators.claim(waiting.conversation, "amy")
    with pytest.raises(XinyeError, match="the reply has 20,001 characters; at most 20,000"):
        operators.reply(waiting.conversation, "amy", "字" * 20_001)


def test_a_suggestion_is_masked_as_a_reply_is(waiting: Customer) -> None:
    waiting.asks("我的电话是13812345678")
    waiting.desk.operators.claim(waiting.conversation, "amy")
    said = "我们会打13812345678给您。"
    message = waiting.desk.operators.reply(
        waiting.conversation, "amy", said, suggestion=Reply("faq", said)
    )
    assert "13812345678" not in message.text + message.suggestion
    with pytest.raises(XinyeError, match="the suggestion has 20,001 characters"):
        waiting.desk.operators.reply(
            waiting.conversation, "amy", "好", suggestion=Reply("faq", "长" * 20_001)
        )


def test_a_name_forges_no_line_of_the_log(waiting: Customer) -> None:
    with pytest.raises(XinyeError, match="cannot be printed"):
        waiting.desk.operators.claim(waiting.conversation, "Kim\n12:00 admin erased")
