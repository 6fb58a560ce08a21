"""Summaries without a model, and how summaries are judged."""

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from xinye.errors import XinyeError
from xinye.evaluation import summaries
from xinye.evaluation.rouge import common, copied, measure, rouge, tokens
from xinye.evaluation.summaries import (
    ClausePicker,
    Unit,
    clauses,
    cut,
    first_sentence,
    is_chinese,
    joined_clauses,
    shortened,
    size,
)
from xinye.tasks.summarize_choice import faithful_share

TEXT = "茶铺八点开门，六点关门。今年的龙井每斤120元，比去年贵！"


def test_tokens_are_han_characters_words_and_numbers():
    assert tokens("新品Ａ3：1,200 Cups, don't") == [*"新品", "a3", "1", "200", "cups", "don", "t"]


def test_rouge_of_known_pairs():
    found = rouge("the cat sat on the mat", "the cat was on the red mat")
    # 5 shared words of 6 and 7; 2 shared pairs of 5 and 6; the cat on the mat
    assert found == pytest.approx({"rouge1": 10 / 13, "rouge2": 4 / 11, "rougeL": 10 / 13})
    assert rouge("龙井120元", "龙井卖120元")["rougeL"] == pytest.approx(8 / 9)
    assert measure(["茶", ""], ["茶", "茶"]) == {"rouge1": 0.5, "rouge2": 0.0, "rougeL": 0.5}


@given(st.text("茶水a b", max_size=12), st.text("茶水a b", max_size=12))
def test_the_common_subsequence_is_that_of_the_table(one, other):
    one, other = list(one), list(other)
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, left in enumerate(one):
        for j, right in enumerate(other):
            same = table[i][j] + 1 if left == right else 0
            table[i + 1][j + 1] = max(same, table[i][j + 1], table[i + 1][j])
    assert common(one, other) == table[-1][-1]


def test_copied_counts_pairs():
    assert copied("龙井很贵", TEXT) == pytest.approx(1 / 3)
    assert copied("", TEXT) == 0.0
    assert copied("茶", TEXT) == 1.0


@pytest.mark.parametrize(
    ("text", "chinese", "length"),
    [("Celecoxib的合成", True, 12), ("The town 云城 in spring", False, 5), ("iPhone 6", False, 2)],
)
def test_lengths_are_characters_of_chinese_and_words_of_english(text, chinese, length):
    assert (is_chinese(text), size(text)) == (chinese, length)


def test_lead_and_first_sentence():
    assert first_sentence(TEXT) == "茶铺八点开门，六点关门"
    assert first_sentence(" Dr. Li came. He left.") == "Dr. Li came"
    assert first_sentence("") == ""
    assert cut(TEXT, 4) == "茶铺八点"
    assert cut("One two  three", 2) == "One two"


@given(st.text("茶水。，,. 1a\n", max_size=40))
def test_clauses_hold_all_letters_in_order(text):
    places = clauses(text)
    assert "".join(tokens("".join(text[begin:end] for begin, end in places))) == "".join(
        tokens(text)
    )
    assert all(begin < end for begin, end in places)
    assert all(one[1] <= two[0] for one, two in pairwise(places))
    assert {*places} <= {*joined_clauses(text)}


def test_clauses_do_not_end_within_numbers_and_names():
    assert clauses("Mrs. Hart left. ") == [(0, 14)]
    text = "涨了3.5%,共1,200元.模型v1.0来了"
    assert [text[begin:end] for begin, end in clauses(text)] == [
        "涨了3.5%",
        "共1,200元",
        "模型v1.0来了",
    ]


def test_shortened_keeps_whole_clauses():
    assert shortened(TEXT, 12, Unit(TEXT)) == "茶铺八点开门，六点关门"
    assert shortened(TEXT, 3, Unit(TEXT)) == ""


@pytest.mark.parametrize("part", ["茶", "，", "茶，", "A1 B2, ", "“a”"])
def test_long_texts_take_time_in_proportion_to_their_size(part):
    text = part * (100_000 // len(part))
    begin = time.process_time()
    picker = ClausePicker.learn([text, TEXT], ["龙井", "龙井涨价"])
    chosen = picker.pick(text)
    faithful_share([(chosen, text), (first_sentence(text), text)])
    unit = Unit(text)
    shortened(text, 10, unit)
    cut(text, 10, unit)
    assert time.process_time() - begin < 10


@pytest.mark.parametrize(
    ("news", "titles"),
    [
        (
            [f"天气好，客人多。从周一起{tea}涨价。门口种了花。" for tea in "甲乙丙丁戊己"],
            [f"{tea}涨价" for tea in "甲乙丙丁戊己"],
        ),
        (
            [
                f"It rains, as ever. From now {t} costs more. We like it."
                for t in ("oolong", "assam")
            ],
            ["oolong costs more", "assam costs more"],
        ),
    ],
)
def test_the_picker_learns_which_clause_is_the_news(news, titles):
    learned = ClausePicker.learn(news[:-1], titles[:-1])
    picker = ClausePicker.model_validate_json(learned.model_dump_json())
    assert picker == learned
    assert titles[-1].split()[-1][-2:] in picker.pick(news[-1])
    assert picker.pick("。") == "。"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("茶水。， a1", max_size=20), min_size=1, max_size=4), st.data())
def test_a_picker_of_any_texts_quotes(texts, data):
    right = data.draw(
        st.lists(st.text("茶a ", max_size=5), min_size=len(texts), max_size=len(texts))
    )
    try:
        picker = ClausePicker.learn(texts, right)
    except XinyeError as error:
        assert "no text has a clause" in str(error)
    else:
        assert all(picker.pick(text) in text for text in [*texts, TEXT])


def test_only_the_phrases_that_matter_most_are_kept(monkeypatch):
    monkeypatch.setattr(summaries, "PHRASES", 3)
    texts = [f"天气好，从周一起{tea}涨价。" for tea in "甲乙丙丁"]
    picker = ClausePicker.learn(texts, [f"{tea}涨价" for tea in "甲乙丙丁"])
    assert len(picker.phrases) == 3
    assert picker.pick(texts[0]) == "从周一起甲涨价"


@pytest.mark.parametrize(
    "odd",
    [
        {"most": 0},
        {"mean_tokens": 0},
        {"constant": float("nan")},
        {"numbers": [1.0]},
        {"numbers": None},
        {"phrases": {"茶": float("inf")}},
        {"phrases": ["茶"]},
    ],
)
def test_a_damaged_picker_is_refused(odd):
    right = {"most": 9, "mean_tokens": 4, "constant": 0, "numbers": [0] * 11, "phrases": {"茶": 1}}
    assert ClausePicker.model_validate(right).pick("天气好，茶贵") == "茶贵"
    with pytest.raises(ValidationError):
        ClausePicker.model_validate(right | odd)
