"""A budget in time: what it comes to is noted, can be repeated without a clock, and is gone on
with."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from training.test_pretrain import Interrupting, settings
from xinye import machine
from xinye.checkpoints.folders import checkpoints
from xinye.errors import XinyeError
from xinye.observer import Evaluated, Observer
from xinye.planning.settings import PretrainSettings
from xinye.runs.saved import read_run
from xinye.tasks.text import LONGER
from xinye.training import clock, train
from xinye.training import text_job as recipe
from xinye.training.clock import Clock, Costs
from xinye.training.loop import Step
from xinye.training.train import pretrain


@pytest.fixture
def slowing_clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock by which each thing that is timed takes longer than the one before."""
    calls = [0]

    def now() -> float:
        calls[0] += 1
        return 1000 + 0.02 * calls[0] ** 1.2

    monkeypatch.setattr(clock, "now", now)
    return calls


def plan_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "training" / "plan.json").read_text("utf-8"))[
        "values"
    ]
    return found


@pytest.mark.parametrize("schedule", ["wsd", "cosine"])
def test_the_list_of_plans_makes_the_run_again_without_a_clock(
    workplace: Path, slowing_clock: list[int], monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    monkeypatch.setattr(
        recipe, "measure_speed", lambda *arguments: recipe.Speed(0.005, 0.001, 0.001)
    )
    timed = pretrain(settings(workplace, "timed", steps=None, time="4s", schedule=schedule))
    plan = plan_of(workplace / "timed")
    assert (
        timed is not None
        and len(plan["total_steps"]) > 2
        and plan["total_steps"][-1][1] == timed.steps
    )
    assert plan["steps"] == timed.steps
    monkeypatch.setattr(clock, "now", lambda: 0.0)  # and now it stands still
    pairs = ",".join(f"{step}:{total}" for step, total in plan["total_steps"])
    again = pretrain(settings(workplace, "again", steps=None, total_steps=pairs, schedule=schedule))
    assert again is not None and again.steps == timed.steps
    assert plan_of(workplace / "again")["total_steps"] == plan["total_steps"]
    weights = [(workplace / name / "model.safetensors").read_bytes() for name in ("timed", "again")]
    assert weights[0] == weights[1]


def test_a_resumed_run_has_what_is_left_of_its_time(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(settings(workplace, steps=None, time="1h"), Interrupting(after=3))
    trained = json.loads((checkpoints(workplace / "run")[-1] / "progress.json").read_text("utf-8"))[
        "seconds"
    ]
    budgets: list[float] = []

    class Counting(Clock):
        def __init__(self, seconds: float, *arguments: Any) -> None:
            budgets.append(seconds)
            super().__init__(seconds, *arguments)

    monkeypatch.setattr(recipe, "Clock", Counting)
    pretrain(PretrainSettings(output=workplace / "run"), Interrupting(after=5), resume=True)
    assert budgets == [pytest.approx(3600 - trained)]


def test_a_list_of_plans_is_gone_on_with_as_it_is(workplace: Path) -> None:
    pretrain(settings(workplace, "run", steps=None, total_steps="0:9,3:6"), Interrupting(after=4))
    resumed = pretrain(PretrainSettings(output=workplace / "run"), resume=True)
    whole = pretrain(settings(workplace, "whole", steps=None, total_steps="0:9,3:6"))
    assert resumed is not None and whole is not None and resumed.steps == whole.steps == 6
    weights = [(workplace / name / "model.safetensors").read_bytes() for name in ("run", "whole")]
    assert weights[0] == weights[1]


def test_a_time_and_a_list_of_plans_are_too_much(workplace: Path) -> None:
    with pytest.raises(XinyeError, match="give only one of the two"):
        pretrain(settings(workplace, steps=None, time="10s", total_steps="0:9"))


def test_the_command_of_the_report_repeats_a_run_in_time(workplace: Path) -> None:
    pretrain(settings(workplace, steps=None, time="2s"))
    pairs = ",".join(f"{step}:{total}" for step, total in plan_of(workplace / "run")["total_steps"])
    words = shlex.split(read_run(workplace / "run").command())
    assert words[words.index("--total-steps") + 1] == pairs
    assert not {"--steps", "--time"} & {*words}


def test_compiling_is_no_part_of_the_time(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begins: list[float] = []
    monkeypatch.setattr(clock, "now", lambda: 1000.0)
    monkeypatch.setattr(train, "prepare_library", lambda device, observer: 500.0)

    class Recorded(Clock):
        def __init__(self, seconds: float, began: float, costs: Costs) -> None:
            begins.append(began)
            super().__init__(seconds, began, costs)

    monkeypatch.setattr(recipe, "Clock", Recorded)
    pretrain(settings(workplace, steps=None, time="10s"), Interrupting(after=1))
    assert set(begins) == {1500.0}


class Listening(Observer):
    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.total_seconds = 0.0

    def warn(self, text: str) -> None:
        self.warnings.append(text)

    def plan(self, plan: Any, trainable: Any = ()) -> None:
        self.total_seconds = plan.total_seconds


@pytest.mark.parametrize(
    "changes, speed, says",
    [
        (
            {"time": "60s", "size": "15M", "layers": None, "width": None},
            (5.9, 0.1, 0.1),
            "too few to learn much: use --time ",
        ),
        (
            {"tokens": "1k"},
            (0.001, 0.001, 0.001),
            "the plan has only 8 steps, too few to learn much: increase --tokens",
        ),
        (
            {"time": "10min"},
            (0.01, 0.001, 0.001),
            "times and overfit: add more text, or --time ",
        ),
        (
            {"steps": 100_000},
            (0.01, 0.001, 0.001),
            "times and overfit: add more text, or --steps ",
        ),
        ({"epochs": 20}, (0.01, 0.001, 0.001), None),
    ],
)
def test_a_budget_without_sense_is_warned_of_before_training(
    workplace: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    speed: tuple[float, ...],
    says: str | None,
) -> None:
    monkeypatch.setattr(recipe, "measure_speed", lambda *arguments: recipe.Speed(*speed))
    told = Listening()
    pretrain(settings(workplace, **{"steps": None, **changes}), told, dry_run=True)
    assert bool(told.warnings) == bool(says) and (says is None or says in told.warnings[0])
    assert told.total_seconds > 0


def test_a_smaller_size_is_named_where_one_would_do(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "measure_speed", lambda *arguments: recipe.Speed(5.9, 0.1, 0.1))
    told = Listening()
    pretrain(
        settings(workplace, steps=None, time="60s", size="15M", layers=None, width=None),
        told,
        dry_run=True,
    )
    [warning] = told.warnings
    assert warning.endswith(", or --size 2M")


@pytest.mark.parametrize(
    "pairs", ["", "9", "1:9", "0:9,9:12", "0:9,3:2", "0:9,3:5,2:8", "0:a", "0:0"]
)
def test_pairs_that_are_no_plan_are_refused(workplace: Path, pairs: str) -> None:
    with pytest.raises((XinyeError, ValueError)):
        settings(workplace, steps=None, total_steps=pairs)


def test_a_run_keeps_its_dtype_when_it_is_resumed(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it was derived, and the machine would choose another one now."""
    monkeypatch.setattr(machine, "fast_dtype", lambda where: (torch.bfloat16, "fast"))
    pretrain(settings(workplace, dtype="auto"), Interrupting(after=1))
    monkeypatch.setattr(machine, "fast_dtype", lambda where: (torch.float32, "fast"))
    pretrain(PretrainSettings(output=workplace / "run"), resume=True)
    assert plan_of(workplace / "run")["dtype"] == "bfloat16"


class Slowing(Observer):
    """Moves the clock on by what each thing takes, on a machine that gets busy half-way: from then
    on all takes three times as long."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, speed: recipe.Speed, budget: float) -> None:
        self.now, self.busy_at, self.speed = 0.0, budget / 2, speed
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(recipe, "measure_speed", lambda *arguments: speed)
        # what compiling takes, once on a machine, is added to the budget
        monkeypatch.setattr(train, "prepare_library", lambda device, observer: 0.0)

    def took(self, seconds: float) -> None:
        self.now += seconds if self.now < self.busy_at else 3 * seconds

    def step(self, step: Step, steps: int) -> None:
        self.took(self.speed.step)

    def evaluated(self, evaluated: Evaluated) -> None:
        texts = 1 + LONGER * (evaluated.kind == "result")
        self.took(20 * self.speed.window + texts * self.speed.sample)


@pytest.mark.parametrize("step", [0.05, 0.5, 2.0])
def test_a_machine_that_gets_busy_makes_a_run_shorter_not_later(workplace, monkeypatch, step):
    slowing = Slowing(monkeypatch, recipe.Speed(step, 0.005, 0.05), budget=15)
    run = pretrain(settings(workplace, steps=None, time="15s", evaluations=20), slowing)
    assert run is not None and 12 < slowing.now <= 15 + 3 * step
