"""`xinye demo`: stories or a text of one's own, and nothing of one's own replaced."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import contents
from xinye.apps.support.desk_folder import DeskFolder
from xinye.apps.support.messages import Message
from xinye.apps.support.replies import Answerer
from xinye.cli import demo as verb
from xinye.demo import demo as recipe
from xinye.demo import demo_tasks as of_task
from xinye.demo import support as shop
from xinye.observer import Observer
from xinye.tasks.registry import find_task


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--set", "emotions"], "--set has an effect only with --task classify"),
        (["--task", "tag", "--set", "emotions"], "no effect with --task tag, only with --task"),
        (["--task", "classify", "--set", "emotion"], "choose emotions; did you mean 'emotions'?"),
        (["--language", "fr"], "'fr': choose zh or en"),
        (["missing.txt"], "missing.txt: no such file"),
        (["zh.txt", "--time", "soon"], "'soon' is not a duration"),
        (["--task", "sort"], "'sort': choose one of classify, tag, answer, "),
        (["--task", "tag", "--time", "9s"], "--time has no effect with --task"),
        (["--application", "shop"], "--application 'shop': choose one of support"),
        (["--application", "support", "--time", "9s"], "--time has no effect with --application"),
        (["--application", "recommend", "--time", "9s"], "effect with --application recommend"),
        (["--application", "support", "-o", "."], ".: exists; choose another folder"),
        (["--application", "recommend", "-o", "."], ".: exists; choose another folder"),
        (
            ["zh.txt", "--task", "tag"],
            "FILE has no effect with --task; for your own records: xinye finetune",
        ),
    ],
)
def test_wrong_use_is_one_line(xinye, workplace, arguments, says):
    before = contents(workplace)
    outcome = xinye("demo", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before


def test_the_help_names_every_task_with_an_exercise(xinye):
    known = "|".join(of_task.with_exercises())
    assert f"--task {known}" in xinye("demo", "--help").out


def test_a_run_of_ones_own_is_kept(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "novel"))
    before = contents(run)
    outcome = xinye("demo", "zh.txt", "--time", "1s", "-o", "novel")
    assert outcome.code == 2 and "novel: this run already exists" in outcome.complaint
    assert contents(run) == before


@pytest.mark.parametrize("language", ["zh", "en"])
def test_in_miniature(xinye, workplace, monkeypatch, language):
    monkeypatch.setattr(recipe, "STORIES", 200)
    monkeypatch.setattr(verb, "CHECKED", 3)
    outcome = xinye("demo", "--language", language, "--time", "1s", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    assert result["run"] == str(Path("runs") / f"demo-{language}")
    # after a second it cannot tell one yet
    assert result["stories"] == {
        "told": 3,
        "consistent_and_new": 0,
    }
    assert len(result["texts"]) == 3
    assert f"xinye generate {result['run']}" in outcome.err


def test_writing_the_stories_is_no_part_of_the_time(monkeypatch, tmp_path):
    now, began = [100.0], []
    monkeypatch.setattr(recipe.clock, "now", lambda: now[0])

    def story_file(language, count):
        now[0] += 30
        return tmp_path / "stories.jsonl"

    monkeypatch.setattr(recipe, "story_file", story_file)
    monkeypatch.setattr(
        recipe, "pretrain", lambda *arguments, **named: began.append(named["began"]) or True
    )
    recipe.Demo((), "en").train("10s", tmp_path / "run", Observer(), True, 95.0)
    assert began == [125.0]


@pytest.mark.parametrize(
    ("task", "language"), [("classify", "en"), ("tag", "zh"), ("answer", "en"), ("chat", "zh")]
)
def test_a_task_in_miniature(xinye, workplace, monkeypatch, task, language):
    for name, value in {"TEXTS": 300, "HELD_OUT": 4}.items():
        monkeypatch.setattr(of_task, name, value)
    kind = find_task(task)
    count = 150 if task == "answer" else 20  # a knowledge base needs more to be calibrated
    small = replace(kind.exercise, training=count, base_epochs=0.1, epochs=0.1)
    monkeypatch.setattr(kind, "exercise", small)
    outcome = xinye("demo", "--task", task, "--language", language, "--json")
    assert outcome.code == 0, outcome.err
    folder = Path("runs") / f"demo-{task}-{language}"
    result = json.loads(outcome.out.splitlines()[-1])
    assert result["run"] == str(folder / task) and result["records"] == 4 and result["baseline"]
    for command in (
        f"xinye data check {folder}/training.jsonl --task {task} --validation {folder}/test.jsonl",
        f"xinye finetune {folder}/base --task {task} --data {folder}/training.jsonl",
        f"xinye evaluate {folder}/{task} --data {folder}/test.jsonl",
        f"xinye {task} {folder}/{task}",
    ):
        assert command in outcome.err
    tried = result["messages"] if task == "chat" else result["results"]
    assert len(tried) == {"chat": 7, "answer": 4}.get(task, 3)
    card = (folder / task / "README.md").read_text("utf-8")
    assert f"xinye {task} FOLDER" in card and "transformers" in card


def test_a_folder_of_ones_own_is_kept(xinye, workplace):
    before = contents(workplace)
    outcome = xinye("demo", "--task", "tag", "-o", ".")
    assert outcome.code == 2 and ".: exists; choose another folder" in outcome.complaint
    assert contents(workplace) == before


@pytest.mark.parametrize("language", ["zh", "en"])
def test_a_desk_opens_and_opens_again(xinye, workplace, monkeypatch, language):
    opened = []

    def serve(desk, store, settings, keys, ready):
        opened.append((desk, store))
        ready(None, "http://127.0.0.1:1")

    monkeypatch.setattr("xinye.server.support.serve.serve", serve)
    arguments = ("demo", "--application", "support", "--language", language, "--json")
    first = xinye(*arguments)
    assert first.code == 0, first.err
    result = json.loads(first.out.splitlines()[-1])
    folder = Path("runs") / f"demo-support-{language}"
    assert result["url"] == "http://127.0.0.1:1" and result["entries"] >= 30
    assert result["operator_key"] in first.err and result["admin_key"] in first.err
    assert all(question in first.err for question in shop.Shop(language).questions)
    desk = DeskFolder.read(folder / "desk")
    assert desk.settings.company == shop.Shop(language).company and desk.settings.forbidden
    bot = Answerer.read(folder / "desk")
    replies = [bot.answer([Message.of_customer(each)]) for each in shop.Shop(language).questions]
    assert [each.kind for each in replies] == ["faq", "passage", "handover"]
    before = contents(folder)
    again = xinye(*arguments)
    assert again.code == 0 and contents(folder) == before
    assert opened == [(folder / "desk", folder / "support.db")] * 2
