"""Figures of freely written texts."""

import pytest

from xinye.evaluation.written import keeps_length, repetition


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("春茶到了，欢迎品尝。", 0),
        ("好茶好水好茶好水", 0.2),
        ("Tea for two, tea for two, tea for two", 0.5),
        ("短", 0),
        ("", 0),
    ],
)
def test_repetition(text, share):
    assert repetition(text) == pytest.approx(share)


def test_length():

    assert keeps_length("茶" * 12, 10) and not keeps_length("茶" * 13, 10)
