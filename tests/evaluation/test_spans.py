"""Span F1 by a table made by hand, as seqeval counts; the surface forms' baseline."""

import pytest

from xinye.evaluation.spans import Span, SurfaceForms, measure

# Two texts: PER twice right of two, once found for nothing; LOC one of two right; ORG never found;
# MISC only found.
RIGHT = [
    [Span(0, 2, "PER"), Span(3, 5, "LOC"), Span(6, 9, "ORG")],
    [Span(0, 1, "PER"), Span(4, 6, "LOC")],
]
FOUND = [
    [Span(0, 2, "PER"), Span(3, 4, "LOC"), Span(6, 9, "PER")],
    [Span(0, 1, "PER"), Span(4, 6, "LOC"), Span(7, 8, "MISC")],
]


def test_by_hand():
    figures = measure(RIGHT, FOUND)
    table = figures["table"]
    assert table["PER"] == {"precision": 0.66667, "recall": 1.0, "f1-score": 0.8, "support": 2}
    assert table["LOC"] == {"precision": 0.5, "recall": 0.5, "f1-score": 0.5, "support": 2}
    assert table["ORG"] == {"precision": 0.0, "recall": 0.0, "f1-score": 0.0, "support": 1}
    assert table["MISC"]["support"] == 0 and table["MISC"]["f1-score"] == 0
    assert table["micro avg"] == {
        "precision": 0.5,
        "recall": 0.6,
        "f1-score": 0.54545,
        "support": 5,
    }
    assert table["macro avg"]["f1-score"] == pytest.approx((0.8 + 0.5) / 4)
    assert table["weighted avg"]["f1-score"] == pytest.approx((2 * 0.8 + 2 * 0.5) / 5)
    assert figures["span_f1"] == pytest.approx(6 / 11)


def test_nothing_found_is_zero():
    assert measure(RIGHT, [[], []])["span_f1"] == 0.0 == measure([[]], [[]])["span_f1"]


def test_surface_forms():
    texts = ["我在北京大学，北京很大", "北京人在北京", "The Ann met Annie"]
    spans = [[Span(2, 6, "ORG"), Span(7, 9, "LOC")], [Span(4, 6, "LOC")], [Span(4, 7, "PER")]]
    forms = SurfaceForms(list(zip(texts, spans, strict=True)))
    assert forms.find("去北京大学看北京") == [Span(1, 5, "ORG"), Span(6, 8, "LOC")]
    assert forms.find("Annie and Ann") == [Span(10, 13, "PER")], "no part of a word"
    once = SurfaceForms([("大大大", [Span(0, 1, "X")]), ("大", [])])
    assert once.find("大") == [], "most often it is none"
