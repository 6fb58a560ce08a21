"""`xinye runs` as a person meets it: everything about runs at a glance, and nothing deleted
unasked."""

import io
import json
import os
import shutil
import sys
from pathlib import Path

import pytest
from rich.cells import cell_len

from conftest import contents
from xinye.runs.folder import RunFolder
from xinye.runs.saved import read_run

CURVE = {
    "losses": [7 - step / 20 for step in range(60)],
    "validations": [(20, 6.5), (40, 5.0), (60, 4.0)],
}


@pytest.fixture
def two(make_run):
    """An older Chinese run and a newer English one that was interrupted."""
    older = {"started": "2026-11-20T08:00:00+08:00", "text": "a"}
    make_run(
        "runs/红楼梦",
        **CURVE,
        about=older,
        plan={"parameters": 5_212_928},
        settings={"files": ["红楼梦.txt", "b"]},
    )
    newer = make_run(
        "runs/shakespeare",
        **CURVE,
        plan={"steps": 99, "width": 64},
        finished=False,
        about={"text": "b"},
    )
    return newer.parent


def checkpoint(run: Path, step: int) -> Path:
    """An empty one."""
    folder = run / "training" / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}", "utf-8")
    return folder


def type_in(monkeypatch, answer):
    terminal = io.StringIO(answer)
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", terminal)


def test_lists_the_newest_first_in_columns(xinye, two, monkeypatch):
    monkeypatch.chdir(two.parent)
    outcome = xinye("runs")
    assert xinye("runs", "list") == outcome
    head, newer, older = outcome.out.splitlines()
    assert (outcome.code, outcome.err) == (0, "")
    assert newer.startswith("runs/shakespeare") and "interrupted, step 60 of 99" in newer
    assert (
        older.startswith("runs/红楼梦")
        and "红楼梦.txt + 1" in older
        and "5.2M" in older
        and "2.000" in older
    )
    columns = [
        cell_len(line[: line.index(word)]) for line, word in ((newer, "interr"), (older, "finish"))
    ]
    assert columns[0] == columns[1] == head.index("state")


def test_lists_as_json(xinye, two):
    runs = json.loads(xinye("runs", two, "--json").out)["runs"]
    assert [Path(run["run"]).name for run in runs] == ["shakespeare", "红楼梦"]
    assert (runs[1]["state"], runs[1]["steps"], runs[1]["parameters"]) == (
        "finished",
        60,
        5_212_928,
    )


def test_several_folders_and_runs_none_twice(xinye, two):
    assert (
        len(json.loads(xinye("runs", two, two / "红楼梦", two.parent, "--json").out)["runs"]) == 2
    )


def test_no_runs_yet(xinye, workplace):
    outcome = xinye("runs")
    assert outcome.code == 0 and "no runs in runs" in outcome.err and outcome.out == ""
    assert json.loads(xinye("runs", "--json").out) == {"runs": []}


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["shwo", "run"], "shwo: there is no such folder; did you mean 'show'?"),
        (["--jsno"], "did you mean '--json'?"),
        (["show", "missing"], "missing: there is no such folder"),
        (["show", "."], ".: is not a run"),
        (["show"], "DIR"),
        (["compare", "run"], "two or more runs"),
        (["compare", "run", "run"], "a run is given twice"),
        (["compare", "run", "."], ".: is not a run"),
        (["compare", "run", "other", "--over", "hours"], "hours"),
        (["compare", "run", "other", "--plot", "curves.png"], ".svg"),
        (["clean", "missing"], "missing: there is no such folder"),
        (["verify", "missing"], "missing: there is no such folder"),
        (["clean", "run", "--all", "missing"], "missing: there is no such folder"),
        (["clean", "--all", "."], ". is not a run; with --all name each run"),
        (["clean", "--all"], "runs is not a run; with --all name each run"),
    ],
)
def test_wrong_use_is_one_line_and_changes_nothing(xinye, workplace, trained, arguments, says):
    shutil.copytree(trained, workplace / "run")
    before = contents(workplace)
    outcome = xinye("runs", *arguments)
    assert outcome.code == 2 and says in outcome.complaint and contents(workplace) == before


def test_help_names_the_verbs(xinye):
    for verb in ("show", "compare", "verify", "clean"):
        assert f"xinye runs {verb}" in xinye("runs", "--help").out
        assert xinye("runs", verb, "--help").out.startswith(f"usage: xinye runs {verb}")


def test_show_tells_of_a_run_and_writes_its_report(xinye, workplace, trained, monkeypatch):
    run = Path(shutil.copytree(trained, workplace / "run"))
    (run / "report.html").unlink()
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    out = xinye("runs", "show", run).out
    for words in (
        "已完成",
        "每字节比特数",
        "太短，无法判断",
        "xinye pretrain",
        f"{run}/report.html",
    ):
        assert words in out
    assert (run / "report.html").is_file()
    told = json.loads(xinye("runs", "show", run, "--json").out)
    assert (
        told["findings"][0]["name"] == "too short"
        and len(told["texts"]) == 3
        and told["state"] == "finished"
    )


def test_compare_shows_what_differs_and_the_curves(xinye, two):
    outcome = xinye("runs", "compare", two / "红楼梦", two / "shakespeare", "--over", "steps")
    assert "different texts" in outcome.err
    rows = [line.split() for line in outcome.out.splitlines()]
    assert ["steps", "60", "99"] in rows and ["width", "–", "64"] in rows
    assert not any(row[:1] == ["vocabulary"] for row in rows)
    assert ["30", "2.875", "2.875"] in rows and ["60", "2.000", "2.000"] in rows


def test_of_tasks_compare_shows_the_figures(xinye, make_run):
    about = {"recipe": "finetune", "settings": {"task": "classify"}}
    runs = [
        make_run(name, about=about, result={"measured": {"accuracy": accuracy, "table": {}}})
        for name, accuracy in (("one", 0.75), ("other", 0.5))
    ]
    told = xinye("runs", "compare", *runs).out
    assert ["accuracy", "0.7500", "0.5000"] in [line.split() for line in told.splitlines()]
    assert "bits per byte" not in told


def test_compare_draws_the_curves(xinye, two):
    runs = [two / "红楼梦", two / "shakespeare"]
    outcome = xinye("runs", "compare", *runs, "--plot", two / "curves.svg", "--json")
    chart = (two / "curves.svg").read_text("utf-8")
    assert chart.startswith("<svg") and "红楼梦" in chart
    assert json.loads(outcome.out)["curves"][str(runs[0])] == [
        [1280.0, 3.25],
        [2560.0, 2.5],
        [3840.0, 2.0],
    ]


def test_clean_keeps_the_model_and_what_is_no_run(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "runs" / "novel"))
    letters = workplace / "runs" / "letters" / "checkpoint"
    letters.mkdir(parents=True)
    (letters / "mother.txt").write_text("亲爱的妈妈", "utf-8")
    before = contents(workplace)
    outcome = xinye("runs", "clean", "--yes", "--json")
    gone = set(before) - set(contents(workplace))
    assert gone and all(name.startswith("runs/novel/training/checkpoints/step-") for name in gone)
    assert json.loads(outcome.out)["deleted"][0]["bytes"] == sum(len(before[name]) for name in gone)
    assert read_run(run).state == "finished"
    assert "nothing to clean" in xinye("runs", "clean").err


@pytest.mark.parametrize("answer, kept", [("n\n", True), ("\n", True), ("", True), ("y\n", False)])
def test_clean_asks(xinye, workplace, trained, monkeypatch, answer, kept):
    shutil.copytree(trained, workplace / "runs" / "novel")
    type_in(monkeypatch, answer)
    outcome = xinye("runs", "clean")
    assert outcome.code == 0 and "runs/novel" in outcome.out and "[y/N]" in outcome.out
    assert (
        workplace / "runs" / "novel" / "training" / "checkpoints" / "step-00000006"
    ).exists() == kept


@pytest.mark.parametrize("verb", [("runs", "clean"), ("rm",)])
@pytest.mark.parametrize("more", [(), ("--all",)])
def test_where_nobody_can_answer_it_lists_what_would_go(xinye, workplace, trained, verb, more):
    shutil.copytree(trained, workplace / "run")
    before = contents(workplace)
    outcome = xinye(*verb, "run", *more)
    assert outcome.code == 2 and "MB in 1 run can be deleted; give --yes" in outcome.err
    what = "the whole run, with its model and report" if more else "the checkpoints"
    assert what in outcome.out and contents(workplace) == before


def test_rm_says_what_is_gone_and_what_stays_and_all_deletes_the_run(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, "runs/废"))
    inner = Path(shutil.copytree(trained, "runs/废/control"))
    (run / "notes.txt").write_text("我的笔记", "utf-8")
    (run / "photos").symlink_to(trained)
    (inner / "report.html").unlink()
    (inner / "report.html").symlink_to(trained / "report.html")
    before = contents(trained)
    told = xinye("rm", run, "--yes").err
    assert "runs/废: deleted the checkpoints, " in told and "the run stays" in told
    assert "xinye runs clean runs/废 --all" in told and (run / "model.safetensors").exists()
    told = xinye("rm", run, "--yes").err
    assert "nothing to clean" in told and "--all" in told
    told = xinye("rm", run, "--all", "--yes").err
    assert "runs/废: deleted the run, " in told and "control, notes.txt, photos" in told
    assert {path.name for path in run.iterdir()} == {"control", "notes.txt", "photos"}
    assert [path.name for path in inner.iterdir()] == ["report.html"]
    assert contents(trained) == before
    shutil.copytree(trained, "runs/旧")
    assert "runs/旧: deleted the whole run" in xinye("rm", "runs/旧", "--all", "--yes").err
    assert not Path("runs/旧").exists()


def test_all_deletes_only_what_is_surely_a_run(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "run"))
    Path("link").symlink_to(run)
    before = contents(run)
    delete = ("runs", "clean", "--all", "--yes")
    assert "link: is a link to" in xinye(*delete, "run", "link").complaint
    with RunFolder(run).in_use():
        assert "still training" in xinye(*delete, "run").complaint
    assert contents(run) == before
    (run / "training" / "settings.json").write_text("{}", "utf-8")
    before = contents(run)
    assert "is not that of a run" in xinye(*delete, "run").complaint
    assert contents(run) == before


def test_clean_keeps_the_better_model_of_a_run_that_overfits(xinye, make_run):
    losses = [6 - step / 20 for step in range(80)]
    run = make_run(
        "runs/long",
        losses=losses,
        validations=[(step, 4 + abs(step - 20) / 50) for step in range(10, 81, 10)],
    )
    for step in (20, 70, 80):
        checkpoint(run, step)
    assert "training/checkpoints/step-00000020" in xinye("runs", "show", run).out
    assert xinye("runs", "clean", "--yes", run).code == 0
    assert [path.name for path in (run / "training" / "checkpoints").iterdir()] == ["step-00000020"]


def test_clean_takes_empty_runs_but_interrupted_ones_only_when_asked_to(xinye, make_run):
    empty, part = (
        make_run(f"runs/{name}", losses=[5.0, 4.0], finished=False) for name in ("empty", "part")
    )
    (part / "model.safetensors").touch()
    (part / "notes.txt").write_text("我的笔记", "utf-8")
    assert xinye("runs", "clean", "--yes", empty.parent).code == 0
    assert not empty.exists() and (part / "model.safetensors").exists()
    assert xinye("runs", "clean", "--yes", "--interrupted", empty.parent).code == 0
    assert contents(part) == {"notes.txt": "我的笔记".encode()}


def test_clean_leaves_a_run_that_is_going_on(xinye, make_run):
    run = make_run("runs/now", losses=[5.0], finished=False)
    with RunFolder(run).in_use():
        before = contents(run)
        assert xinye("runs", "clean", "--yes", "--interrupted", run).code == 0
        assert contents(run) == before


DAMAGE = {
    "deep": b"[" * 100_000,
    "deep value": b'{"values": ' + b'{"a":' * 200_000 + b"1" + b"}" * 200_001,
    "text for a number": b'{"values": {"steps": "many", "parameters": "5M"}, "steps": "x", "step": "x", "settings": 1}',
    "infinite": b'{"values": {"steps": 1e999}, "steps": 1e999, "kind": "step", "step": 1e999, "started": 1e999}',
    "huge": b'{"values": {"parameters": 1'
    + b"0" * 999
    + b'}, "parameters": 1'
    + b"0" * 999
    + b', "settings": []}',
    "not UTF-8": '{"values": {}, "settings": {"files": ["红楼梦"]}}'.encode("gbk"),
    "a list": b"[1]",
}


@pytest.mark.parametrize("name", ["settings.json", "plan.json", "result.json", "metrics.jsonl"])
@pytest.mark.parametrize("damage", [*DAMAGE, "a folder", "a pipe"])
def test_a_damaged_run_is_listed_with_the_reason_and_costs_no_other(xinye, two, name, damage):
    path = two / "红楼梦" / "training" / name
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    elif damage == "a pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(DAMAGE[damage] + b"\n")
    outcome = xinye("runs", two)
    lines = outcome.out.splitlines()
    assert outcome.code == 0 and len(lines) == 3, outcome.out
    (line,) = [line for line in lines if "红楼梦" in line]
    assert "damaged: " in line and name in line and len(line) < 500
    assert (
        sum(
            run["state"] == "damaged"
            for run in json.loads(xinye("runs", two, "--json").out)["runs"]
        )
        == 1
    )
    shown = xinye("runs", "show", two / "红楼梦")
    assert "damaged" in shown.out + shown.err and "Traceback" not in shown.err
    assert shown.code == 0 and "is damaged" in (two / "红楼梦" / "report.html").read_text("utf-8")
    assert xinye("runs", "compare", two / "红楼梦", two / "shakespeare").code == 0
    before = contents(two)
    assert xinye("runs", "clean", "--yes", two / "红楼梦").code == 0 and contents(two) == before


def test_a_run_that_may_not_be_read_is_listed(xinye, unprivileged):
    run = unprivileged / "runs" / "secret" / "training"
    run.mkdir(parents=True)
    (run / "settings.json").write_text("{}")
    for locked in (run / "settings.json", run):
        locked.chmod(0)
        assert "damaged: " in xinye("runs").out and "Permission denied" in xinye("runs").out
    run.chmod(0o700)


def test_nested_values_of_another_kind_are_one_line(xinye, make_run):
    run = make_run(
        **CURVE,
        result={"measured": {"accuracy": [1]}, "baseline": {"accuracy": 1}, "time_seconds": {}},
    )
    path = run / "training" / "settings.json"
    path.write_text(
        path.read_text("utf-8").replace('"format"', '"recipe": "finetune", "format"'), "utf-8"
    )
    outcome = xinye("runs", "show", run)
    assert outcome.code == 2 and "a value in training/ is not valid" in outcome.complaint


def test_clean_never_follows_a_link(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "runs" / "novel"))
    photos = run / "training" / "checkpoints" / "step-photos"
    photos.mkdir()
    (photos / "mother.jpg").touch()
    shutil.copytree(
        run / "training" / "checkpoints" / "step-00000006", f"{photos.parent}/step-00000006.bak"
    )
    (photos.parent / "step-00000003" / "notes.txt").touch()  # somebody's
    assert xinye("runs", "clean", "--yes").code == 0
    assert {path.name for path in photos.parent.iterdir()} == {
        "step-photos",
        "step-00000006.bak",
        "step-00000003",
    }
    shutil.rmtree(run)
    shutil.copytree(trained, run)
    elsewhere = workplace / "elsewhere"
    (run / "training" / "checkpoints").rename(elsewhere)
    (run / "training" / "checkpoints").symlink_to(elsewhere)
    (workplace / "runs" / "link").symlink_to(shutil.copytree(trained, workplace / "other"))
    before = contents(workplace)
    for arguments in ((), ("--interrupted",), ("--interrupted", "runs/link")):
        assert "nothing to clean" in xinye("runs", "clean", "--yes", *arguments).err
    (run / "training" / "result.json").unlink()  # interrupted: all of it may go
    assert xinye("runs", "clean", "--yes", "--interrupted").code == 0
    gone = set(before) - set(contents(workplace))
    assert "runs/novel/model.safetensors" in gone and all(
        name.startswith("runs/novel/") for name in gone
    )
    assert len(list(elsewhere.glob("step-*/model.safetensors"))) == 2


def test_clean_leaves_what_no_run_wrote(xinye, make_run):
    run = make_run("runs/part", losses=[5.0], finished=False)
    (run / "training" / "diary.txt").write_text("我的日记", "utf-8")
    (run / "config.json").symlink_to(run / "training" / "diary.txt")
    assert xinye("runs", "clean", "--yes", run).code == 0
    assert contents(run) == dict.fromkeys(
        ("training/diary.txt", "config.json"), "我的日记".encode()
    )


def test_verify_names_what_differs(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "runs" / "novel"))
    outcome = xinye("runs", "verify")
    assert (outcome.code, outcome.out) == (0, "runs/novel: all files are unchanged\n")
    newest = Path("runs/novel/training/checkpoints/step-00000006")
    flip(run / "tokenizer.json")
    flip(newest / "optimizer.safetensors")
    (newest / "progress.json").unlink()
    outcome = xinye("runs", "verify", run, "--json")
    assert outcome.code == 1
    assert [
        problem.removeprefix(f"{workplace}/")
        for problem in json.loads(outcome.out)["runs"][0]["problems"]
    ] == [
        "runs/novel/tokenizer.json: the content of tokenizer.json has changed since it was saved",
        f"{newest}/optimizer.safetensors: the content of optimizer.safetensors has changed since "
        "it was saved",
        f"{newest}/progress.json: progress.json is missing",
    ]
    assert xinye("runs", "verify").code == 1
    assert xinye("runs", "clean", "--yes").code == 0
    flip(run / "tokenizer.json")
    assert xinye("runs", "verify").code == 0, "what was saved is known without checkpoints, too"


def test_a_flipped_bit_in_the_weights_is_noticed(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "runs" / "novel"))
    flip(run / "model.safetensors")
    outcome = xinye("generate", run, "从前")
    assert (
        outcome.code == 2
        and "the content of model.safetensors has changed since it was saved" in outcome.complaint
    )
    (run / "training" / "manifest.json").unlink()
    assert xinye("generate", run, "从前", "--max-tokens", "1").code == 0, "as the complaint advises"


def flip(path: Path) -> None:
    """Turn one bit over."""
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
