"""`xinye data check FILE --task …`: how records were understood, and all that is wrong with
them."""

import json
from pathlib import Path

import pytest

from xinye.tasks.exercises import chats, notes, reviews


def lines(name, rows):
    Path(name).write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8"
    )


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize(
    ("task", "make", "kind", "what"),
    [
        ("classify", reviews, "text in 'text', label in 'label'", "2 labels: "),
        ("tag", notes, "spans in 'spans'", "3 types of spans: "),
        ("chat", chats, "OpenAI messages", "3 roles of messages: "),
    ],
)
def test_what_was_understood(xinye, workplace, language, task, make, kind, what):
    rows = make(40, language)
    lines("a.jsonl", rows)
    outcome = xinye("data", "check", "a.jsonl", "--task", task)
    assert (
        outcome.code == 0 and f"a.jsonl: 40 records, {kind}" in outcome.out and what in outcome.out
    )
    assert (
        outcome.out.splitlines()[-1]
        == f"next: xinye finetune MODEL --task {task} --data a.jsonl -o RUN"
    )
    report = json.loads(xinye("data", "check", "a.jsonl", "--task", task, "--json").out)
    assert [record["place"] for record in report["shown"]] == [
        f"a.jsonl, line {line}" for line in (1, 2, 3)
    ]
    seen = "".join(text for text, _ in report["shown"][0]["seen"])
    if task == "chat":
        answers = [
            message["content"] for message in rows[0]["messages"] if message["role"] == "assistant"
        ]
        trained = [text for text, mark in report["shown"][0]["seen"] if mark is True]
        assert trained == [text for answer in answers for text in (answer, "<|im_end|>")]
    else:
        assert rows[0]["text"] in seen
    if task == "tag":
        spans = [(rows[0]["text"][s["start"] : s["end"]], s["type"]) for s in rows[0]["spans"]]
        assert [(text.strip(), mark) for text, mark in report["shown"][0]["seen"] if mark] == spans


def test_text_is_checked_as_ever(xinye, workplace):
    assert "documents" in xinye("data", "check", "zh.txt", "--task", "text").out


def test_all_bad_records_are_told_at_once(xinye, workplace):
    good = reviews(40, "zh")
    lines(
        "a.jsonl",
        [*good, {"text": 3, "label": "好评"}, {"text": "好茶"}, good[0] | {"label": "差 评"}],
    )
    with Path("a.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    report = json.loads(xinye("data", "check", "a.jsonl", "--task", "classify", "--json").out)
    assert report["bad_total"] == 3 and report["files"][0]["records"] == 41
    assert report["bad"][0].startswith("a.jsonl, line 44: not valid JSON")
    assert "a.jsonl, line 41, field 'text': expected a text, found '3'" in report["bad"]
    assert "a.jsonl, line 42, field 'label': expected a label, found nothing" in report["bad"]
    assert any("spaces: '差 评', '差评'" in finding for finding in report["findings"])
    assert any(
        "two different labels: first a.jsonl, line 1 and line 43" in f for f in report["findings"]
    )
    assert (
        "finetune would refuse this file, because it cannot use these records (3 places)"
        in xinye("data", "check", "a.jsonl", "--task", "classify").out
    )


def test_validation_records_inside_the_training_data(xinye, workplace):
    rows = notes(30, "en")
    lines("a.jsonl", rows)
    lines("b.jsonl", [rows[4], *notes(3, "en", seed=5), {"text": "Ann", "spans": [[0, 3, "cat"]]}])
    outcome = xinye("data", "check", "a.jsonl", "--task", "tag", "--validation", "b.jsonl")
    assert "b.jsonl: 5 records, validation" in outcome.out
    assert "the training data contain 1 of 5 validation records" in outcome.out
    assert "these types of the validation records: cat" in outcome.out


def test_records_that_stand_there_again_are_named(xinye, workplace):
    rows = reviews(30, "en")
    lines("a.jsonl", [*rows, rows[4], rows[2]])
    outcome = xinye("data", "check", "a.jsonl", "--task", "classify")
    assert "2 duplicate records: the first is a.jsonl, line 31 = line 5" in outcome.out


def test_a_table_without_a_header_is_told_of(xinye, workplace):
    Path("a.txt").write_text("体验十大创新\t8\n港股缩量回调\t2\n新股\t2\n", "utf-8")
    outcome = xinye("data", "check", "a.txt", "--task", "classify")
    assert "a.txt: 3 records, text in '1', label in '2'" in outcome.out
    assert "the first line is read as a record, because its cell '8' is a number" in outcome.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["zh.txt", "--task", "sort"],
            "task: 'sort' is unknown; choose 'classify', 'tag', 'answer', 'summarize', ",
        ),
        (["missing.csv", "--task", "classify"], "missing.csv: no such file"),
        (["zh.txt", "--task", "classify"], "expected a column of texts and one of labels"),
        (["zh.txt", "--task", "tag"], "zh.txt, line 1: expected a token and its tag"),
        (["zh.txt", "--task", "chat"], "zh.txt, line 1: expected a speaker, such as '客户：'"),
        (["a.jsonl", "--task", "chat"], "a.jsonl, line 1: expected messages"),
        (
            ["zh.txt", "--task", "text", "--validation", "en.txt"],
            "--validation has no effect on text",
        ),
        (
            ["a.jsonl", "--task", "tag", "--label-separator", "x"],
            "label_separator has no effect on the task tag",
        ),
        (["a.jsonl", "--task", "classify", "--field", "text"], "for records, give --text-field"),
    ],
)
def test_wrong_use_is_one_line(xinye, workplace, arguments, says):
    lines("a.jsonl", [{"text": "好"}])
    outcome = xinye("data", "check", *arguments)
    assert outcome.code == 2 and says in outcome.complaint


def test_each_token_is_shown(xinye, workplace):
    lines("a.jsonl", chats(2, "zh"))
    outcome = xinye("data", "show", "a.jsonl", "--task", "chat", "--count", 1)
    assert outcome.code == 0 and "*|" in outcome.out and "trained tokens end with *" in outcome.out
    report = json.loads(xinye("data", "show", "a.jsonl", "--task", "chat", "--json").out)
    assert any(mark is True for _, mark in report["shown"][0]["tokens"])
