"""Nothing is misread in silence: what is dropped, merged or reread is reported with its places, and
what would change its meaning is refused by line."""

import json
from pathlib import Path

import pytest

from xinye.tasks.exercises import reviews

CSV = "review,label\n很快,好\n太慢,差\n"
TALK = {"role": "user", "content": "在吗"}, {"role": "assistant", "content": "在的"}


def check(xinye, task, name, content):
    """What `data check --task` says of a file, given as text or as records."""
    if not isinstance(content, str):
        content = "\n".join(json.dumps(row, ensure_ascii=False) for row in content)
    Path(name).write_text(content, "utf-8")
    return xinye("data", "check", name, "--task", task, "--json")


def labelled(*labels):
    return [{"text": f"第{number}条 text", "label": label} for number, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("name", "content", "counts", "says"),
    [
        ("a.jsonl", labelled([1, 0, 0], [0, 1, 1]), {"0": 1, "1": 1, "2": 1},
         "0 or 1 for each class: read as the numbers of the classes (2 times, first a.jsonl, line 1, line 2)"),
        ("a.csv", 'text,label\n好,"[1, 0]"\n坏,"[0, 1]"\n', {"0": 1, "1": 1}, "0 or 1 for each class"),
        ("a.csv", "text,label\n好,\"['快', 'good']\"\n坏,快\n", {"快": 2, "good": 1}, "a list written as a text"),
        ("a.csv", CSV + "\ufeffReview,label\n好,好\n", {"好": 2, "差": 1},
         "the header appears again, and is left out (a.csv, line 4)"),
        ("a.csv", "text,label\n好,1\n坏,0\nso so,1.0\n", {"1": 2, "0": 1}, "'1.0' is read as '1' (a.csv, line 4)"),
        ("a.jsonl", labelled(1, 1.0, 0), {"1": 2, "0": 1}, "'1.0' is read as '1' (a.jsonl, line 2)"),
        ("a.jsonl", labelled("好评", "差评", "好评\u200b", "\ufeff好评"), {"好评": 3, "差评": 1},
         "loses characters that cannot be seen (2 times, first a.jsonl, line 3, line 4)"),
        ("a.jsonl", labelled("good", "None"), {"good": 1, "None": 1}, "the label is 'None', which looks like a missing value"),
        ("a.csv", "text,label\nnan,1\ngood,0\n", {"1": 1, "0": 1}, "the text is 'nan', which looks like"),
        ("a.jsonl", [*labelled("a", "b"), {"text": "no", "label": "b", "answer": "reject"}], {"a": 1, "b": 1},
         "the annotator's answer is 'reject': left out (a.jsonl, line 3)"),
        ("a.csv", "text;label\n很好，快,真的;1\nbad;0\n", {"1": 1, "0": 1}, "the columns are separated by ';'"),
        ("a.tsv", "text,label\n好,1\nbad,0\n", {"1": 1, "0": 1}, "the columns are separated by ','"),
    ],
)  # fmt: skip
def test_labels(xinye, workplace, name, content, counts, says):
    report = json.loads(check(xinye, "classify", name, content).out)
    assert report["counts"] == counts and report["bad"] == []
    assert any(says in finding for finding in report["findings"]), report["findings"]


@pytest.mark.parametrize(
    ("content", "spans", "says"),
    [
        ("New York City\tB-LOC\nis\tO\n", ["New York City LOC"], "the words before a tab are read as one token"),
        ([{"text": "叶在", "spans": [[0, 1, "N\u200b"], [0, 1, "N"]]}], ["叶 N"], "a span appears twice"),
        ([{"text": "叶", "spans": [[0, 1, "N"]]}, {"text": "在", "spans": [], "answer": "ignore"}], ["叶 N"],
         "the annotator's answer is 'ignore': left out (a.jsonl, line 2)"),
    ],
)  # fmt: skip
def test_spans(xinye, workplace, content, spans, says):
    report = json.loads(check(xinye, "tag", "a.jsonl", content).out)
    seen = [f"{text.strip()} {mark}" for text, mark in report["shown"][0]["seen"] if mark]
    assert seen == spans and report["files"][0]["records"] == 1
    assert any(says in finding for finding in report["findings"]), report["findings"]


def test_a_new_document_is_a_new_sentence(xinye, workplace):
    report = json.loads(check(xinye, "tag", "a", "叶 B-N\n-DOCSTART- -X- O\n在 O\n").out)
    assert report["files"][0]["records"] == 2


@pytest.mark.parametrize(
    ("row", "read", "says"),
    [
        ({"instruction": "那白茶呢", "output": "九十", "history": [["乌龙多少钱", "八十"]]},
         "乌龙多少钱|⟦八十⟧|那白茶呢|⟦九十⟧", ""),
        ({"prompt": "And tea?", "response": "9", "history": [{"role": "user", "content": "Hi"}]},
         "Hi|And tea?|⟦9⟧", ""),
        ({"instruction": "Who?", "context": "Ann came.", "response": "Ann", "category": "qa"},
         "Ann came.\nWho?|⟦Ann⟧", ""),
        ({"question": "谁来了？", "context": ["安来了。", "天黑了。"], "answer": "安"},
         "安来了。\n天黑了。\n谁来了？|⟦安⟧", ""),
        ({"messages": [*TALK, TALK[0], TALK[1] | {"weight": 0}, TALK[0], TALK[1] | {"weight": 1}]},
         "在吗|⟦在的⟧|在吗|在的|在吗|⟦在的⟧", "an answer with 'weight' 0 is read but not trained (a.jsonl, line 1)"),
        ({"messages": [*TALK], "chosen": "不在"}, "在吗|⟦在的⟧", "the field 'chosen' is not read"),
        ({"prompt": "在吗", "response": "nan"}, "在吗|⟦nan⟧", "the text is 'nan', which looks like a missing value"),
        ({"messages": [{"role": "user", "content": ["在", {"type": "text", "text": "吗"}]}, TALK[1]], "tools": "x"},
         "在吗|⟦在的⟧", "'tools' is not a list of functions: not read"),
    ],
)  # fmt: skip
def test_conversations(xinye, workplace, row, read, says):
    report = json.loads(check(xinye, "chat", "a.jsonl", [row]).out)
    parts = []
    for text, mark in report["shown"][0]["seen"]:
        _, _, text = text.rpartition("assistant\n") if mark else (0, 0, text)
        if mark is True and text != "<|im_end|>":
            parts.append(f"⟦{text}⟧")
        elif not mark and text.startswith(("user\n", "assistant\n")):
            parts += [text.partition("\n")[2]] if text.partition("\n")[2].strip() else []
    assert "|".join(parts) == read
    assert any(says in finding for finding in report["findings"]) or not says, report["findings"]
    few = "1 record: too few to keep some for validation; name a file with --validation"
    assert says or report["findings"] == [f"finetune would refuse this: {few}"]


IMAGE = {"type": "image_url", "image_url": {"url": "a.png"}}


@pytest.mark.parametrize(
    ("task", "name", "content", "says"),
    [
        ("classify", "a.csv", "text,label\n好,1\n坏,NaN\n", "line 3, field 'label': expected a label, found 'NaN'"),
        ("classify", "a.jsonl", '{"text": "好", "label": NaN}', "expected a label, found 'nan'"),
        ("classify", "a.jsonl", labelled("a", "b", "\u200b"), "line 3, field 'label': expected a label, found nothing"),
        ("classify", "a.csv", CSV + "label,review\n好,很快\n", "line 4: the header appears again with its columns in another"),
        ("classify", "a.csv", "text,label,text\n好,1,坏\n", "line 1: 2 columns are called 'text'; give each its own"),
        ("classify", "a.jsonl", '{"text": "a", "label": 1, "label": 0}', "line 1: not valid JSON (the key 'label' has"),
        ("tag", "a.jsonl", [{"text": "叶", "spans": [[0, 1, ""]]}], "the span 0–1 has no type"),
        ("tag", "a.conll", "叶 B-N\nNew York B-N\n", "line 2: expected a token and its tag, found 'New York B-N'; "),
        ("chat", "a.jsonl", [{"messages": [{"role": "user", "content": [IMAGE]}, TALK[1]]}],
         "message 1: the type 'image_url' is not text: Xinye learns only text"),
        ("chat", "a.jsonl", [{"messages": TALK, "images": ["a.png"]}], "field 'images': Xinye learns only text"),
        ("chat", "a.jsonl", [{"prompt": "a", "response": "b", "history": "earlier"}], "field 'history', turn 1: expected"),
        ("chat", "a.jsonl", [{"messages": [TALK[0], TALK[1] | {"weight": 0.5}]}], "'weight': expected 0 (not trained)"),
        ("chat", "a.jsonl", [{"messages": [TALK[0], TALK[1] | {"train": False}]}], "there is no answer from the assistant"),
        ("text", "a.csv", "text,text\n好,1\n", "2 columns are called 'text'"),
    ],
)  # fmt: skip
def test_what_changes_its_meaning_is_refused(xinye, workplace, task, name, content, says):
    outcome = check(xinye, task, name, content)
    report = json.loads(outcome.out) if outcome.out else {"bad": [outcome.complaint]}
    assert any(says in bad for bad in report["bad"]), report["bad"]


def test_text_of_a_table_is_not_trained_with_its_labels(xinye, workplace):
    Path("a.csv").write_text("label;review\n1;很好，快\nlabel;review\n0;bad\n", "utf-8")
    report = json.loads(xinye("data", "check", "a.csv", "--json").out)
    assert [shown["text"] for shown in report["preview"]] == ["很好，快", "bad"]
    findings = [finding["finding"] for finding in report["findings"]]
    assert any("separated by ';'" in finding for finding in findings)
    assert any("the header appears again, and is left out (a.csv, line 3)" in f for f in findings)


def test_finetune_and_evaluate_report_it_too(xinye, trained, workplace):
    rows = [f"{row['text']},{row['label']}" for row in reviews(20, "zh")]
    Path("a.csv").write_text("\n".join(["text,label", *rows, "text,label"]), "utf-8")
    says = "the header appears again, and is left out (a.csv, line 22)"
    given = ("--task", "classify", "--data", "a.csv")
    ran = xinye("finetune", trained, *given, "--epochs", 1, "-o", "run", "--json")
    assert ran.code == 0 and says in " ".join(ran.err.split())
    assert says in json.loads(xinye("evaluate", "run", "--data", "a.csv", "--json").out)["notes"]
