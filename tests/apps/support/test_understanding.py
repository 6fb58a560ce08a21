"""What a question adds to an entry of the FAQ, and which questions are not learned."""

import pytest

from xinye.apps.support.context import unclear_alone
from xinye.apps.support.faq import Entry
from xinye.apps.support.matching import FAQMatcher
from xinye.apps.support.understanding import Understanding

OPENED = Entry("猫粮开封后能放多久？", "放在阴凉处，两个月内吃完。", (), "", "", 1)
RETURN = Entry("怎么退货？", "点“我的订单”申请。", ("退货怎么办",), "", "", 1)
FREE = Entry("Is shipping free?", "From £40.", (), "", "", 1)


@pytest.mark.parametrize(
    ("question", "entry", "adds"),
    [
        ("狗粮开封后能放多久", OPENED, True),
        ("猫粮没开封能放多久", OPENED, True),
        ("猫粮开封后可以放多久", OPENED, False),
        ("成都怎么退货", RETURN, True),
        ("会员怎么退货", RETURN, True),
        ("我想退货怎么弄", RETURN, False),
        ("你们家能不能退货", RETURN, False),
        ("退货流程", RETURN, False),
        ("Is shipping not free?", FREE, True),
        ("Is the shipping free, please?", FREE, False),
    ],
)
def test_a_new_word_or_a_negation_adds_something(question: str, entry: Entry, adds: bool) -> None:
    assert Understanding(FAQMatcher(), [entry]).adds(question, 0) is adds


@pytest.mark.parametrize(
    ("question", "unclear"),
    [
        ("运费呢", True),
        ("里面有他的吗", True),
        ("好的，那周边有停车场吗", True),
        ("怎么退货呢？", False),
        ("龙井的运费呢", False),
        ("还卖其它茶具吗", False),
        ("is his order here", True),
        ("Is there a discount for students?", False),
    ],
)
def test_a_question_that_needs_another_is_not_learned(question: str, unclear: bool) -> None:
    assert unclear_alone(question) is unclear
