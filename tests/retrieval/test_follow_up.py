"""Questions that only name a thing, and what they stand for."""

import pytest

from xinye.retrieval.follow_up import about, follows, names, thing, with_thing


@pytest.mark.parametrize(
    ("question", "named"),
    [
        ("那新疆呢？", "新疆"),
        ("盖碗呢", "盖碗"),
        ("那寄到西藏呢？", "西藏"),
        ("那换成红色的呢？", "红色"),
        ("那 iPhone 15？", "iPhone 15"),
        ("And the gaiwan?", "gaiwan"),
        ("and in Ireland?", "Ireland"),
        ("What about the celadon cups?", "celadon cups"),
    ],
)
def test_what_a_question_only_names(question: str, named: str) -> None:
    assert thing(question) == named
    assert follows(question)


@pytest.mark.parametrize(
    "question",
    [
        "那运费谁出呢？", "那怎么办呢？", "那要多久呢", "肝炎有啥症状呢？", "会不会传染呢？", "那它呢？", "然后呢？", "那算了", "那可以退吗？",
        "And who pays for it?", "and is it free?", "And thanks", "What about you?", "the cup", "a" * 2000,
    ],
)  # fmt: skip
def test_what_says_more_or_nothing(question: str) -> None:
    assert thing(question) == ""


@pytest.mark.parametrize(
    ("question", "needs"),
    [
        ("这款防水吗？", True),
        ("该店几点关门？", True),
        ("其价格是多少？", True),
        ("is it there today?", True),
        ("地址在哪？", False),
        ("茶叶应该怎么放", False),
        ("杯子该怎么洗？", False),
        ("还卖其他茶具吗", False),
        ("Is there a discount?", False),
        ("I paid but there is no order", False),
        ("这双鞋打折吗", True),
        ("这两款有什么区别", True),
        ("这样可以吗", True),
        ("该付多少", False),
        ("其中一个坏了", False),
        ("那么多快递选哪个", False),
        ("这个月有活动吗", False),
        ("吉他多少钱", False),
        ("is it possible to return a cup?", False),
        ("do you deliver this week?", False),
        ("will there be a sale?", False),
    ],
)
def test_a_word_says_that_a_question_needs_the_one_before(question: str, needs: bool) -> None:
    assert follows(question) == needs


def test_a_thing_takes_the_place_of_a_thing_not_of_what_is_asked() -> None:
    found = with_thing("寄到江浙沪要几天？", "新疆")
    assert "寄到新疆要几天？" in found
    assert all("几" in text for text in found)
    assert "寄到新疆要几天？" in with_thing("寄到成都要几天？", "新疆")
    found = with_thing("How do I clean the red cup?", "pot")
    assert "How do I clean the pot?" in found
    assert all(text.startswith("How do I") for text in found)


def test_a_text_names_a_thing_by_all_of_its_words() -> None:
    assert names("Celadon Cups hold 180 ml", "celadon cup")
    assert not names("a tasting cup", "celadon cup")
    assert not names("紫砂壶", "紫砂杯")
    assert names("1.2万元", "12000元") and names("5.0kg 装", "五公斤")
    assert not names("2个5公斤装", "2.5公斤")


@pytest.mark.parametrize("question", ["那些运费谁出", "这款运费谁出", "它的运费谁出"])
def test_the_thing_takes_the_place_of_the_word_for_it(question: str) -> None:
    assert about(question, "怎么退货？", ["退货运费谁出"]) == "退货运费谁出"
