"""Runs that begin with a model: one that is gone on with, and one that is learned from."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from conftest import contents
from xinye.checkpoints.folders import checkpoints
from xinye.checkpoints.huggingface import load_model, save_model
from xinye.errors import XinyeError
from xinye.model.build import build
from xinye.observer import Observer
from xinye.planning.settings import PretrainSettings
from xinye.training.job import Run
from xinye.training.loop import Step
from xinye.training.train import pretrain

FAST = {"steps": 6, "evaluations": 2, "batch_size": 4, "dtype": "float32", "compile": "no"}


@pytest.fixture
def base(trained: Path, workplace: Path) -> Path:
    """A model to begin with, in the workplace, where it may be removed."""
    return Path(shutil.copytree(trained, workplace / "base"))


def run_of(name: str, observer: Observer | None = None, **changes: Any) -> Run:
    settings = PretrainSettings(**{"files": ("zh.txt",), "output": Path(name), **FAST, **changes})
    run = pretrain(settings, observer)
    assert run is not None
    return run


def weights(run: str) -> bytes:
    return (Path(run) / "model.safetensors").read_bytes()


def lines(run: str) -> list[dict[str, Any]]:
    return [
        json.loads(line)
        for line in (Path(run) / "training/metrics.jsonl").read_text("utf-8").splitlines()
    ]


class Interrupting(Observer):
    def step(self, step: Step, steps: int) -> None:
        if step.step == 4:
            signal.raise_signal(signal.SIGINT)


def test_going_on_begins_where_the_model_is(base, trained):
    run = run_of("more", from_=str(base))
    result = json.loads((trained / "training/result.json").read_text("utf-8"))
    before = lines("more")[0]
    assert (before["kind"], before["step"]) == ("before", 0) and before["sample"]
    assert before["bits_per_byte"] == pytest.approx(result["validation"]["bits_per_byte"], rel=1e-4)
    assert run.before == {name: round(before[name], 5) for name in ("loss", "bits_per_byte")}
    assert run.validation["bits_per_byte"] < run.before["bits_per_byte"]
    assert lines("more")[1]["loss"] < result["validation"]["loss"] + 0.3
    assert contents(base) == contents(trained)
    about = json.loads(Path("more/training/settings.json").read_text("utf-8"))
    assert about["settings"]["from"] == about["models"]["from"]["model"] == str(base)
    assert len(about["models"]["from"]["fingerprint"]) == 32


@pytest.mark.parametrize("role", ["from_", "teacher"])
def test_resumed_bitwise(base, role):
    begin = {role: str(base)} | (
        {"width": 32, "layers": 1, "context": 32} if role == "teacher" else {}
    )
    whole = run_of("whole", dropout=0.1, **begin)
    part = run_of("part", Interrupting(), dropout=0.1, **begin)
    assert part.interrupted and part.steps == 4 and weights("part") != weights("whole")
    if role == "from_":
        shutil.rmtree(base)  # it is not read again
    end = pretrain(PretrainSettings(output=Path("part")), resume=True)
    assert end is not None and (end.validation, end.before) == (whole.validation, whole.before)
    assert weights("part") == weights("whole")
    optimizers = [
        (checkpoints(Path(run))[-1] / "optimizer.safetensors").read_bytes()
        for run in ("part", "whole")
    ]
    assert optimizers[0] == optimizers[1]


def test_a_teacher_that_changed_is_not_resumed_with(base):
    run_of("student", Interrupting(), teacher=str(base), width=32, layers=1)
    model, tokenizer = load_model(base)
    model.initialize(1)
    save_model(base, model, tokenizer)
    (base / "training" / "manifest.json").unlink()  # changed on purpose
    with pytest.raises(XinyeError, match="student: the teacher has changed"):
        pretrain(PretrainSettings(output=Path("student")), resume=True)


def test_the_teacher_changes_what_is_learned_and_not_itself(base, trained):
    student = {"width": 32, "layers": 1, "context": 32}
    runs = [run_of(f"a{alpha}", teacher=str(base), alpha=alpha, **student) for alpha in (0.0, 0.9)]
    plain = run_of("plain", tokenizer=str(base), **student)
    assert runs[0].validation["loss"] == pytest.approx(plain.validation["loss"], rel=1e-5)
    assert runs[1].validation["loss"] != pytest.approx(plain.validation["loss"], rel=1e-3)
    assert contents(base) == contents(trained)
    assert (Path("a0.9") / "tokenizer.json").read_bytes() == (base / "tokenizer.json").read_bytes()


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "lstm"])
def test_the_shape_stays_the_models(workplace, architecture):
    first = run_of(
        "first",
        architecture=architecture,
        width=32,
        layers=1,
        context=32,
        tokenizer="char",
        steps=1,
    )
    run = run_of("more", from_=first.run, context=16, steps=1)
    one, other = (
        json.loads((Path(name) / "config.json").read_text("utf-8")) for name in ("first", "more")
    )
    assert one == other and run.parameters == first.parameters
    assert (
        json.loads(Path("more/training/plan.json").read_text("utf-8"))["values"]["architecture"]
        == architecture
    )


def test_a_head_of_its_own_stays_so(base):
    model, tokenizer = load_model(base)
    model.config = replace(model.config, tie_word_embeddings=False, max_position_embeddings=64)
    untied = build(model.config)
    untied.load_state_dict(model.state_dict())
    save_model(base, untied, tokenizer)
    (base / "training" / "manifest.json").unlink()  # changed on purpose
    run_of("more", from_=str(base), context=32)
    gone_on, _ = load_model("more")
    assert gone_on.config == untied.config
    assert not torch.equal(gone_on.lm_head.weight, gone_on.model.embed_tokens.weight)


@pytest.mark.parametrize(
    "flags, says",
    [
        (["--from", "base", "--size", "5M"], "size is taken from base, the model to continue"),
        (["--from", "base", "--heads", "2"], "heads is taken from base"),
        (["--from", "base", "--tokenizer", "char"], "tokenizer is taken from base"),
        (["--from", "base", "--architecture", "modern"], "architecture is taken from base"),
        (["--from", "base", "--vocab-size", "300"], "vocab_size is taken from base"),
        (
            ["--from", "base", "--context", "64"],
            "context 64 is longer than the 32 tokens that base can see",
        ),
        (["--from", "nowhere"], "nowhere: there is no such folder"),
        (["--from", "zh.txt"], "zh.txt"),
        (
            ["--teacher", "base", "--tokenizer", "bytes"],
            "tokenizer is taken from the teacher base, whose tokens the student predicts",
        ),
        (
            ["--teacher", "base", "--context", "64"],
            "context 64 is longer than the 32 tokens that base can see",
        ),
        (
            ["--teacher", "base", "--from", "other"],
            "its tokenizer differs from that of its teacher, base",
        ),
        (["--teacher", "base", "--alpha", "2"], "alpha"),
        (["--temperature", "2"], "temperature has no effect without a teacher"),
    ],
)
def test_wrong_use_is_one_line(xinye, base, flags, says):
    if "other" in flags:
        run_of("other", width=32, layers=1, context=32, tokenizer="bytes", steps=1)
    before = contents(Path())
    outcome = xinye("pretrain", "zh.txt", *flags, "--steps", "2", "-o", "run")
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(Path()) == before


def test_the_command_tells_before_and_after(xinye, base):
    outcome = xinye(
        "pretrain",
        "en.txt",
        "--from",
        "base",
        "-o",
        "more",
        "--steps",
        "4",
        "--batch-size",
        "4",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    before, after = result["before"]["bits_per_byte"], result["validation"]["bits_per_byte"]
    assert f"{after:.3f} bits per byte (gzip " in outcome.err
    assert f"); before training: {before:.3f}\n" in outcome.err
    reasons = json.loads(Path("more/training/plan.json").read_text("utf-8"))["reasons"]
    assert reasons["width"] == "as in base" and "the optimizers start fresh" in reasons["warmup"]
    assert "gone on with from base" in Path("more/report.html").read_text("utf-8")
    again = xinye("runs", "show", "more").out
    assert "--from base" in again


def test_a_dry_run_shows_the_plan_of_going_on(xinye, base):
    before = contents(Path())
    outcome = xinye("pretrain", "zh.txt", "--from", "base", "--steps", "2", "--dry-run", "--json")
    assert outcome.code == 0 and contents(Path()) == before
    assert json.loads(outcome.out)["plan"]["width"] == 64


def test_folds_go_on_with_a_model(xinye, base):
    outcome = xinye(
        "pretrain",
        "zh.txt",
        "--from",
        "base",
        "--steps",
        "2",
        "--folds",
        "2",
        "-o",
        "folds",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert len(result["folds"]) == 2
    assert weights("folds/fold-1") != weights("folds/fold-2")
