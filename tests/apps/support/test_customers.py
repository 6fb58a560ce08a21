"""What customers can do with their conversations, and with nobody else's."""

import pytest

from apps.support.conftest import FAQ, Clock, Customer
from xinye.apps.support.conversations import Conversations
from xinye.apps.support.limits import Limits
from xinye.apps.support.log import ASKED
from xinye.data.personal import Personal
from xinye.errors import Conflict, NotFound, TooMany, XinyeError


def test_a_question_and_its_answer(customer: Customer, clock: Clock) -> None:
    customer.asks("How do I return a parcel? 怎么退货？")
    clock.move(seconds=2)
    customer.gets()
    question, answer = customer.desk.customers.messages(*customer.ids)
    assert (question.number, question.sender, question.at) == (1, "customer", clock.now - 2)
    assert (answer.number, answer.sender, answer.at) == (2, "bot", clock.now)
    assert (answer.text, answer.kind) == (FAQ.text, "faq")


def test_a_stream_resumes_after_any_number(customer: Customer) -> None:
    for number in range(1, 6):
        customer.asks(f"第 {number} 条")
    numbers = {
        after: [each.number for each in customer.desk.customers.messages(*customer.ids, after)]
        for after in (-5, 0, 3, 5, 99, 10**30)
    }
    everything = [1, 2, 3, 4, 5]
    assert numbers == {-5: everything, 0: everything, 3: [4, 5], 5: [], 99: [], 10**30: []}


def test_a_message_sent_twice_counts_once(customer: Customer) -> None:
    first = customer.asks("我的包裹呢？", "client-1")
    assert customer.asks("我的包裹呢？", "client-1") == first
    assert customer.asks("我的包裹呢？", "client-2").number == 2
    other = Customer(customer.desk)
    assert other.asks("hello", "client-1").text == "hello"
    customer.gets()
    customer.gets()
    customer.desk.customers.close(*customer.ids)
    assert customer.asks("我的包裹呢？", "client-1") == first  # its answer may have been lost


def test_nobody_sees_the_conversation_of_somebody_else(desk: Conversations) -> None:
    mine, other = Customer(desk), Customer(desk)
    wrong = [
        (mine.conversation, other.begun.token),
        (mine.conversation, ""),
        (mine.conversation, "\ud800"),
        ("no-such-conversation", mine.begun.token),
        ("编号" * 100, mine.begun.token),
        ("", ""),
    ]
    customers, feedback = desk.customers, desk.feedback
    for ids in wrong:
        for call in (
            lambda ids: customers.state(*ids),
            lambda ids: customers.messages(*ids),
            lambda ids: customers.message(*ids, "hello"),
            lambda ids: customers.handover(*ids),
            lambda ids: customers.close(*ids),
            lambda ids: feedback.by_customer(*ids, 1, True),
        ):
            with pytest.raises(NotFound) as refused:
                call(ids)
            assert str(refused.value) == "there is no such conversation"
    assert mine.texts == []


def test_neither_token_nor_user_nor_client_id_is_stored(customer: Customer) -> None:
    customer.asks("你好", "a-client-id")
    customer.desk.close()
    data = customer.desk.store.path.read_bytes()
    for text in (customer.begun.token, "li.lei", "a-client-id"):
        assert text.encode() not in data


def test_personal_data_is_masked_with_the_same_mark(customer: Customer) -> None:
    customer.asks("我的手机是13812345678，邮箱 li@example.com")
    customer.asks("不是 13987654321，还是那个 138-1234-5678")
    assert customer.texts == ["我的手机是[电话1]，邮箱 [邮箱1]", "不是 [电话2]，还是那个 [电话1]"]
    other = Customer(customer.desk)
    other.asks("call me at 13987654321")
    assert other.texts == ["call me at [phone 1]"]


def test_a_tagger_finds_names(tmp_path, clock) -> None:
    def tagger(text: str) -> list[Personal]:
        at = text.find("李雷")
        return [Personal(at, at + 2, "name")] if at >= 0 else []

    desk = Conversations(tmp_path / "support.db", clock=clock, tagger=tagger)
    customer = Customer(desk)
    customer.asks("我叫李雷，电话13812345678")
    assert customer.texts == ["我叫[姓名1]，电话[电话1]"]
    desk.close()


def test_a_closed_conversation_stays_closed(customer: Customer) -> None:
    customer.asks()
    for _ in range(2):
        customer.desk.customers.close(*customer.ids)
    assert customer.state == "closed"
    assert customer.desk.bot.next() is None
    operators = customer.desk.operators
    for call in (
        lambda: customer.asks("再问一句"),
        lambda: customer.desk.customers.handover(*customer.ids),
        lambda: operators.claim(customer.conversation, "amy"),
        lambda: operators.reply(customer.conversation, "amy", "您好"),
        lambda: operators.release(customer.conversation, "amy"),
    ):
        with pytest.raises(Conflict, match="this conversation is closed; begin a new one"):
            call()
    assert customer.texts == ["怎么退货？"]


def test_a_customer_asks_for_a_person(customer: Customer) -> None:
    customer.asks()
    for _ in range(2):
        conversation = customer.desk.customers.handover(*customer.ids)
        assert (conversation.state, conversation.reason) == ("waiting", ASKED)
    customer.asks("有人吗？")
    assert customer.desk.bot.next() is None


def test_limits(tmp_path, clock: Clock) -> None:
    limits = Limits(message_characters=10, messages=3, open_conversations=3, open_per_account=2)
    desk = Conversations(tmp_path / "support.db", limits, clock=clock)
    customer = Customer(desk, "li.lei")
    customer.asks("十" * 10)
    for text, problem in (
        ("十" * 11, "the message has 11 characters; at most 10 are allowed"),
        (" \n", "the message is empty"),
        ("\ud83d", "the message is not valid Unicode"),
    ):
        with pytest.raises(XinyeError, match=problem):
            customer.asks(text)
    with pytest.raises(XinyeError, match="the id of the message has 201 characters"):
        customer.asks("好", "c" * 201)
    customer.asks("二")
    customer.asks("三")
    with pytest.raises(TooMany, match="this conversation has 3 messages; begin a new one"):
        customer.asks("四")
    Customer(desk, "li.lei")
    with pytest.raises(TooMany, match="2 conversations are open already"):
        Customer(desk, "li.lei")
    Customer(desk)
    with pytest.raises(TooMany, match="3 conversations are open already"):
        Customer(desk)
    clock.move(days=4)  # what is idle makes room
    Customer(desk)
    desk.close()
    with pytest.raises(XinyeError, match="messages: 0 is too small"):
        Limits(messages=0)
