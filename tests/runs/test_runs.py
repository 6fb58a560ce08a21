"""What is read from a run's folder, however it ended."""

import json
import os
import subprocess
import sys

import pytest

from xinye.cli.main import main
from xinye.errors import XinyeError
from xinye.runs.folder import RunFolder
from xinye.runs.saved import find_runs, read_run
from xinye.runs.taught import never_taught_to_answer

STEP = {"kind": "step", "loss": 5.0, "gradient_norm": 1.0, "tokens": 64, "seconds": 0.5}


def metrics(run, *records):
    lines = [
        record if isinstance(record, str) else json.dumps({**STEP, **record}) for record in records
    ]
    (run / "training" / "metrics.jsonl").write_text("\n".join(lines), "utf-8")


def test_a_finished_run(trained):
    run = read_run(trained)
    assert (run.state, run.done, run.plan.steps) == ("finished", 6, 6)
    assert [record["step"] for record in run.validations] == [3, 6]
    assert run.summary()["architecture"] == "modern" and run.summary()["files"][0].endswith(
        "zh.txt"
    )
    assert run.bits_per_byte == pytest.approx(run.result.validation.bits_per_byte, abs=1e-5)
    assert 0 < run.tokens <= 6 * 4 * 32 and run.started.tzinfo is not None


def test_a_run_that_a_kill_ended(make_run):
    run = make_run(finished=False)
    metrics(run, {"step": 1}, {"step": 2}, '{"kind": "step", "st')
    assert (read_run(run).state, read_run(run).done) == ("interrupted", 2)


def test_a_step_taken_again_replaces_the_first_and_all_behind_it(make_run):
    run = make_run()
    judged = {"kind": "validation", "bits_per_byte": 1.0, "sample": ""}
    metrics(
        run, *({"step": step} for step in (1, 2, 3)), {"step": 3, **judged}, {"step": 4}, {"step": 2, "loss": 3.0},
        {"step": 3, "loss": 2.0},
    )  # fmt: skip
    assert [(record["step"], record["loss"]) for record in read_run(run).steps] == [
        (1, 5.0),
        (2, 3.0),
        (3, 2.0),
    ]
    assert read_run(run).validations == []


@pytest.mark.parametrize("name", ["settings.json", "plan.json", "result.json", "metrics.jsonl"])
@pytest.mark.parametrize(
    "content", ["", "{", "[1]", '{"settings": 5, "values": [], "kind": "step", "step": "x"}']
)
def test_damaged_files_are_as_good_as_missing(make_run, name, content):
    run = make_run(losses=[5.0, 4.0])
    (run / "training" / name).write_text(content, "utf-8")
    assert read_run(run).summary()["run"] == str(run)


def test_what_is_no_run(tmp_path):
    with pytest.raises(XinyeError, match="is not a run"):
        read_run(tmp_path)
    with pytest.raises(XinyeError, match="no such folder"):
        read_run(tmp_path / "missing")


def test_a_run_is_running_while_its_process_is(make_run):
    run = make_run(losses=[5.0], finished=False)
    with RunFolder(run).in_use():
        assert RunFolder(run).is_running() and read_run(run).state == "running"
    assert not RunFolder(run).is_running() and read_run(run).state == "interrupted"
    assert not (run / "training" / "process.json").exists()


def test_a_killed_process_is_not_running(make_run):
    run = make_run(losses=[5.0], finished=False)
    code = (
        "import os, pathlib, xinye.runs.folder as r\nwith "
        f"r.RunFolder(pathlib.Path({str(run)!r})).in_use():\n"
    )
    subprocess.run(
        [sys.executable, "-c", f"{code}    os.kill(os.getpid(), 9)"], env=os.environ, check=False
    )
    assert (run / "training" / "process.json").exists()
    assert not RunFolder(run).is_running() and read_run(run).state == "interrupted"


def test_a_run_that_failed_tells_why(make_run):
    run = make_run(losses=[5.0], finished=False)
    with pytest.raises(XinyeError), RunFolder(run).in_use():
        raise XinyeError("损失发散")
    assert (read_run(run).state, read_run(run).error) == ("failed", "损失发散")


def test_runs_are_found_two_folders_deep(tmp_path, make_run):
    for name in ("one", "group/two", "group/more/three", ".hidden"):
        make_run(name)
    (tmp_path / "letters").mkdir()
    assert [run.name for run in find_runs(tmp_path)] == ["two", "one"]
    assert find_runs(tmp_path / "one") == [tmp_path / "one"]


def test_the_command_gives_the_run_again(workplace, trained):
    command = read_run(trained).command("again").split()
    assert command[:2] == ["xinye", "pretrain"] and main(command[1:]) == 0
    assert (workplace / "again" / "model.safetensors").read_bytes() == (
        trained / "model.safetensors"
    ).read_bytes()


def test_the_command_spells_out_what_the_machine_decided(make_run):
    settings = {
        "time": "1min",
        "prompt": "-- 新叶 a",
        "cleaning": {"duplicates": False, "unicode": "NFC"},
    }
    run = make_run(
        losses=[1.0, 1.0],
        settings=settings,
        plan={"dtype": "bfloat16", "compile": True, "dropout": 0.1},
    )
    command = read_run(run).command()
    assert command.startswith("xinye pretrain '书/novel.txt' -o runs/again '--prompt=-- 新叶 a'")
    assert command.endswith(
        "--steps 2 --dropout 0.1 --dtype bfloat16 --compile yes --no-drop-duplicates --unicode NFC"
    )


def test_tokens_of_a_run_that_keeps_no_words_of_its_task(make_run):
    """As version 0.1 left them: what writes counts tokens in its steps, what judges labels."""
    about = {"recipe": "finetune"}
    chat = make_run("chat", [5.0, 4.0], plan={"answer_tokens": 9}, about=about, finished=False)
    labels = make_run("labels", [5.0, 4.0], about=about, finished=False)
    assert (read_run(chat).tokens, read_run(labels).tokens) == (128, 0)


def test_what_went_on_with_more_texts_was_not_taught_to_answer(make_run):
    base = make_run("base")
    more = make_run("more", settings={"from": str(base)})
    texts = {"recipe": "finetune", "settings": {"task": "text", "model": str(more)}}
    chat = {"recipe": "finetune", "settings": {"task": "chat", "model": str(base)}}
    runs = {
        base: True,
        more: True,
        make_run("texts", about=texts): True,
        make_run("chat", about=chat): False,
        make_run("after", settings={"from": str(base.parent / "chat")}): False,
        make_run("other", settings={"from": "Qwen/Qwen3-0.6B"}): False,
    }
    assert {run: never_taught_to_answer(run) for run in runs} == runs


def test_a_setting_that_was_left_alone_is_compared_by_its_usual_value(make_run, xinye):
    runs = [
        make_run(name, about={"recipe": "finetune"}, settings=asked)
        for name, asked in (("labels", {}), ("chats", {"task": "chat"}))
    ]
    outcome = xinye("runs", "compare", *runs, "--json")
    assert json.loads(outcome.out)["differences"]["task"] == ["classify", "chat"]
