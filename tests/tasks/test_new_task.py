"""A new task is one class in one file and one line in the dictionary; all else follows. The class
is the one that docs/adding-a-task.md shows."""

import json
from pathlib import Path

import pytest

import xinye as package
from server.tiny_server import serving
from xinye import machine
from xinye.tasks.registry import TASKS, Entry, find_task
from xinye.tasks.task import Task

DOCS = Path(__file__).parents[2] / "docs"


def example(page: str) -> str:
    """The task that a page of the documentation shows."""
    return (DOCS / page).read_text("utf-8").split("```python\n")[1].split("```")[0]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An own folder with `loud.jsonl`; here there is one task more: one file, and one line."""
    (tmp_path / "task_of_the_page.py").write_text(example("adding-a-task.md"), "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    entry = Entry("task_of_the_page:Shout", "a text, but louder")
    monkeypatch.setitem(TASKS, "shout", entry)
    monkeypatch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
    monkeypatch.chdir(tmp_path)
    texts = ["小兔很高兴", "小猫真快乐", "大家都笑了", "今天太好了", "小兔哭了", "真难过啊"]
    rows = [{"text": text, "loud": f"{text}！"} for text in texts]
    Path("loud.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return tmp_path


def test_all_else_follows(xinye, trained, here, monkeypatch):
    assert (
        "  shout " in xinye("--help").out and "|chat|text|shout" in xinye("finetune", "--help").out
    )
    checked = xinye("data", "check", "loud.jsonl", "--task", "shout")
    assert (
        checked.code == 0
        and "loud.jsonl: 6 records, 'text' and 'loud'" in checked.out
        and "⟦小兔很高兴！" in checked.out
    )
    assert "小|兔" in xinye("data", "show", "loud.jsonl", "--task", "shout").out

    command = (
        "finetune",
        trained,
        "--task",
        "shout",
        "--data",
        "loud.jsonl",
        "--epochs",
        "2",  # so that it is judged on the way, too
        "--dtype",
        "float32",
    )
    shout = find_task("shout")
    monkeypatch.setattr(shout, "counts_name", "shouts")
    monkeypatch.setattr(shout, "counts", staticmethod(lambda some: {"loud": len(some)}))
    told = xinye(*command, "--validation", "loud.jsonl", "-o", "run")
    assert told.code == 0, told.err
    assert 'use it: xinye shout run "…"' in told.err and "exact match" in told.out
    assert "an exclamation mark  " in told.out and "100%" in told.out
    plan = json.loads(Path("run/training/plan.json").read_text("utf-8"))
    assert plan["values"]["shouts"] == 1 and plan["reasons"]["shouts"] == "loud 6"
    said = xinye("runs", "show", "run", "--json").out
    assert "Worse than its baseline" in said or "Better than its baseline" in said
    card, report = (Path("run", name).read_text("utf-8") for name in ("README.md", "report.html"))
    assert 'xinye shout FOLDER "…"' in card and "Says a text again, louder." in card
    assert "answers that match exactly" in report and "让它喊：" in report

    judged = json.loads(xinye("evaluate", "run", "--data", "loud.jsonl", "--json").out)
    assert judged["task"] == "shout" and judged["baseline"] == {
        "name": "an exclamation mark",
        "exact": 1.0,
    }
    asked = asked_its_own_way(shout, monkeypatch)
    said = json.loads(xinye("shout", "run", "小兔", "--json").out)["results"]
    assert [list(each) for each in said] == [["text", "shout", "ended"]]
    assert said[0]["shout"].startswith("大声说：小兔 → ")
    model = package.load("run")
    assert model.shout(["小兔", "小猫"])[0]["text"] == said[0]["shout"] and "shout" in dir(model)
    with pytest.raises(AttributeError, match="'shot'"):
        model.shot("小兔")
    with serving(["run"]) as server:
        answer = server.http.post("/v1/tasks/shout", json={"model": "run", "input": ["小兔"]})
        assert answer.json()["data"][0]["text"] == said[0]["shout"], answer.text
    assert asked == [f"大声说：{text}" for text in ("小兔", "小兔", "小猫", "小兔")]
    assert "was not trained to shout" in xinye("shout", trained, "小兔").complaint
    folds = xinye(*command, "-o", "folds", "--folds", "2")
    assert folds.code == 0 and "exact match" in folds.out and " ± " in folds.out


def asked_its_own_way(task, monkeypatch):
    """The task asks in words of its own, and its result says in which; returns what was asked."""
    asked = []

    def ask(cls, text):
        asked.append(f"大声说：{text}")
        return [{"role": "user", "content": asked[-1]}]

    def answered(cls, reply):
        return {"text": f"{asked[0]} → {reply.text}", "ended": False}

    monkeypatch.setattr(task, "asked", classmethod(ask))
    monkeypatch.setattr(task, "answered", classmethod(answered))
    return asked


def test_a_task_that_lacks_something_says_what():
    class Half(Task):
        verb = "half"

    with pytest.raises(TypeError, match=r"baseline.*examples.*use"):
        Half.of([])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--label-field", "loud"], "label_field has no effect on the task shout"),
        (["--method", "head"], "the task shout has no new head that could be trained alone"),
        (
            ["--augment", "crop"],
            "augment crop would separate answers from their questions; shout takes only mask",
        ),
    ],
)
def test_what_has_no_effect_on_it_is_refused(xinye, here, arguments, says):
    outcome = xinye(
        "finetune", "base", "--task", "shout", "--data", "loud.jsonl", "-o", "run", *arguments
    )
    assert outcome.code == 2 and says in outcome.complaint


def test_both_pages_show_the_same():
    assert example("adding-a-task.md") == example("adding-a-task_zh.md")
