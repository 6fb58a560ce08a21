"""What a text contains: everything that is there is found, and clean text in either language raises
no alarm.
"""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.check.inspection import (
    CODE_POINTS,
    Lengths,
    chinese_scripts,
    excerpt,
    mojibake,
    printable,
    scripts,
)
from xinye.data.duplicates import code_points
from xinye.data.personal import find_personal
from xinye.demo.stories import stories

CHINESE = "春天来了，新的叶子在树上长出来。我们都很高兴！"


def counts(text: str) -> np.ndarray:
    return np.bincount(code_points(text), minlength=CODE_POINTS)


def passages(text: str) -> list[tuple[str, str]]:
    return [
        (found.shown, found.meaning) for found in mojibake(text, code_points(text), counts(text))
    ]


@given(st.text(st.characters(), max_size=200))
def test_every_character_has_a_kind(text: str) -> None:
    assert sum(scripts(counts(text)).values()) == len(text)
    assert not any(character < " " for character in printable(text))


def test_scripts() -> None:
    text = "新葉叶〇 leafÉ ｆ Лист ひカ 잎 1１ ，.🍂 \n\x07"
    assert scripts(counts(text)) == {
        "Latin": 6, "white space": 9, "Chinese": 3, "Cyrillic": 4, "digits": 3, "kana": 2, "Hangul": 1,
        "punctuation": 2, "symbols": 1, "control characters": 1,
    }  # fmt: skip
    assert chinese_scripts(counts("们來來云")) == {"simplified": 1, "traditional": 2}


# -- text that was decoded wrongly -----------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["latin-1", "gb18030"])
@pytest.mark.parametrize("around", ["{}", "a line\n{}，\n", "好的：{}。"])
def test_utf8_read_as_something_else_is_found_and_understood(wrong: str, around: str) -> None:
    text = around.format("春天来了新的叶子".encode().decode(wrong))
    assert "春天来了新的叶子" in "".join(meaning for _, meaning in passages(text))


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("itâ€™s", "’"),
        ("cafÃ© crÃ¨me", "é"),
        ("ä½\xa0å¥½", "你好"),
        ("ðŸ˜€", "😀"),
        ("ÄãºÃ£¬ÊÀ½ç", "你好，世界"),  # GB18030 read as Latin-1
        ("ÐŸÑ€Ð¸", "При"),
        ("锟斤拷锟斤拷", ""),
        ("烫烫烫烫", ""),
        ("坏\ufffd\ufffd字", ""),
    ],
)
def test_known_faces_of_it(text: str, meaning: str) -> None:
    assert passages(text)[0][1] == meaning


@pytest.mark.parametrize(
    "text",
    [
        "Liberté\xa0», dit-il, «\xa0voilà\xa0»… à «\xa0é\xa0»",
        "ÀÉÎÕÜ ÄÖÜ ß, naïve façade — “quoted”… £5 ½ °C ±1 ······ ¿¿Qué?? ¡¡¡Olé!!!",
        "Привет, мир. Ελληνικά. עברית",
        "烫手，屯兵，锟锘镄钔",
        "鎴、戠、殑",
    ],
)
def test_good_text_is_left_alone(text: str) -> None:
    assert passages(text) == []


@pytest.mark.parametrize("language", ["zh", "en"])
def test_stories_raise_no_alarm(language: str) -> None:
    text = "\n".join(stories(200, language))
    assert passages(text) == [] and find_personal(text) == []
    assert passages("".join(map(chr, range(0x4E00, 0x9FFF)))) == []


# -- lengths, excerpts -----------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**7), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles(values: list[int], share: float) -> None:
    lengths = Lengths()
    for half in (values[::2], values[1::2]):
        lengths.add(np.array(half, np.int64))
    assert (
        lengths.quantile(share) == sorted(values)[max(0, math.ceil(share * len(values) - 1e-9) - 1)]
    )
    assert lengths.below(1000) == sum(value < 1000 for value in values)
    summary = lengths.summary()
    assert (summary.shortest, summary.longest) == (min(values), max(values))
    assert summary.mean == pytest.approx(sum(values) / len(values), abs=0.06)
    rows = lengths.summary().histogram
    assert sum(count for _, _, count in rows) == len(values) and len(rows) <= 12
    assert rows[0][0] <= min(values) and max(values) <= rows[-1][1]


def test_excerpts_end_between_letters() -> None:
    assert excerpt("新叶", 2) == "新叶"
    assert excerpt("新叶长", 2) == "新叶…"
    assert excerpt("ae\u0301\u0301b", 2) == "a…"
    assert excerpt("新👩‍👩‍👧叶", 3) == "新…"
    assert printable("a\x1b[31m\x9b\n") == "a·[31m··"
