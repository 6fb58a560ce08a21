"""Which numbers and names of an answer stand in none of its sources."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.retrieval.graph import Fact, Graph
from xinye.retrieval.numbers import numbers
from xinye.retrieval.requests import Conversation
from xinye.retrieval.support import share_said, unsupported
from xinye.retrieval.terms import content, index_terms, terms

PARTS = (
    *("five", "fıve", "sİx", "mıllıon", "ſeven", "Hundred", "and", "-", " ", ",", ".", "3", "٣", "²"),
    *("一", "万", "亿", "两", "点", "百分之", "个", "元", "K", "March", "王·", "《", "》", "“", "”", "[1]"),
)  # fmt: skip
TEXTS = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("一百二十天", 120, "day"),
        ("一亿两千万", 120_000_000, ""),
        ("二〇二四年", 2024, "year"),
        ("叁佰伍拾元", 350, "yuan"),
        ("3.5 万元", 35_000, "yuan"),
        ("三点五倍", 3.5, ""),
        ("百分之三十", 30, "percent"),
        ("one hundred and twenty-five thousand miles", 125_000, "mile"),
        ("$1,234.50", 1234.5, "dollar"),
        ("2.5 million", 2_500_000, ""),
        ("a three-month term", 3, "month"),
        ("March 2024", 3, "month"),
    ],
)
def test_a_number_in_all_its_forms(text, value, unit):
    sure = [each for each in numbers(text) if each.sure]
    assert (float(sure[0].value), sure[0].unit) == (value, unit)


@pytest.mark.parametrize(
    "text", ["统一 万一 一样 十分 千万不要", "one of them may march", "A4 R2D2"]
)
def test_a_word_is_no_number(text):
    assert not [each for each in numbers(text) if each.sure]


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("试用期不得超过六个月[1]。", "试用期最长 6 个月"),
        ("1. 三十天内\n2. 提前通知", "提前 30 日通知"),
        ("导演是列夫·托尔斯泰吧。", "《战争与和平》由列夫·托尔斯泰写成"),
        ("According to passage [2], It costs five dollars.", "It costs $5."),
        ("Located in Paris, the tower's height is 300 m.", "The Tower in Paris is 300 metres high"),
        ("I think the U.S. NASA launched it.", "nasa of the U.S. launched it"),
        ("他说：“可以退货”。", "“可以退货。”他说"),
    ],
)
def test_what_the_source_says_in_other_forms_is_supported(answer, source):
    assert unsupported(answer, [source]) == ()


@pytest.mark.parametrize(
    ("answer", "source", "found"),
    [
        ("试用期是七个月。", "试用期最长 6 个月", ("七个月",)),
        ("It is 30 miles away.", "It is 30 km away", ("30 miles",)),
        ("About 40% agreed in May 2020.", "40% agreed in 2020", ("May",)),
        ("由张伟担任。", "由他担任", ("张伟",)),
        ("见《民法典》。", "见《劳动法》", ("《民法典》",)),
        ("作者是约翰·史密斯。", "作者是约翰·米勒", ("者是约翰·史密斯",)),
        ("Edison invented it.", "It was invented by Tesla", ("Edison",)),
        ("The model is Claude-3.", "the model", ("Claude-3",)),
        ('He said "never again".', "He said no", ('"never again"',)),
    ],
)
def test_what_no_source_says_is_found(answer, source, found):
    assert unsupported(answer, [source]) == found


def test_any_text_is_read_in_little_time():
    for text in (
        "一" * 20_000,
        "9" * 20_000,
        "one " * 5000,
        "A" * 20_000,
        "王·" * 5000,
        "“" * 20_000,
    ):
        unsupported(text, [text[::-1]])


@settings(max_examples=100, deadline=None)
@given(TEXTS, TEXTS)
def test_no_text_is_an_error(text, other):
    assert all(each.text and each.value >= 0 for each in numbers(text))
    assert all(each for each in unsupported(text, [other]))
    assert 0 <= share_said(text, other, [other, text]) <= 1
    assert [*index_terms(text), *terms(content(text))] or not re.search("[a-z]", text)
    Conversation(Graph([Fact(other, "电话", text, "a.tsv", 1)])).ask(text, ["电话"])


def test_numbers_of_many_digits_are_not_rounded():
    assert unsupported("9" * 45, ["9" * 44 + "8"]) == ("9" * 45,)
    assert [each.sure for each in numbers("9" * 1_000_001 + "万")] == [True]
