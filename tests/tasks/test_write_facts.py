"""Facts: how they are read, when they contradict each other, and which of them a text has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.errors import XinyeError
from xinye.tasks.write_facts import (
    Fact,
    invented,
    lines_of,
    missing,
    of_lines,
    read_facts,
    share_used,
)
from xinye.tasks.write_news import facts_of_news

WORDS = st.text("茶ab; 1.é", min_size=1).map(lambda text: " ".join(text.split())).filter(bool)
KEYS = st.text("价格ab", min_size=1, max_size=9)


@given(st.lists(st.tuples(KEYS, WORDS), min_size=1, unique_by=lambda pair: pair[0]))
def test_what_a_model_reads_gives_the_same_facts(pairs):
    facts = tuple(Fact(*pair) for pair in pairs)
    assert read_facts(lines_of(facts), "x") == facts


@given(st.lists(st.tuples(KEYS, st.text("茶a1:；;=", min_size=1)), min_size=1))
def test_a_fact_stays_one_when_it_is_read_again(pairs):
    facts = tuple(Fact(*pair) for pair in pairs)
    assert of_lines(lines_of(facts)) == facts


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ({"时间": "8点", "茶": ["龙井", "白茶"], "价格": 12}, "时间：8点\n茶：龙井、白茶\n价格：12"),
        (["time=10:30", "see https://a.b/c", "Open at 10:30"],
         "time: 10:30\nsee https://a.b/c\nOpen at 10:30"),
        ("标题：甲：乙；时间: 9", "标题：甲：乙\n时间：9"),
        ("time: 8; 9", "time: 8; 9"),
        ("time: 8; 9\nplace: here", "time: 8; 9\nplace: here"),
        (["价格=12元", "价 格：十二元", "价格=12元"], "价格：12元"),
        ({"tea": ["green", "black"]}, "tea: green; black"),
        (["tea", "tea: green", "Tea"], "tea\ntea: green"),
        ("茶\n茶：白茶", "茶\n茶：白茶"),
    ],
)  # fmt: skip
def test_the_forms_of_facts(value, lines):
    assert lines_of(read_facts(value, "x")) == lines


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["价格=12元", "价格=15元"], "contradict each other: '价格' is '12元' and '15元'"),
        (["Price=5 boxes", "price=5 bags"], "contradict each other"),
        ({"时间": " "}, "the fact '时间' has no value"),
        ("", "there are no facts"),
        (7, "expected facts as an object, a list or a text"),
        ({"a": {"b": 1}}, "a fact must be a text or a number"),
    ],
)
def test_facts_that_cannot_be_used(value, says):
    with pytest.raises(XinyeError, match=r"^line 3: ") as error:
        read_facts(value, "line 3")
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "text", "there"),
    [
        ("龙井", "新到龙井。", True),
        ("12元", "每斤十二元。", True),
        ("12", "共12.5元", False),
        ("5%", "涨了1.5%", False),
        ("tea", "a team", False),
        ("高女士", "钱女士，您好！", False),
        ("Ms Hart", "Dear Ms Moss", False),
        ("oolong from Kington", "In Kington we have oolong.", True),
        ("Two boxes of green tea", "We sent 2 boxes with green tea.", True),
        ("茶铺白茶卖八元一斤", "茶铺的白茶，一斤8元。", True),
        ("茶铺白茶卖八元一斤", "茶铺的白茶，一斤9元。", False),
    ],
)
def test_whether_a_text_has_a_fact(value, text, there):
    fact = Fact("", value)
    assert (missing([fact], text) == []) is there


def test_each_value_of_a_list_counts():
    facts = [Fact("茶", "龙井、白茶、普洱"), Fact("价格", "5元")]
    assert share_used(facts, "龙井和普洱都是5元。") == 0.75


def test_numbers_that_no_fact_has():
    assert invented("八元一斤，12月3日前买满三百元减5元。", "价格：8元\n日期：12月3日") == [
        "三百元",
        "5元",
    ]


def test_facts_of_news():
    chinese = facts_of_news("茶价上涨", "1月5日，《茶报》称茶价涨5%，每斤200元，12家茶铺受影响。")
    assert lines_of(chinese).split("\n")[1:] == [
        "时间：1月5日", "金额：200元", "比例：5%", "数量：12家", "名称：茶报",
    ]  # fmt: skip
    broken = facts_of_news("茶", "《茶业规划（2021-2025年）》公布，\n茶铺“开\n门”。")
    assert [fact.key for fact in broken] == ["标题", "时间", "其他数字"]
    english = facts_of_news("Tea", "On May 3, 2024 the firm Green Leaf paid $2 million, or 5%.")
    assert [str(each) for each in english[1:]] == [
        "time: May 3, 2024", "amount: $2 million", "share: 5%", "names: Green Leaf",
    ]  # fmt: skip
