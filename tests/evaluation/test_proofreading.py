"""Proofreading: differences of texts, the metrics of SIGHAN 2015, and the threshold."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.evaluation import edits, proofreading
from xinye.evaluation.edits import Edit, applied, units_of
from xinye.evaluation.proofreading import (
    Candidate,
    Pair,
    best_threshold,
    chosen,
    edits_between,
    measure,
)
from xinye.evaluation.proofreading_trigrams import TrigramProofreader

TEXTS = st.text(alphabet="我们去玩的 ,。🙂\x07\t\n", max_size=20)


@given(TEXTS, TEXTS)
@settings(deadline=None)
def test_the_edits_between_two_texts_turn_one_into_the_other(wrong, right):
    corrected = applied(wrong, edits_between(wrong, right))
    assert [unit.text for unit in units_of(corrected)] == [unit.text for unit in units_of(right)]


@given(st.text())
@settings(deadline=None)
def test_equal_texts_have_no_edits(text):
    assert edits_between(text, text) == [] and applied(text, []) == text


@pytest.mark.parametrize(
    "wrong, right, edits",
    [
        ("对不气，最近很忙", "对不起，最近很忙", [Edit(2, 3, "起")]),
        ("我我们去", "我们去", [Edit(1, 2, "")]),
        ("今天气不错", "今天天气不错", [Edit(2, 2, "天")]),
        ("天气不", "天气不错", [Edit(3, 3, "错")]),
        ("I saw the the cat.", "I saw the cat.", [Edit(9, 13, "")]),
        ("I went to shop.", "I went to the shop.", [Edit(10, 10, "the ")]),
        ("I went home the.", "I went home.", [Edit(11, 15, "")]),
        ("Where is?", "Where is it?", [Edit(8, 8, " it")]),
        ("a" * 3000 + " b", "c d", [Edit(0, 3000, "c"), Edit(3001, 3002, "d")]),
    ],
)
def test_edits_between(wrong, right, edits):
    assert edits_between(wrong, right) == edits
    assert applied(wrong, edits) == right


@pytest.mark.parametrize(
    "there, here", [("茶" * 20_000, ""), ("茶" * 20_000, "水"), ("", "茶" * 300)]
)
def test_no_two_texts_are_compared_in_a_large_table(monkeypatch, there, here):
    cells = []
    monkeypatch.setattr(
        edits, "_shortest",
        lambda ours, theirs, band, do=edits._shortest: cells.append(edits._cells(len(ours), band))
        or do(ours, theirs, band),
    )  # fmt: skip
    for wrong, right in ((f"我{there}你", f"我{here}你"), (f"我{here}你", f"我{there}你")):
        assert applied(wrong, edits_between(wrong, right)) == right
    assert max(cells, default=0) < 3_000_000


def test_the_errors_of_a_long_text_are_found_one_by_one():
    right = "今天我们去公园玩，天气很好。" * 100
    wrong = f"明{right[1:700]}的{right[700:-1]}！"
    assert edits_between(wrong, right) == [
        Edit(0, 1, "今"),
        Edit(700, 701, ""),
        Edit(1400, 1401, "。"),
    ]


def test_texts_that_differ_everywhere_are_one_edit():
    wrong, right = "一" * 300, "二" * 300
    assert edits_between(wrong, right) == [Edit(0, 300, right)]


def test_a_sentence_counts_only_if_all_of_it_is_right():
    pairs = [
        Pair("他门走乐", "他们走了"),  # corrected
        Pair("他门走乐", "他们走了"),  # half of it
        Pair("他门走了", "他们走了"),  # found, but not corrected
        Pair("他们走了", "他们走了"),  # clean, changed
        Pair("他们走了", "他们走了"),  # clean
    ]
    corrected = ["他们走了", "他们走乐", "他闷走了", "她们走了", "他们走了"]
    figures = measure(pairs, corrected)
    assert figures["correction_precision"] == 1 / 4 and figures["correction_recall"] == 1 / 3
    assert figures["correction_f1"] == 2 / 7
    assert figures["detection_f1"] == 4 / 7
    assert figures["clean_changed"] == 1 / 2


def test_the_threshold_is_the_best_that_leaves_clean_sentences_alone():
    wrong, right = Pair("他门走了", "他们走了"), Pair("他们走了", "他们走了")
    good, bad = Edit(1, 2, "们"), Edit(0, 1, "她")
    pairs = [wrong, wrong, right, right]
    found = [
        [Candidate(good, 3.0)],
        [Candidate(bad, 0.5), Candidate(good, 1.0)],
        [Candidate(bad, 2.0)],
        [],
    ]
    loose = best_threshold(pairs, found, most_changed=0.5)
    assert 0.5 < loose < 1.0
    strict = best_threshold(pairs, found, most_changed=0.0)
    assert 2.0 < strict < 3.0
    assert math.isinf(best_threshold(pairs[2:], found[2:], most_changed=0.0))
    texts = [applied(pair.wrong, (each.edit for each in chosen(candidates, loose)))
             for pair, candidates in zip(pairs, found, strict=True)]  # fmt: skip
    assert texts == ["他们走了", "他们走了", "她们走了", "他们走了"]


def test_deleting_either_of_two_equal_characters_is_right():
    pair = Pair("我我们去", "我们去")
    assert best_threshold([pair], [[Candidate(Edit(0, 1, ""), 2.0)]], 0.03) == 1.0


@pytest.mark.parametrize("place", [2, 3, 4])
def test_a_unit_may_be_inserted_at_either_side_of_an_equal_one(place):
    pair = Pair("我们天天去", "我们天天天去")
    assert best_threshold([pair], [[Candidate(Edit(place, place, "天"), 2.0)]], 0.03) == 1.0


def test_the_texts_of_a_pair_are_compared_once_however_many_candidates_there_are(monkeypatch):
    compared = []
    monkeypatch.setattr(
        proofreading, "edits_between", lambda *pair: compared.append(pair) or edits_between(*pair)
    )
    pair = Pair("他门走乐" * 50, "他们走了" * 50)
    found = [Candidate(Edit(at, at + 1, "们"), 1.0) for at in range(200)]
    best_threshold([pair], [found], 0.03)
    assert len(compared) == 1


def test_trigrams_prefer_what_they_have_read():
    model = TrigramProofreader(["我们去公园玩。", "他们去学校。", "今天天气不错。"] * 5)
    like = {"圆": ["园", "员"], "门": ["们"]}

    def best(text):
        found = model.candidates(text, lambda unit: like.get(unit, []))
        return applied(text, [max(found, key=lambda each: each.evidence).edit])

    assert best("我们去公圆玩。") == "我们去公园玩。"
    assert best("他们去学学校。") == "他们去学校。"
    assert best("今天气不错。") == "今天天气不错。"
