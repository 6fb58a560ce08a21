"""Questions with passages: read in every format, cut into windows, made from passages, learned."""

import csv
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.data.files import write_json_lines
from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.answers import best_threshold, exact_match, f1, measure
from xinye.model.heads import EVERY_ANSWER, POINTERS, HeadConfig
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.tasks.answer import Answer
from xinye.tasks.answer_cloze import cloze
from xinye.tasks.answer_passages import whole_places
from xinye.tasks.answer_records import Question
from xinye.tasks.answer_spans import Extract
from xinye.tasks.answer_windows import pair_tokenizer, window_around, windows_of

PASSAGE = "茶铺在云城，八点开门，六点关门。掌柜姓沈。"
QAS = [
    {"id": "1", "question": "几点开门？", "answers": [{"text": "八点", "answer_start": 6}]},
    {"id": "2", "question": "几点打烊？", "answers": [{"text": "六点", "answer_start": 11}]},
]
TOKENIZER = pair_tokenizer(Tokenizer.train([PASSAGE * 9 + "Open at eight, Li Wei says."] * 3))

FILES = {
    "squad.json": {
        "version": "1.1",
        "data": [{"title": "茶", "paragraphs": [{"id": "a", "context": PASSAGE, "qas": QAS}]}],
    },
    "cmrc.json": [{"context_text": PASSAGE, "title": "茶", "qas": [
        {"query_text": each["question"], "answers": [each["answers"][0]["text"]]} for each in QAS
    ]}],
    "flat.json": [
        {"question": each["question"], "context": PASSAGE,
         "answers": {"text": ["八点", "六点"][at : at + 1], "answer_start": [[6, 11][at]]}}
        for at, each in enumerate(QAS)
    ],
}  # fmt: skip


def read(path: Path, content: object, **columns: str) -> list[Question]:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return Answer.read([str(path)], **columns)


@pytest.mark.parametrize("name", FILES)
def test_formats(tmp_path, name):
    found = read(tmp_path / name, FILES[name])
    assert [(each.question, each.answers, each.span) for each in found] == [
        ("几点开门？", ("八点",), (6, 8)),
        ("几点打烊？", ("六点",), (11, 13)),
    ]
    assert {each.passage for each in found} == {PASSAGE}


def test_tables_and_named_columns(tmp_path):
    table = tmp_path / "a.csv"
    with table.open("w", encoding="utf-8") as file:
        csv.writer(file).writerows([["问题", "原文", "答案"], ["谁？", PASSAGE, "沈"]])
    assert [each.span for each in Answer.read([str(table)])] == [(19, 20)]
    named = {"question_field": "q", "passage_field": "p", "answer_field": "a"}
    rows = [{"q": "谁？", "p": PASSAGE, "a": "沈"}]
    assert [each.span for each in read(tmp_path / "b.json", rows, **named)] == [(19, 20)]


def test_what_has_no_answer(tmp_path):
    rows = [
        {"question": "几点？", "context": PASSAGE, "is_impossible": True, "answers": []},
        {"question": "谁？", "context": PASSAGE, "answer": ""},
        {"question": "何时？", "context": PASSAGE, "answer": "下雪"},
    ]
    with pytest.raises(XinyeError, match=r"a.json, record 3: the answer '下雪' is not in"):
        read(tmp_path / "a.json", rows)
    notes = Notes()
    found = Answer.read([str(tmp_path / "a.json")], notes=notes, absent_answers="none")
    assert [each.answers for each in found] == [(), (), ()]
    assert "not in its passage" in " ".join(notes.sentences())


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"question": "谁？", "answer": "沈"}, "there is no passage"),
        ({"context": PASSAGE, "answer": "沈"}, "there is no question"),
        ({"question": " ", "context": PASSAGE, "answer": "沈"}, "the question is empty"),
        ({"context": PASSAGE, "qas": ["谁？"]}, "question 1: expected an object"),
        ("谁？", "expected an object"),
    ],
)
def test_what_cannot_be_read(tmp_path, row, says):
    with pytest.raises(XinyeError, match=says):
        read(tmp_path / "a.json", [row])


@pytest.mark.parametrize(
    ("question", "answer", "sentence"),
    [
        ("What does the parcel cost?", "10", "The parcel does cost 10 yuan"),
        ("年假最多几天？", "天", "年假最多五天"),
        ("年假最多几天？", "五天", "年假最多五天"),
        ("Who sends the parcel?", "Ann", "Ann sends the parcel"),
    ],
)
def test_a_found_passage_has_the_whole_answer_where_the_question_is_about_it(
    tmp_path, question, answer, sentence
):
    texts = [
        "Does the parcel cost 110 yuan, 10.5 or 5,10? Sure. Anna sends the parcel. Ann knows.",
        "年假怎么请，十五天前问过。病假最多三天，事假五天。",
        "The parcel does cost 10 yuan. Ann sends the parcel. 年假最多五天。",
    ]
    write_json_lines(tmp_path / "kb.jsonl", [{"title": "A", "text": text} for text in texts])
    KnowledgeBase.build(tmp_path / "kb", [str(tmp_path / "kb.jsonl")])
    row = {"question": question, "answer": answer}
    (found,) = read(tmp_path / "a.jsonl", row, knowledge=tmp_path / "kb")
    assert found.passage == texts[2] and found.passage[slice(*found.span)] == answer
    assert found.start - texts[2].index(sentence) in range(len(sentence))


@pytest.mark.parametrize("passage", ["110 yuan", "10.5", "5,100", "Tenx10", "十10a"])
def test_a_part_of_a_number_is_no_answer(passage):
    assert not whole_places(passage, "10") and whole_places("满10岁，10.", "10") == [1, 5]
    assert whole_places("りんごは東京。", "りんご") == [0] and not whole_places("二十天", "十天")


@given(
    st.text("茶铺云城八点开门，。ab 7", min_size=1, max_size=80),
    st.integers(8, 40),
    st.data(),
)
def test_windows_leave_nothing_of_a_passage_out(passage, context, data):
    windows = windows_of(TOKENIZER, "几点开门", passage, context)
    read = {at for window in windows for start, end in window.offsets for at in range(start, end)}
    assert read >= {at for at, character in enumerate(passage) if not character.isspace()}
    assert all(len(window.tokens) <= max(context, len(window.tokens[: window.first]) + 2)
               for window in windows)  # fmt: skip
    start = data.draw(st.integers(0, len(passage) - 1))
    end = data.draw(st.integers(start + 1, len(passage)))
    for window in windows:
        begin, last = window.targets((start, end))
        if last:
            assert window.offsets[begin - window.first][0] <= start
            fills = begin == window.first  # an answer longer than a window is cut
            whole = window.offsets[last - window.first][1] >= end or passage[end - 1].isspace()
            assert whole or fills


def test_questions_about_a_passage_stay_together():
    records = [Question(f"问{n}？", f"文{n % 9}。", ("文",), 0, "") for n in range(90)]
    training, validation = Answer.split(records, 0.3, 0)
    assert not {each.passage for each in training} & {each.passage for each in validation}
    assert len(validation) == 30


@pytest.mark.parametrize(
    "passage",
    [
        "李时珍生于1518年，著有《本草纲目》，湖北蕲春人。他用二十七年写成此书。",
        "Li Wei was born in 1518 and wrote the Great Herbal in Qichun, at the age of sixty.",
    ],
)
def test_made_questions_are_answered_by_their_passage(passage):
    made = cloze(passage, 9, random.Random(0))
    assert len(made) >= 4 and len({each.span for each in made}) == len(made)
    for each in made:
        assert each.passage[slice(*each.span)] == each.answers[0] != ""
        assert each.question.endswith(("？", "?")) and each.answers[0] not in each.question


def test_each_question_is_also_asked_about_a_passage_without_its_answer():
    real = [Question(f"第{n}个？", f"第{n}个是茶{n}号。", (f"茶{n}号",), 4, "") for n in range(8)]
    settings = FinetuneSettings(task="answer", other_passages=1.0)
    enlarged = Answer.enlarged(real, settings)
    wrong = [each for each in enlarged if not each.answers]
    assert [each.question for each in enlarged[:8]] == [each.question for each in real]
    assert len(wrong) > 4 and all(each.question[1] not in each.passage for each in wrong)


@given(st.integers(0, 98), st.integers(1, 30), st.floats(0, 1))
def test_the_window_that_is_learned_from_has_the_answer(start, length, at):
    passage = "茶铺在云城，八点开门。" * 9
    answer = passage[start : start + length]
    record = Question("几点开门？", passage, (answer,), start, "", at=at)
    window = window_around(TOKENIZER, record, 64)
    begin, end = window.targets(record.span)
    assert len(window.tokens) <= 64 and 0 < begin <= end
    assert passage[window.offsets[begin - window.first][0] : window.offsets[end - window.first][1]]


@given(st.lists(st.tuples(st.integers(-3, 3), st.floats(0, 1), st.booleans()), min_size=1))
def test_no_other_threshold_has_a_higher_f1(rows):
    evidence = [float(each) for each, _, _ in rows]
    answered = [0.0 if without else share for _, share, without in rows]
    refused = [float(without) for *_, without in rows]

    def total(threshold):
        found = zip(evidence, answered, refused, strict=True)
        return sum(yes if each > threshold else no for each, yes, no in found)

    best = total(best_threshold(evidence, answered, refused))
    assert best == pytest.approx(max(total(each - 0.5) for each in range(-3, 5)))


def test_the_threshold_is_learned_from_questions_without_an_answer():
    """From those of the records, else from those that are made, else none is refused."""
    model = SimpleNamespace(config=HeadConfig(None, "span", POINTERS))
    known = Question("几点开门？", PASSAGE, ("八点",), 6, "")
    other = Question("几点下雪？", PASSAGE, (), -1, "")
    wide = Question("几点开灯？", "灯九点开。" * 40, ("九点",), 1, "")

    class Sure(Answer):
        """Is sure of what is right."""

        def _read(self, model, tokenizer, records, context):
            return [
                Extract("八点", 6, 8, 1.0, 0.0, 0.0, 3.0 if each.answers else -3.0)
                for each in records
            ]

    def learned(records, **settings):
        settings = FinetuneSettings(task="answer", **settings)
        Sure().validate(model, TOKENIZER, records, 64, settings)
        return model.config.threshold

    assert learned([known, other]) == 0
    assert learned([known, wide]) == EVERY_ANSWER
    assert learned([known, wide], other_passages=1.0) == 0


def test_metrics():
    assert f1("八点开门", ["八点"]) == pytest.approx(2 / 3) and f1("《茶》！", ["茶"]) == 1
    assert (
        exact_match("The Herbal", ["herbal", "x"]) == 1 and exact_match("herbals", ["herbal"]) == 0
    )
    figures = measure(["八点", "", "茶"], [["八点"], [], []])
    assert figures == {
        "f1": pytest.approx(2 / 3), "exact_match": pytest.approx(2 / 3),
        "answered": pytest.approx(2 / 3), "refused_rightly": 0.5,
    }  # fmt: skip
