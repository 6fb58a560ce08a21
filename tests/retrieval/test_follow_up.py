"""Questions that only name a thing, and what they stand for."""

import pytest

from xinye.retrieval.follow_up import follows, names, thing, with_thing


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
    ],
)
def test_a_word_says_that_a_question_needs_the_one_before(question: str, needs: bool) -> None:
    assert follows(question) == needs


def test_a_thing_takes_the_place_of_a_thing_not_of_what_is_asked() -> None:
    found = with_thing("寄到江浙沪要几天？", "新疆")
    assert "寄到新疆要几天？" in found
    assert all("几" in text for text in found)
    found = with_thing("How do I clean the red cup?", "pot")
    assert "How do I clean the pot?" in found
    assert all(text.startswith("How do I") for text in found)


def test_a_text_names_a_thing_by_all_of_its_words() -> None:
    assert names("Celadon Cups hold 180 ml", "celadon cup")
    assert not names("a tasting cup", "celadon cup")
    assert not names("紫砂壶", "紫砂杯")
