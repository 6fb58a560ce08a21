"""The base class of tasks that turn a text into another: windows, candidates and few-shot
examples."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.tasks.text_to_text import most_alike
from xinye.tasks.text_windows import windows


@given(st.text("一二。！ab.\n "), st.integers(1, 9))
def test_windows_keep_every_character(text, room):
    parts = list(windows(text, lambda some: len(some) <= room))
    assert "".join(before + part for before, part in parts).split() == text.split()
    assert all(len(part) <= room for _, part in parts)


def test_windows_end_behind_sentences_and_are_as_long_as_possible():
    text = "第一句。第二句。\n\n第三句很长。"
    assert list(windows(text, lambda some: len(some) <= 9)) == [
        ("", "第一句。第二句。"),
        ("\n\n", "第三句很长。"),
    ]


@pytest.mark.parametrize(
    ("texts", "chosen"),
    [(["a"], 0), (["ab", "xy", "abc"], 0), (["zz", "ab", "ab", "abc"], 1)],
)
def test_the_text_most_like_the_others_is_chosen(texts, chosen):
    def similarity(one, other):
        return len({*one} & {*other}) / len({*one} | {*other})

    assert most_alike(texts, similarity) == chosen
