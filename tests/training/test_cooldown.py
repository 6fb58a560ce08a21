"""A fine-tuning whose validation loss rises returns to its best model, decays the learning rate and
keeps the best; told how long to train, it does that."""

import json
import os
import signal
from contextlib import nullcontext
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import pytest

import xinye as package
from training.test_finetune import Stop
from training.test_longer import Listening, plan_of
from two import two
from xinye.model.gpt import GPT
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.saved import read_run
from xinye.training.job import Run
from xinye.training.record_job import RecordJob
from xinye.training.train import finetune

pytestmark = pytest.mark.usefixtures("no_measuring")
# What is asked says nothing of the answer, so that training can only memorize.
ANSWERS = [
    "红红红蓝",
    "蓝黄红红",
    "黄黄蓝红",
    "红蓝蓝黄",
    "蓝红黄黄",
    "黄蓝红蓝",
    "红黄黄红",
    "蓝蓝黄蓝",
]
FAST: dict[str, Any] = {
    **{"task": "chat", "dtype": "float32", "dropout": 0.0, "batch_size": 2},
    **{"learning_rate": 0.03, "matrix_learning_rate": 0.05},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base that has read such answers, beside `chats.jsonl` and `others.jsonl`."""
    folder = tmp_path_factory.mktemp("cooldown")
    rows = [
        json.dumps({"prompt": f"{number}", "answer": answer}, ensure_ascii=False)
        for number, answer in enumerate(ANSWERS)
    ]
    (folder / "chats.jsonl").write_text("\n".join(rows[:4]), "utf-8")
    (folder / "others.jsonl").write_text("\n".join(rows[4:]), "utf-8")
    (folder / "text.txt").write_text("\n\n".join(rows * 4), "utf-8")
    shape = {"layers": 1, "width": 32, "context": 64, "batch_size": 4, "tokenizer": "char"}
    package.pretrain(
        folder / "text.txt", folder / "base", steps=4, evaluations=1, compile="no", **shape
    )
    return folder / "base"


def settings(base: Path, output: str, **changes: Any) -> FinetuneSettings:
    data = {"data": (f"{base.parent}/chats.jsonl",)}
    validation = {"validation": (f"{base.parent}/others.jsonl",), "output": base.parent / output}
    return FinetuneSettings(**{"model": str(base), **data, **validation, **FAST, **changes})


def scores(monkeypatch: pytest.MonkeyPatch, *losses: float) -> None:
    """Evaluations give these losses, one after the other: first that of the base."""
    following = iter(losses)

    def validate(self: RecordJob, model: GPT, last: bool) -> dict[str, float]:
        loss = next(following)
        self.measured = {"loss": loss, "bits_per_byte": loss}
        return dict(self.measured)

    monkeypatch.setattr(RecordJob, "validate", validate)


@pytest.fixture(scope="module")
def cooled(base: Path, no_measuring: None) -> tuple[Run, list[str]]:
    """The run `run`, as the plan has it, and what it told."""
    told = Listening()
    return finetune(settings(base, "run"), told), told.told


def test_what_is_only_memorized_ends_soon_and_the_best_is_kept(
    base: Path, cooled: tuple[Run, list[str]]
) -> None:
    run, told = cooled
    plan = json.loads((base.parent / "run/training/plan.json").read_text("utf-8"))["values"]
    first, planned = plan["total_steps"][0]
    assert first == 0 and run.stopped_early and run.steps < planned
    found = read_run(base.parent / "run").validations
    assert run.validation["loss"] == pytest.approx(min(each["loss"] for each in found), abs=1e-4)
    assert f"training continues from the model of step {run.cooled_from}" in told[-1]


@pytest.mark.parametrize(
    ("losses", "ends"),  # the base, the evaluations, the end: steps, from which model, which kept
    [
        ((9, 5, 4, 6, 3, 3), (4, 2, 4)),  # the fourth step, after the best of two, is better still
        ((9, 5, 4, 6, 7, 4), (4, 2, 2)),  # it is not
        ((2, 5, 7, 2), (2, 0, 0)),  # training only harms
        ((9, 8, 7, 6, 5, 5), (4, None, 4)),  # never worse: the whole plan
        ((9, 8, 7, 6, 7, 5, 5), (5, 3, 5)),  # the end is worse; what decays from the third is best
        ((9, 8, 7, 6, 7, 7, 6), (5, 3, 3)),  # it is not
    ],
)
def test_a_worse_evaluation_leads_back_to_the_best(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    losses: tuple[float, ...],
    ends: tuple[int, int | None, int],
) -> None:
    scores(monkeypatch, *losses)
    asked = {"steps": 4, "batch_size": 4, "cooldown": 1, "evaluations": 4}
    run = finetune(settings(base, "rule", **asked, seed=len(losses)), overwrite=True)
    assert (run.steps, run.cooled_from, run.model_step) == ends
    assert run.stopped_early == (ends[1] is not None)
    found = read_run(base.parent / "rule")
    assert found.model_step == ends[2]
    assert [each["loss"] for each in found.curve] == [*losses[:-1]]  # each model once
    assert [each["step"] for each in found.curve] == [*range(len(losses) - 1)]
    kept = base.parent / f"rule/training/checkpoints/step-{ends[2]:08d}/model.safetensors"
    assert kept.read_bytes() == (base.parent / "rule/model.safetensors").read_bytes()


def test_the_decay_begins_with_the_best_model(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores(monkeypatch, 9, 5, 4, 6, 7, 4)
    asked = {"steps": 4, "batch_size": 4, "cooldown": 1, "evaluations": 4, "keep_checkpoints": 4}
    finetune(settings(base, "begins", **asked), overwrite=True)
    saved = base.parent / "begins/training/checkpoints"
    for name in ("model.safetensors", "optimizer.safetensors"):
        best, begun, decayed = (
            (saved / f"step-{step:08d}" / name).read_bytes() for step in (2, 3, 4)
        )
        assert best == begun != decayed


@pytest.mark.parametrize(
    ("losses", "best", "end"),
    [((9, 8, 7, 6, 7, 7, 6, 7, 6), 3, 5), ((9, 8, 7, 6, 5, 5, 5, 5), 4, 4)],
)
@pytest.mark.parametrize("killed", [True, False])
def test_a_signal_after_the_last_step(
    base: Path,
    monkeypatch: pytest.MonkeyPatch,
    killed: bool,
    losses: tuple[float, ...],
    best: int,
    end: int,
) -> None:
    """What ends while it learns what belongs beside the network resumes to the same end; a first
    Ctrl-C there changes nothing."""
    scores(monkeypatch, *losses)
    asked = {"steps": 4, "batch_size": 4, "cooldown": 1, "evaluations": 4}
    output = f"signal-{killed}-{end}"

    def stopped(self: RecordJob, model: GPT) -> dict[str, float]:
        if killed:
            raise KeyboardInterrupt
        os.kill(os.getpid(), signal.SIGINT)
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(RecordJob, "complete", stopped)
        with pytest.raises(KeyboardInterrupt) if killed else nullcontext():
            finetune(settings(base, output, **asked))
    if killed:
        finetune(FinetuneSettings(output=base.parent / output), resume=True)
    found = read_run(base.parent / output)
    assert (found.state, found.model_step, found.done) == ("finished", best, end)
    kept = found.folder / f"training/checkpoints/step-{best:08d}/model.safetensors"
    assert kept.read_bytes() == (found.folder / "model.safetensors").read_bytes()


def test_the_command_that_makes_it_again_makes_the_same(
    base: Path, cooled: tuple[Run, list[str]]
) -> None:
    saved = read_run(base.parent / "run")
    steps, cooldown = saved.plan.total_steps[0][1], saved.plan.cooldown
    assert f"--steps {steps} --cooldown {cooldown}" in saved.command()
    assert "--total-steps" not in saved.command()
    finetune(settings(base, "again", steps=steps, cooldown=cooldown))
    one, other = (base.parent / name / "model.safetensors" for name in ("run", "again"))
    assert one.read_bytes() == other.read_bytes()


def test_the_rate_falls_from_where_it_was_at_the_best_down_to_nothing(
    base: Path, cooled: tuple[Run, list[str]]
) -> None:
    best = cooled[0].cooled_from
    saved = read_run(base.parent / "run")
    rates, begin = [step["rate_factor"] for step in saved.steps], saved.plan.total_steps[-1][0]
    assert best is not None and rates[begin] == rates[best] > rates[begin - 1]
    falling = rates[begin:]
    assert falling == sorted(set(falling), reverse=True) and falling[-1] <= rates[best] / 2


@pytest.mark.parametrize("after", ["cooling", "before"])
def test_it_resumes_to_the_bit(base: Path, cooled: tuple[Run, list[str]], after: str) -> None:
    """Killed before the learning rate decays, and while it does."""
    whole = cooled[0]
    killed = whole.steps - 1 if after == "cooling" else 1
    with pytest.raises(KeyboardInterrupt):
        finetune(settings(base, after), Stop(after=killed))
    part = finetune(FinetuneSettings(output=base.parent / after), resume=True)
    assert (part.steps, part.validation) == (whole.steps, whole.validation)
    one, other = (base.parent / name / "model.safetensors" for name in ("run", after))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("asked", [{"epochs": 9}, {"steps": 9}, {"cooldown": 0}])
def test_who_says_how_long_trains_so_long(base: Path, asked: dict[str, Any]) -> None:
    run = finetune(settings(base, "told", batch_size=4, **asked), overwrite=True)
    assert run.steps == run.model_step == asked.get("steps", asked.get("epochs", 20))
    assert not run.stopped_early and run.cooled_from is None


def test_patience_stops_without_returning(base: Path) -> None:
    run = finetune(settings(base, "patient", batch_size=4, patience=1), overwrite=True)
    assert run.stopped_early and run.cooled_from is None and run.model_step < run.steps


def test_a_classifier_follows_its_loss(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More and more records are right, but the loss of the others rises. A new head may be worse
    once; after two such evaluations the run returns."""
    rows = [f'{{"text": "{answer}", "label": "{answer[0]}"}}' for answer in ANSWERS]
    (base.parent / "labels.jsonl").write_text("\n".join(rows), "utf-8")
    seen = [(0.5, 0.9), (0.6, 0.4), (0.7, 0.8), (0.8, 0.7), (0.8, 0.5), (0.6, 0.4)]
    following = chain(seen, repeat((0.9, 0.9)))

    def validate(self: RecordJob, model: GPT, last: bool) -> dict[str, float]:
        accuracy, loss = next(following)
        self.measured = {"loss": loss, "accuracy": accuracy, "macro_f1": accuracy}
        return dict(self.measured)

    monkeypatch.setattr(RecordJob, "validate", validate)
    file = (f"{base.parent}/labels.jsonl",)
    labels = {"data": file, "validation": file, "task": "classify"}
    run = finetune(settings(base, "labels", evaluations=5, **labels), overwrite=True)
    assert (run.cooled_from, run.model_step) == (32, 32) and run.stopped_early
    assert (
        json.loads((base.parent / "labels/training/plan.json").read_text("utf-8"))["values"][
            "total_steps"
        ][1][0]
        == 64
    )
    longer = FinetuneSettings(output=base.parent / "labels", steps=run.steps + 5)
    assert finetune(longer, resume=True).model_step == run.steps + 5


def test_two_processes_return_together(base: Path, cooled: tuple[Run, list[str]]) -> None:
    data = f"--data {base.parent}/chats.jsonl --validation {base.parent}/others.jsonl"
    numbers = "--dropout 0 --dtype float32 --batch-size 2"
    rates = "--learning-rate 0.03 --matrix-learning-rate 0.05"
    where = f"{base} --task chat -o {base.parent}/two"
    ran = two("finetune", *f"{where} {data} {numbers} {rates}".split())
    assert ran.code == 0, ran.err
    found = json.loads((base.parent / "two/training/result.json").read_text("utf-8"))
    run = cooled[0]
    ends = (found["steps"], found["cooled_from"], found["model_step"])
    assert ends == (run.steps, run.cooled_from, run.model_step)
    assert f"no longer improved after step {run.cooled_from}," in ran.err
    assert found["validation"]["loss"] == pytest.approx(run.validation["loss"], abs=1e-3)


def test_an_extension_takes_the_steps_that_it_is_told(base: Path, monkeypatch: Any) -> None:
    asked = {"batch_size": 2, "learning_rate": 0.03}
    scores(monkeypatch, 9, 5, 6, 4, 4, *range(5, 30))
    first = finetune(settings(base, "longer", **asked))
    assert (first.cooled_from, first.steps) == (2, 6)
    run = finetune(FinetuneSettings(output=base.parent / "longer", steps=12), resume=True)
    assert (run.steps, run.model_step, run.stopped_early) == (12, 12, False)
    assert "cooldown" not in plan_of(base.parent / "longer")["values"]
