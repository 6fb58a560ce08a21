"""Trains the classifiers of applications with the existing recipes, within a time: a small GPT on
their texts, then classifiers that begin from it."""

import re
import shutil
import statistics
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye import api
from xinye.data.files import write_json_lines
from xinye.observer import Evaluated, Observer
from xinye.runs.folder import RunFolder
from xinye.runs.saved import read_metrics

if TYPE_CHECKING:
    from xinye.planning.plan import Plan
    from xinye.training.loop import Step

PRETRAINING = 0.4  # share of the time
EPOCHS = 40  # of a classifier, at most
TRIAL = 5  # steps that are timed first, to know how many fit into the time
FEWEST_STEPS = 200  # of a classifier, if so many epochs have them; after fewer it says nothing
SPARE = 0.8  # share of the time that is planned for steps; evaluations take the rest
CONTEXT = 128
FALLING = 0.98  # of the loss before: a loss that is less is still falling


@dataclass(frozen=True)
class Budget:
    """The time to train, in seconds, and the model to begin with; "" to train one from scratch."""

    seconds: float
    base: str = ""


class Passing(Observer):
    """Passes on what it hears."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer

    def stage(self, text: str) -> None:
        self._observer.stage(text)

    def warn(self, text: str) -> None:
        self._observer.warn(text)

    def progress(self, text: str) -> None:
        self._observer.progress(text)

    def plan(self, plan: "Plan", trainable: Any = ()) -> None:
        self._observer.plan(plan, trainable)

    def step(self, step: "Step", steps: int) -> None:
        self._observer.step(step, steps)

    def evaluated(self, evaluated: Evaluated) -> None:
        self._observer.evaluated(evaluated)

    def refused(self, step: int, texts: Sequence[str]) -> None:
        self._observer.refused(step, texts)

    def ended(self, outcome: Any) -> None:
        self._observer.ended(outcome)


class WithoutFiles(Passing):
    """Leaves out the notes that name files in a folder: nobody could look there later. Who uses it
    says himself, of the files that a person gave, what is odd in them."""

    def __init__(self, observer: Observer, folder: Path) -> None:
        super().__init__(observer)
        self._folder = str(folder)
        self._warned = set[str]()  # several classifiers learn from one base, and say the same of it

    def warn(self, text: str) -> None:
        if self._folder not in text and text not in self._warned:
            self._warned.add(text)
            super().warn(text)


class _Within(Passing):
    """Leaves out advice about flags of a recipe, which an application does not have."""

    def warn(self, text: str) -> None:
        if not re.search(r"--[a-z]", text):
            super().warn(text)


class _OfBase(_Within):
    """Leaves out what a base model writes, too: no application uses that."""

    def evaluated(self, evaluated: Evaluated) -> None:
        super().evaluated(replace(evaluated, sample=""))


@contextmanager
def base_of(
    texts: Sequence[str], folder: Path, budget: Budget, observer: Observer
) -> Iterator[str]:
    """The model to begin with: that of the budget, or a small GPT that learns from the texts. It is
    made in `folder`, and deleted at the end of the block."""
    if budget.base:
        yield budget.base
        return
    rows = ({"text": text} for text in texts)
    try:
        with as_file(folder.with_name(f"{folder.name}.jsonl"), rows) as corpus:
            observer.stage("training a small GPT on the texts")
            run = api.pretrain(
                corpus,
                folder,
                size="1M",
                time=f"{max(1, round(budget.seconds * PRETRAINING))}s",
                context=CONTEXT,
                evaluations=2,
                compile="no",
                observer=_OfBase(observer),
            )
        _check_finished(run.interrupted)
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def as_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> Iterator[Path]:
    """Rows in a file, as JSON Lines, which is deleted at the end of the block."""
    try:
        write_json_lines(path, rows)
        yield path
    finally:
        path.unlink(missing_ok=True)


def train_classifier(
    base: str, records: Path, count: int, folder: Path, seconds: float, observer: Observer
) -> api.Model:
    """Train a classifier in `folder` on a file of so many records, for about so many seconds. The
    steps that fit are found in a short trial; it trains 200 even if they take longer."""
    trial = folder.with_name(f"{folder.name}-trial")
    began = time.monotonic()
    try:
        _finetune(base, trial, records, TRIAL, Observer(), mix_baseline=False)
        left = seconds - (time.monotonic() - began)
        return _finetune(base, folder, records, _steps(trial, count, left), _Within(observer))
    finally:
        shutil.rmtree(trial, ignore_errors=True)


def more_time_helps(folder: Path, count: int) -> bool:
    """Whether the time was too short for a classifier of so many records: it has seen them less
    often than it may, and its loss was still falling."""
    run = RunFolder(folder)
    _, validations = read_metrics(run.metrics_file, [])
    losses = [each["loss"] for each in validations if each["kind"] == "validation"]
    falling = len(losses) < 2 or losses[-1] < FALLING * losses[-2]
    return falling and run.plan()["steps"] < _most(run, count)


def _most(run: RunFolder, count: int) -> int:
    """The most steps of a classifier of so many records."""
    return max(TRIAL, round(EPOCHS * count / run.plan()["batch_size"]))


def _finetune(
    model: str, folder: Path, records: Path, steps: int, observer: Observer, **others: Any
) -> api.Model:
    trained = api.finetune(
        model, folder, data=records, task="classify", steps=steps, evaluations=2,
        observer=observer, **others,
    )  # fmt: skip
    _check_finished(RunFolder(folder).result()["interrupted"])
    return trained


def _check_finished(signal: int) -> None:
    """Stop if a person stopped the training: half an application is none."""
    if signal:
        raise KeyboardInterrupt


def _steps(trial: Path, records: int, seconds: float) -> int:
    """The number of steps that fit into the time, as those of a trial took it. The first steps of a
    trial are slow, so the median counts."""
    taken, _ = read_metrics(RunFolder(trial).metrics_file, [])
    of_step = max(statistics.median(each["seconds"] for each in taken), 1e-3)
    return min(_most(RunFolder(trial), records), max(FEWEST_STEPS, int(SPARE * seconds / of_step)))
