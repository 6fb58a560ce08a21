"""Processes that keep a part of the model each: what they learn is what one process learns, and any
number of processes goes on from their checkpoints."""

import json
import shutil
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from cli.test_processes import EXACT, assert_same, losses
from conftest import TINY, contents
from training.test_finetune import records, settings  # noqa: F401
from two import together, two
from xinye.checkpoints.folders import checkpoints
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.tasks.exercises import notes, reviews
from xinye.training.train import finetune, pretrain

# Seven windows, one at a time: three processes do not have the same number of micro-batches.
UNEVEN = (*TINY, "--layers", "2", "--batch-size", "7", "--micro-batch-size", "1", "--dropout", "0")
SHARDED = ("--parallel", "fsdp")


def test_three_learn_what_one_learns_and_two_go_on_where_they_were_stopped(xinye, workplace):
    arguments = ("zh.txt", "--steps", "12", "--evaluations", "3", *UNEVEN)
    assert xinye("pretrain", *arguments, "-o", "one").code == 0
    three = together(3, "pretrain", *arguments, "-o", "three", *SHARDED)
    until = time.monotonic() + 120
    while not checkpoints(workplace / "three"):
        assert three[0].poll() is None and time.monotonic() < until, three[0].communicate()
        time.sleep(0.01)
    for process in three:
        process.send_signal(signal.SIGTERM)
    said = [process.communicate()[1] for process in three]
    assert "stopped after step" in said[0] and said[1:] == ["", ""], said
    assert [process.returncode for process in three] == [143] * 3
    done = two("pretrain", "-o", "three", "--resume")
    assert done.code == 0, done.err
    assert json.loads((workplace / "three/training/plan.json").read_text("utf-8"))["values"][
        "parallel"
    ] == "fsdp"  # fmt: skip
    assert_same(workplace / "one", workplace / "three")


def test_the_same_number_gives_the_same_bits(workplace):
    for run in ("one", "other"):
        again = (*SHARDED, "--activation-checkpointing", "--dropout", "0.1")
        done = two("pretrain", "zh.txt", "-o", run, "--steps", "4", *EXACT, *again)
        assert done.code == 0, done.err
    assert losses(workplace / "one") == losses(workplace / "other")
    weights = [(workplace / run / "model.safetensors").read_bytes() for run in ("one", "other")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    "task, file, method",
    [
        ("tag", "spans.jsonl", "full"),
        ("classify", "labels.jsonl", "head"),
        ("chat", "chat.jsonl", "lora"),
    ],
)
def test_a_task_is_learned_in_parts(xinye, trained, workplace, task, file, method):
    rows = notes(30, "zh") if task == "tag" else reviews(30, "zh")
    if task == "chat":
        rows = [{"prompt": row["text"], "response": row["label"]} for row in rows]
        trained = in_bfloat16(trained, workplace / "base")
    (workplace / file).write_text("\n".join(map(json.dumps, rows)), "utf-8")
    how = ("--steps", "4", "--evaluations", "2", "--dropout", "0", "--dtype", "float32")
    arguments = (str(trained), "--task", task, "--data", file, "--method", method, *how)
    assert xinye("finetune", *arguments, "-o", "one").code == 0
    done = two("finetune", *arguments, "-o", "two", *SHARDED)
    assert done.code == 0, done.err
    assert losses(workplace / "one") == pytest.approx(losses(workplace / "two"), abs=1e-5)
    results = [RunFolder(workplace / run).result() for run in ("one", "two")]
    assert results[0]["measured"]["loss"] == pytest.approx(results[1]["measured"]["loss"], abs=1e-5)
    assert contents(workplace / "one").keys() == contents(workplace / "two").keys()


def in_bfloat16(folder: Path, copy: Path) -> Path:
    """A copy of a model's folder, with weights as most models are stored."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("training"))
    weights = load_file(copy / "model.safetensors")
    save_file({name: each.bfloat16() for name, each in weights.items()}, copy / "model.safetensors")
    return copy


@pytest.mark.parametrize("method", ["adalora", "prefix"])
def test_an_adapter_that_cannot_be_split_is_refused(trained, records, method):  # noqa: F811
    with pytest.raises(XinyeError, match=f"--parallel fsdp: {method} computes with whole matrices"):
        finetune(settings(trained, "run", parallel="fsdp", method=method))


def test_an_lstm_cannot_be_split(workplace):
    asked = PretrainSettings(
        files=(str(workplace / "zh.txt"),), architecture="lstm", parallel="fsdp"
    )
    with pytest.raises(XinyeError, match="--parallel fsdp: an lstm cannot be split; choose ddp"):
        pretrain(asked)
