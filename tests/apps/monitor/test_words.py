"""Words of Chinese texts, learned from others."""

import random

from hypothesis import given
from hypothesis import strategies as st

from xinye.apps.monitor.words import Segmenter

KNOWN = [
    "银行",
    "茶馆",
    "工厂",
    "业绩",
    "股价",
    "裁员",
    "生产",
    "投资",
    "担心",
    "上涨",
    "下滑",
    "宣布",
    "正常",
    "公司",
    "门店",
    "消费",
]
CHANCE = random.Random(0)
TEXTS = ["".join(CHANCE.choices(KNOWN, k=5)) for _ in range(300)]
SEGMENTER = Segmenter(lambda: TEXTS)


def words(segmenter: Segmenter, text: str, parts: list[tuple[int, int]] | None = None) -> list[str]:
    parts = parts or [(at, at + 1) for at in range(len(text))]
    found = segmenter.joined(text, parts)
    return [text[parts[each[0]][0] : parts[each[-1]][1]] for each in found]


def test_characters_are_joined_to_words_without_punctuation() -> None:
    assert words(SEGMENTER, "股价下滑，裁员！") == ["股价", "下滑", "裁员"]


def test_parts_that_are_longer_than_words_stay_whole() -> None:
    text = "工厂 QingHe 裁员"
    assert words(SEGMENTER, text, [(0, 2), (3, 9), (10, 11), (11, 12)]) == [
        "工厂",
        "QingHe",
        "裁员",
    ]


def test_without_texts_each_unknown_character_is_a_word() -> None:
    assert words(Segmenter(list), "股价大幅下滑") == [*"股价大幅下滑"]


@given(st.text(max_size=30))
def test_every_letter_is_in_one_word(text: str) -> None:
    found = SEGMENTER.joined(text, [(at, at + 1) for at in range(len(text))])
    inside = [number for word in found for number in word]
    assert inside == [at for at, letter in enumerate(text) if letter.isalnum()]
