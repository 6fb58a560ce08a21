"""BLEU and chrF by direction, and the two translators that count."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.evaluation.translation import Pair, measure, signatures, similarity, translated
from xinye.evaluation.translation_alignment import align
from xinye.evaluation.translation_by_phrases import phrases
from xinye.evaluation.translation_memory import memory
from xinye.evaluation.translation_words import joined, shares, words
from xinye.evaluation.trigrams import BEGIN, END, Trigrams
from xinye.tasks.translate_exercise import sentence_pairs

ROWS = [(row["en"], row["zh"]) for row in sentence_pairs(330)]
PAIRS = [Pair(en, zh, "zh") for en, zh in ROWS] + [Pair(zh, en, "en") for en, zh in ROWS]
LEARNED, NEW = ROWS[:300], [row for row in ROWS[300:] if row not in ROWS[:300]]


@pytest.fixture(scope="module")
def by_phrases():
    """The translators into Chinese and into English."""
    return {"zh": phrases(LEARNED, "zh"), "en": phrases([row[::-1] for row in LEARNED], "en")}


def test_right_translations_get_100_in_both_directions():
    figures = measure([pair.target for pair in PAIRS], PAIRS)
    assert figures == pytest.approx(dict.fromkeys(figures, 100))
    assert {*figures} == {
        "bleu", "chrf", "bleu_en_zh", "chrf_en_zh", "bleu_zh_en", "chrf_zh_en"
    }  # fmt: skip


def test_a_direction_without_records_has_no_figures():
    assert {*measure(["茶"], [Pair("tea", "茶", "zh")])} == {
        "bleu", "chrf", "bleu_en_zh", "chrf_en_zh"
    }  # fmt: skip


def test_chinese_is_judged_by_characters_and_english_by_words():
    found = signatures(PAIRS)
    assert "tok:zh" in found["bleu_en_zh"] and "tok:13a" in found["bleu_zh_en"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I like tea.", "en"), ("我喝茶。", "zh"), ("我用 Python 写程序。", "zh"), ("123 😀", None),
        ("see https://a.org/北京 for tea", "en"), ("li@a.org", None), ("お茶が好きです", None),
    ],
)  # fmt: skip
def test_the_language_of_a_text(text, language):
    assert shares(text).language == language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Don't go (yet): it's 3.5 km!", "en"), ("他说：“我在 New York 住了3年。”", "zh"),
        ("Really?", "en"), ("iPhone 手机", "zh"),
    ],
)  # fmt: skip
def test_words_make_the_text_again(text, language):
    again = joined(words(text, language), language)
    assert again.lower().replace(" ", "") == text.lower().replace(" ", "")
    if language == "en":
        assert again == text


def test_words_that_always_occur_together_are_aligned():
    pairs = [("red tea", "红 茶"), ("red cup", "红 杯"), ("tea cup", "茶 杯"), ("the tea", "茶")]
    found = align([(one.split(), other.split()) for one, other in pairs])
    assert found[:3] == [[(0, 0), (1, 1)]] * 3 and (1, 0) in found[3]


@pytest.mark.parametrize("kneser_ney", [True, False])
def test_trigram_probabilities_sum_to_one(kneser_ney):
    model = Trigrams([text.split() for text in ("a b c", "a b d", "b c")], kneser_ney)
    for before in ((BEGIN, BEGIN), ("a", "b"), ("x", "b"), ("x", "y")):
        total = sum(
            np.exp(model.log_probability(*before, word)) for word in ("a", "b", "c", "d", END)
        )
        unknown = np.exp(model.log_probability(*before, "unknown"))
        assert total <= 1.0 and total + unknown == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "kneser_ney, logs", [(True, (-0.7249, -1.9253, -2.0794)), (False, (-0.7180, -2.1665, -3.1091))]
)
def test_both_smoothings_of_trigrams(kneser_ney, logs):
    ends = [] if kneser_ney else [END]  # the baseline of proofreading has two signs for the end
    model = Trigrams([[*text.split(), *ends] for text in ("a b c", "a b d", "b c")], kneser_ney)
    found = [model.log_probability(*gram) for gram in ("abc", "xbd", "xyz")]
    assert found == pytest.approx(logs, abs=1e-4)


@pytest.mark.parametrize("to", ["zh", "en"])
def test_phrases_put_new_sentences_together(by_phrases, to):
    pairs = [Pair(en, zh, "zh") if to == "zh" else Pair(zh, en, "en") for en, zh in NEW]
    written = by_phrases[to]([pair.source for pair in pairs])
    learned = [Pair(en, zh, "zh") if to == "zh" else Pair(zh, en, "en") for en, zh in LEARNED]
    remembered = measure(translated(memory, learned, pairs), pairs)["bleu"]
    assert measure(written, pairs)["bleu"] > max(60, remembered)


def test_a_memory_knows_its_own_sentences():
    assert memory(LEARNED, "zh")([en for en, _ in LEARNED]) == [zh for _, zh in LEARNED]


def test_without_pairs_of_a_direction_nothing_is_written():
    assert translated(phrases, PAIRS[:20], [PAIRS[-1]]) == [""]


@settings(deadline=None, max_examples=25)
@given(st.text(max_size=60))
def test_any_text_is_translated(by_phrases, text):
    assert all(isinstance(made([text])[0], str) for made in by_phrases.values())


def test_the_time_is_linear_in_the_length(by_phrases):
    def seconds(copies: int) -> float:
        begin = time.process_time()
        by_phrases["zh"](["I like green tea. " * copies])
        return time.process_time() - begin

    seconds(10)
    assert seconds(200) < 40 * seconds(20)


@given(st.text("茶水ab ", max_size=8), st.text("茶水ab ", max_size=8))
def test_similarity_is_a_symmetric_share(one, other):
    assert 0 <= similarity(one, other) <= 1
    assert similarity(one, other) == similarity(other, one)
    assert similarity(one, one) == 1


def test_a_large_translation_memory_is_searched_in_small_steps(monkeypatch):
    texts = [one for one, _ in NEW]
    usual = memory(LEARNED, "zh")(texts)
    monkeypatch.setattr("xinye.evaluation.translation_memory.CELLS", 2 * len(LEARNED))
    assert memory(LEARNED, "zh")(texts) == usual
