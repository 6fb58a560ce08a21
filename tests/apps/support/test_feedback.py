"""Feedback becomes a training record when an operator approves it."""

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from apps.support.conftest import FAQ, Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.limits import Limits
from xinye.apps.support.reply import Reply
from xinye.data.notes import Notes
from xinye.errors import NotFound, TooMany, XinyeError
from xinye.tasks.chat import Chat


@pytest.fixture
def answered(customer: Customer) -> Customer:
    customer.asks("怎么退货？")
    customer.gets()
    return customer


def test_a_thumb_up(answered: Customer) -> None:
    feedback = answered.desk.feedback
    number = feedback.by_customer(*answered.ids, 2, True)
    (waiting,) = feedback.waiting()
    assert (waiting.giver, waiting.good, waiting.question) == ("customer", True, "怎么退货？")
    assert (waiting.chosen, waiting.rejected) == (FAQ.text, "")
    assert feedback.records() == []
    feedback.approve(number, "amy")
    (record,) = feedback.records()
    assert feedback.waiting() == []
    assert record.chat()["messages"] == [
        {"role": "user", "content": "怎么退货？"},
        {"role": "assistant", "content": FAQ.text},
    ]
    assert record.preference() is None


def test_a_correction_is_a_preference(answered: Customer) -> None:
    feedback = answered.desk.feedback
    text = "十五天内可以退货，打我电话 13812345678。"
    number = feedback.by_customer(*answered.ids, 2, False, text)
    masked = "十五天内可以退货，打我电话 [电话1]。"
    assert feedback.approve(number, "amy").preference() == {
        "prompt": [{"role": "user", "content": "怎么退货？"}],
        "chosen": [{"role": "assistant", "content": masked}],
        "rejected": [{"role": "assistant", "content": FAQ.text}],
    }


def test_a_thumb_down_needs_the_right_answer(answered: Customer) -> None:
    feedback = answered.desk.feedback
    number = feedback.by_customer(*answered.ids, 2, False)
    with pytest.raises(XinyeError, match="write the right answer, then approve it"):
        feedback.approve(number, "amy")
    assert feedback.records() == []
    assert feedback.approve(number, "amy", "十五天内。").chosen == "十五天内。"
    assert len(feedback.records()) == 1


def test_an_operator_corrects_and_declines(answered: Customer) -> None:
    feedback = answered.desk.feedback
    number = feedback.by_operator(answered.conversation, "amy", 2, False, "请在 app 里申请退货。")
    other = feedback.by_customer(*answered.ids, 2, True)
    assert number != other
    feedback.decline(other, "amy")
    feedback.approve(number, "amy")
    assert [each.chosen for each in feedback.records()] == ["请在 app 里申请退货。"]


def test_the_same_feedback_again_changes_nothing(answered: Customer) -> None:
    feedback = answered.desk.feedback
    number = feedback.by_customer(*answered.ids, 2, True)
    feedback.approve(number, "amy")
    assert feedback.by_customer(*answered.ids, 2, True) == number
    assert len(feedback.records()) == 1
    assert feedback.by_customer(*answered.ids, 2, False, "不对") == number
    assert feedback.records() == []  # a new text, which nobody has approved
    assert answered.desk.log.figures().thumbs_down == 1
    assert answered.desk.log.figures().thumbs_up == 0


def test_earlier_answers_are_read_but_not_trained(
    answered: Customer, clock: Clock, tmp_path: Path
) -> None:
    answered.asks("要运费吗？")
    answered.asks("谁付？")
    answered.gets()
    answered.gets()
    feedback = answered.desk.feedback
    feedback.approve(feedback.by_customer(*answered.ids, 5, True), "amy")
    (record,) = feedback.records()
    assert [each.get("weight") for each in record.chat()["messages"]] == [None, 0, None, None]
    assert record.question == "要运费吗？\n谁付？"
    file = tmp_path / "chat.jsonl"
    file.write_text(json.dumps(record.chat(), ensure_ascii=False) + "\n", "utf-8")
    (read,) = Chat.read_file(file, lambda *problem: pytest.fail(str(problem)), Notes())
    assert [each.get("weight") for each in read.messages] == [None, "0", None, None]


def test_what_feedback_cannot_be_about(answered: Customer) -> None:
    feedback = answered.desk.feedback
    with pytest.raises(XinyeError, match="message 1 is the customer's; give feedback to an answer"):
        feedback.by_customer(*answered.ids, 1, True)
    with pytest.raises(NotFound, match="there is no such message"):
        feedback.by_customer(*answered.ids, 3, True)
    with pytest.raises(NotFound, match="feedback 7 does not exist"):
        feedback.approve(7, "amy")
    operators = answered.desk.operators
    other = Customer(answered.desk)
    operators.claim(other.conversation, "amy")
    operators.reply(other.conversation, "amy", "您好，请问有什么可以帮您？")
    number = feedback.by_customer(*other.ids, 1, True)
    with pytest.raises(XinyeError, match="there is no question before this answer"):
        feedback.approve(number, "amy")


def test_thumbs_are_counted_to_a_limit(tmp_path: Path, clock: Clock) -> None:
    desk = Conversations(tmp_path / "support.db", Limits(messages=3), clock=clock)
    customer = Customer(desk)
    customer.asks()
    customer.gets()
    for good in (True, False, True):
        desk.feedback.by_customer(*customer.ids, 2, good)
    with pytest.raises(TooMany, match="has had 3 thumbs"):
        desk.feedback.by_customer(*customer.ids, 2, False)
    desk.close()


def test_a_correction_belongs_to_the_question_and_not_to_the_handover(desk: Conversations) -> None:
    customer = Customer(desk)
    customer.asks("你好")
    customer.gets(Reply("template", "您好！"))
    customer.asks("杯子能刻名字吗？")
    customer.gets(Reply("unsure", "能换个说法吗？"))
    customer.asks("我要人工")
    customer.gets(Reply("handover", "请稍候。", why="the customer asks for a person"))
    desk.operators.claim(customer.conversation, "李")
    sent = desk.operators.reply(
        customer.conversation, "李", "可以，十个字以内。", suggestion=Reply("faq", "可以。")
    )
    [given] = desk.feedback.waiting()
    approved = desk.feedback.approve(given.number, "李")
    assert (given.message, approved.question) == (sent.number, "杯子能刻名字吗？")
    assert [each["role"] for each in approved.chat()["messages"]] == ["user", "assistant"]


@pytest.mark.parametrize(
    ("text", "waits"),
    [("可以刷信用卡。", True), ("请稍等，我看一下。", False), ("您的订单号是多少？", False)],
)
def test_what_an_operator_answers_waits_for_approval(
    customer: Customer, text: str, waits: bool
) -> None:
    customer.asks("可以用信用卡吗？")
    desk = customer.desk
    desk.operators.claim(customer.conversation, "李")
    desk.operators.reply(customer.conversation, "李", text)
    assert [each.chosen for each in desk.feedback.waiting()] == ([text] if waits else [])


def test_the_same_question_is_known_again(desk: Conversations) -> None:
    def gives(question: str, text: str) -> int:
        customer = Customer(desk)
        customer.asks(question)
        customer.gets()
        return desk.feedback.by_customer(*customer.ids, 2, False, text)

    first = gives("怎么退货？", "十天内。")
    other = gives("运费多少？", "五元。")
    second = gives("请问怎么退货呀", "七天内。")
    third = gives("怎么退货", "十天内。")
    waiting = desk.feedback.waiting()
    assert [each.first for each in waiting] == [first, other, first, first]
    assert [each.differ for each in waiting] == [True, False, True, True]
    assert desk.feedback.approve(first, "李").approved == ()
    waiting = {each.number: each for each in desk.feedback.waiting()}
    assert waiting[second].first == waiting[third].first == second
    assert {number: each.approved for number, each in waiting.items()} == {
        other: (), second: ("十天内。",), third: ()
    }  # fmt: skip
    assert desk.feedback.approve(second, "李").approved == ("十天内。",)
    assert [each.number for each in desk.feedback.records()] == [first, second]
    desk.feedback.approve(first, "李")
    assert [each.number for each in desk.feedback.records()] == [second, first]


def test_what_differs_in_punctuation_only_is_one_answer(desk: Conversations) -> None:
    for text in ("十天内。", "十天内"):
        customer = Customer(desk)
        customer.asks("怎么退货？")
        customer.gets()
        desk.feedback.by_customer(*customer.ids, 2, False, text)
    first, second = desk.feedback.waiting()
    assert not first.differ
    desk.feedback.approve(first.number, "李")
    assert desk.feedback.approve(second.number, "李").approved == ()


def test_two_answers_to_one_message_stay_in_order(answered: Customer, tmp_path: Path) -> None:
    feedback = answered.desk.feedback
    first = feedback.by_customer(*answered.ids, 2, False, "甲")
    second = feedback.by_operator(answered.conversation, "李", 2, True, "乙")
    feedback.approve(second, "李")
    feedback.approve(first, "李")
    assert [each.chosen for each in feedback.records()] == ["乙", "甲"]
    with closing(sqlite3.connect(tmp_path / "support.db")) as database:  # as it was made before
        database.executescript(
            "DROP INDEX feedback_by_decision; ALTER TABLE feedback DROP COLUMN decision; "
            "PRAGMA user_version = 1"
        )
    older = Conversations(tmp_path / "support.db")
    assert [each.chosen for each in older.feedback.records()] == ["乙", "甲"]
    older.close()


def test_long_questions_and_corrections_are_compared_in_no_time(desk: Conversations) -> None:
    for _ in range(3):
        customer = Customer(desk)
        for _ in range(10):
            customer.asks("呀" * 1_999 + "甲")
        desk.operators.claim(customer.conversation, "李")
        desk.operators.reply(customer.conversation, "李", "吗" + "啊" * 19_000 + "。吗")
    begun = time.monotonic()
    [given, *_] = desk.feedback.waiting()
    desk.feedback.approve(given.number, "李")
    assert time.monotonic() - begun < 1


def test_a_question_back_rejects_no_suggestion(customer: Customer) -> None:
    customer.asks("运费多少？")
    desk = customer.desk
    desk.operators.claim(customer.conversation, "李")
    for text in ("您寄到哪里？", "到新疆十五元。"):
        desk.operators.reply(
            customer.conversation, "李", text, suggestion=Reply("faq", "满99元包邮。")
        )
    given = [(each.answer, each.rejected) for each in desk.feedback.waiting()]
    assert given == [("到新疆十五元。", "满99元包邮。")]


def test_the_number_of_a_question_is_no_question(customer: Customer) -> None:
    customer.asks("钱啥时候回来")
    customer.gets(Reply("unsure", "您问的是下面哪一个？\n1. 退款多久到账？\n2. 怎么退货？"))
    customer.asks("1")
    customer.gets(Reply("faq", "两天内。"))
    customer.desk.feedback.by_customer(*customer.ids, 4, True)
    assert [each.question for each in customer.desk.feedback.waiting()] == ["钱啥时候回来"]
