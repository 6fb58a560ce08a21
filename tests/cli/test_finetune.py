"""`xinye finetune`, then evaluate, then the task's verb."""

import json
import shlex
import shutil
import sys
from contextlib import contextmanager

import pytest

from xinye.training import session

ROWS = [("很好吃", "正面"), ("不错，好", "正面"), ("太慢", "负面"), ("难吃，太差", "负面")] * 10


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    """`reviews.csv` in an own folder."""
    monkeypatch.chdir(tmp_path)
    lines = [f'{number},"{text}{number}",{label}' for number, (text, label) in enumerate(ROWS)]
    (tmp_path / "reviews.csv").write_text("\n".join(["id,review,label", *lines]), "utf-8")
    return tmp_path


def test_from_a_csv_to_a_classifier(xinye, trained, reviews):
    ran = xinye(
        "finetune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "-o",
        "run",
        "--epochs",
        "1",
        "--json",
    )
    told = json.loads(ran.out.splitlines()[-1])
    assert (
        ran.code == 0
        and told["task"] == "classify"
        and told["measured"]["table"]["负面"]["support"] == 2
    )
    assert "trained_parameters" in ran.err and "TF-IDF" not in ran.err
    page = (reviews / "run" / "report.html").read_text("utf-8")
    assert "TF-IDF + linear SVM + naive Bayes" in page and "负面" in page
    shown = xinye("evaluate", "run", "--data", "reviews.csv")
    assert (
        shown.code == 0
        and "macro F1" in shown.out
        and "TF-IDF + linear SVM + naive Bayes" in shown.out
    )
    table = (reviews / "reviews.csv").read_text("utf-8")
    (reviews / "other.csv").write_text(table.replace("id,review,label", "id,x,y"), "utf-8")
    named = ["--text-field", "x", "--label-field", "y"]
    other = xinye("evaluate", "run", "--data", "other.csv", *named)
    assert other.code == 0 and other.out.splitlines()[1:5] == shown.out.splitlines()[1:5]
    unused = xinye("evaluate", "run", "--data", "other.csv", "--prompt-field", "x").complaint
    assert "prompt_field has no effect on the task classify" in unused
    assert "正面" in xinye("classify", "run", "好吃").out
    (reviews / "lines.txt").write_text("好吃\n难吃\n", "utf-8")
    results = json.loads(xinye("classify", "run", "lines.txt", "--json").out)["results"]
    assert [result["text"] for result in results] == ["好吃", "难吃"]
    assert sum(results[0]["probabilities"].values()) == pytest.approx(1)
    assert "--task tag --data FILE" in xinye("tag", "run", "好吃").complaint
    pair = xinye("classify", "run", "好吃", "--pair", "难吃")
    assert pair.code == 2 and "trained on single texts and cannot classify a pair" in pair.complaint
    (reviews / "other.csv").write_text("body,mood\n好吃,正面\n难吃,负面\n", "utf-8")
    columns = ("--text-field", "body", "--label-field", "mood")
    other = xinye("evaluate", "run", "--data", "other.csv", *columns, "--json")
    assert other.code == 0 and json.loads(other.out)["records"] == 2, other.err
    listed = json.loads(xinye("runs", "run", "--json").out)
    assert listed["runs"][0]["recipe"] == "finetune"


def test_an_interrupted_fine_tuning_tells_so_in_json(xinye, trained, reviews, monkeypatch):
    @contextmanager
    def stopped(say, launched):
        yield lambda: 15

    monkeypatch.setattr(session, "interruptible", stopped)
    outcome = xinye(
        "finetune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "--epochs",
        "2",
        "-o",
        "run",
        "--json",
    )
    result = json.loads(outcome.out)
    assert outcome.code == 128 + 15 and result["interrupted"] == 15 and result["steps"] == 1
    assert "resume with: xinye finetune -o run --resume" in outcome.err


@pytest.mark.parametrize("name", ["新 叶", "a'b"])
def test_suggested_commands_quote_their_paths(xinye, trained, reviews, name):
    run = shutil.copytree(trained, name)
    quoted = shlex.quote(str(run))
    asked = xinye("tag", run, "x").complaint
    judged = xinye("evaluate", run, "--task", "classify", "--data", "empty.csv").complaint
    assert f"xinye finetune {quoted} --task tag" in asked
    assert "empty.csv: no such file" in judged and "finetune" not in judged


def test_without_scikit_learn_there_is_no_baseline_and_all_else(
    xinye, trained, reviews, monkeypatch
):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    ran = xinye(
        "finetune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "-o",
        "run",
        "--epochs",
        "1",
    )
    assert ran.code == 0 and "macro F1" in ran.out
    # before all work
    assert ran.err.index("needs scikit-learn") < ran.err.index("reading the records")
    result = json.loads((reviews / "run" / "training" / "result.json").read_text("utf-8"))
    assert (
        result["baseline"] is None
        and "no baseline: " in result["findings"][-1]
        and "accuracy" in result["measured"]
    )
    assert "the baseline is missing" in (reviews / "run" / "report.html").read_text("utf-8")
    assert "note: no baseline: " in xinye("evaluate", "run", "--data", "reviews.csv").out
    folds = xinye(
        "finetune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "-o",
        "folds",
        "--epochs",
        "1",
        "--folds",
        2,
    )
    assert folds.code == 0 and "accuracy" in folds.out


def test_chat_asks_for_no_scikit_learn(xinye, trained, reviews, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    record = {
        "messages": [{"role": "user", "content": "好吗"}, {"role": "assistant", "content": "好"}]
    }
    (reviews / "chat.jsonl").write_text(f"{json.dumps(record)}\n" * 8, "utf-8")
    files = ("--data", "chat.jsonl", "--validation", "chat.jsonl")
    ran = xinye("finetune", trained, "--task", "chat", *files, "-o", "run", "--epochs", "1")
    assert ran.code == 0 and "scikit-learn" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--task", "classify", "-o", "run"], "give the records to train on: --data FILE"),
        (["--task", "classify", "--data", "missing.csv", "-o", "run"], "missing.csv: no such file"),
        (["--data", "reviews.csv", "-o", "run"], "give the task: --task"),
        (["--task", "tag", "--data", "reviews.csv", "-o", "run"], "expected a token and its tag"),
        (
            ["--task", "tag", "--data", "reviews.csv", "-o", "run", "--label-separator", ";"],
            "label_separator has no effect",
        ),
        (
            ["--task", "classify", "--data", "reviews.csv", "-o", "run", "--resume"],
            "run: there is no run to resume",
        ),
    ],
)
def test_wrong_use_is_one_line(xinye, trained, reviews, arguments, says):
    ran = xinye("finetune", *([] if "--resume" in arguments else [trained]), *arguments)
    assert ran.code == 2 and says in ran.complaint
    assert not (reviews / "run").exists()
