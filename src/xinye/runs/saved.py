"""A run as its folder describes it: finished, running, interrupted, failed or damaged.

A run can be killed at any moment, and older versions saved less, so missing parts stay empty.
Damaged parts stay empty, too, and the run reports them. This module does not need torch.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from xinye.checkpoints.folders import checkpoints, near_run, step_of
from xinye.data.files import open_regular
from xinye.data.notes import place_of
from xinye.errors import XinyeError, wrong_value
from xinye.evaluation.yardstick import Yardstick
from xinye.planning.finetune_settings import TASK
from xinye.runs.again import command_again
from xinye.runs.folder import Extension, Figures, RunFolder
from xinye.runs.parts import (
    AS_IT_IS,
    Count,
    Finite,
    HardCases,
    NamedNumbers,
    Numbers,
    Pair,
    Part,
)
from xinye.runs.words import TaskWords, words_from

State = Literal["running", "finished", "interrupted", "failed", "damaged"]


# -- the content of its files ----------------------------------------------------------------------


class Settings(Part):
    """The settings that the user gave. Others have their defaults."""

    files: list[str] | None = None
    data: list[str] | None = None
    task: str = TASK
    architecture: str = "modern"
    from_: str = Field("", alias="from")
    model: str = ""
    method: str = "full"


class TaskMix(Part):
    """The records of a task that were mixed into the text."""

    task: str = ""
    file: str = ""
    records: Count | None = None
    share: Finite | None = None  # of all training tokens


class DataFacts(Part):
    """Facts about the data that were known before training."""

    unigram_loss: Finite | None = None  # in nats
    counts: dict[str, int] = Field(default_factory=dict)  # records of each label
    pairs: bool | None = None  # whether a classifier learned pairs of texts; None if unknown
    picker: Any = None  # of the clauses that a summary quotes
    yardstick: Yardstick | None = None
    task_mix: list[TaskMix] = Field(default_factory=list)
    words: Any = None  # that a proofreader may write
    confusions: Any = None  # what is right for wrong units


class About(Part):
    """The content of `training/settings.json`."""

    recipe: str = "pretrain"  # what trained the model: pretrain or finetune
    text: str = ""  # the fingerprint of the text
    started: str = ""
    settings: Settings = Settings()
    data: DataFacts = DataFacts()
    machine: Part = Part()
    words: Any = None


class PlanValues(Part):
    parameters: Count | None = None
    steps: Count | None = None
    total_steps: list[Pair] = Field(default_factory=list)  # from a step on, so many in all
    vocabulary: Count | None = None
    training_tokens: Count | None = None
    validation_tokens: Count | None = None
    validation_records: Count | None = None
    answer_tokens: Count | None = None
    architecture: str | None = None
    dropout: Finite = 0.0
    learning_rate: Finite | None = None
    matrix_learning_rate: Finite | None = None


class Plan(Part):
    """The content of `training/plan.json`."""

    values: PlanValues = PlanValues()
    reasons: dict[str, str] = Field(default_factory=dict)
    extended: list[Extension] = Field(default_factory=list)


class Judged(Part):
    bits_per_byte: Finite | None = None


class Result(Part):
    """The content of `training/result.json`; empty if the run has not ended."""

    parameters: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    seconds: Finite | None = None
    tokens_per_second: Finite | None = None
    interrupted: int | bool = 0
    model_step: Count | None = None  # the step of the saved weights
    cooled_from: Count | None = None  # the step of the model to which the run returned
    validation: Judged | None = None
    before: Judged | None = None  # the figures before the first step
    measured: Numbers | None = None
    baseline: Numbers | None = None
    other_baselines: list[Numbers] = field(default_factory=list)
    mixes: list[NamedNumbers] = field(default_factory=list)  # what the model is mixed of, alone
    compared: list[str] = field(default_factory=list)  # sentences
    hard_cases: HardCases = HardCases()
    control: Numbers | None = None
    time_seconds: dict[str, Finite] | None = None
    ranks: dict[str, Count] | None = None
    texts: list[str] | None = None


@with_config(AS_IT_IS)
class Record(TypedDict):
    """A line of `training/metrics.jsonl`. A task adds its own figures. If a run diverges, the loss
    may be infinite."""

    kind: str
    step: Count
    loss: NotRequired[float]
    gradient_norm: NotRequired[float]
    bits_per_byte: NotRequired[float]
    seconds: NotRequired[Finite]
    tokens: NotRequired[Finite]
    bytes: NotRequired[Finite]
    sample: NotRequired[str]


_RECORD = TypeAdapter(Record)
# the fields that a line of each kind must have; "" is any other kind
_NEEDED = {"refused": (), "step": ("loss", "seconds", "tokens"), "": ("loss", "seconds")}


def read_metrics(path: Path, damage: list[str]) -> tuple[list[Record], list[Record]]:
    """The steps and the validations in a file, each step once. A step that appears again was taken
    again, so everything recorded before from that step on is dropped."""
    steps: list[Record] = []
    validations: list[Record] = []
    data = b""
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        pass
    except (OSError, XinyeError) as error:
        damage.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
    lines = data.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = _RECORD.validate_json(line)
            if missing := set(_NEEDED.get(record["kind"], _NEEDED[""])) - record.keys():
                raise ValueError(f"{min(missing)} is missing")
        except ValueError as error:
            if number < len(lines) or data.endswith(b"\n"):  # otherwise a kill cut it off
                found = error.errors() if isinstance(error, ValidationError) else ()
                what = wrong_value(found[0]) if found else error
                damage.append(f"{place_of(path, number)}: damaged line ({str(what)[:100]})")
            continue
        if record["kind"] == "refused":
            continue
        is_step = record["kind"] == "step"
        again = record["step"] + (record["kind"] == "result")  # it follows an evaluation
        for records in (validations, steps) if is_step else (validations,):
            while records and records[-1]["step"] >= again:
                records.pop()
        (steps if is_step else validations).append(record)
    return steps, validations


# -- the run ---------------------------------------------------------------------------------------


@dataclass
class SavedRun:
    """All that a run's folder says. `steps` and `validations` are in order, each step once."""

    folder: Path
    about: About = field(default_factory=About)
    plan: PlanValues = field(default_factory=PlanValues)
    reasons: dict[str, str] = field(default_factory=dict)
    result: Result = field(default_factory=Result)
    steps: list[Record] = field(default_factory=list)
    validations: list[Record] = field(default_factory=list)
    words: TaskWords = field(default_factory=TaskWords)
    state: State = "finished"
    error: str = ""  # the error of a failed run, or what is damaged
    extended: list[Extension] = field(default_factory=list)  # its extensions, in order

    @property
    def settings(self) -> Settings:
        return self.about.settings

    @property
    def architecture(self) -> str:
        """The architecture of the model. If the run continued another model, the plan has it."""
        return self.plan.architecture or self.settings.architecture

    @property
    def task(self) -> str:
        """The task of a fine-tuned model; empty for pretraining."""
        return self.settings.task if self.about.recipe == "finetune" else ""

    @property
    def what(self) -> str:
        """The recipe and the task or architecture, such as `pretrain modern` or `finetune tag`."""
        return f"{self.about.recipe} {self.task or self.architecture}"

    @property
    def files(self) -> list[str]:
        return self.settings.files or self.settings.data or []

    @property
    def parameters(self) -> int | None:
        return self.plan.parameters or self.result.parameters

    @property
    def done(self) -> int:
        """The number of steps taken."""
        return self.steps[-1]["step"] if self.steps else self.result.steps or 0

    @property
    def steps_onward(self) -> list[Record]:
        """The steps before the run returned to its best model; all if it did not."""
        if self.result.cooled_from is None or not self.plan.total_steps:
            return self.steps
        return [each for each in self.steps if each["step"] <= self.plan.total_steps[-1][0]]

    @property
    def seconds(self) -> float:
        """The time spent in steps."""
        return self.result.seconds or sum(record["seconds"] for record in self.steps)

    @property
    def tokens(self) -> int:
        """The number of tokens trained on. A token that was read several times counts as often."""
        in_steps = int(sum(record["tokens"] for record in self.steps))
        if self.task and self.words.unit != "tokens" and self.plan.answer_tokens is None:
            in_steps = 0  # the steps of this task count labels
        return in_steps or self.result.tokens or 0

    @property
    def epochs(self) -> float | None:
        """How many times the text was read; None if unknown."""
        once = self.plan.training_tokens
        return self.tokens / once if once else None

    @property
    def bits_per_byte(self) -> float | None:
        """The bits per byte of the last validation; None if there is none."""
        if self.validations:
            return self.validations[-1].get("bits_per_byte")
        return self.result.validation.bits_per_byte if self.result.validation else None

    @property
    def curve(self) -> list[Record]:
        """The validations on the same text, each model once. During a run this text is a part of
        the one that the end is evaluated on; and the result is that of the model that is kept,
        which is not always the last."""
        during = [record for record in self.validations if record["kind"] == "validation"]
        if not during:
            return self.validations
        size = during[-1].get("tokens")
        known = {record["step"] for record in self.validations if record["kind"] != "result"}
        return [
            record
            for record in self.validations
            if record.get("tokens") == size
            and not (record["kind"] == "result" and self.model_step in known)
        ]

    @property
    def checkpoints(self) -> list[Path]:
        """The folders of the checkpoints, the newest last."""
        return checkpoints(self.folder)

    @property
    def model_step(self) -> int | None:
        """The step of the saved weights; None if unknown."""
        if self.state == "finished":
            return self.done if self.result.model_step is None else self.result.model_step
        return step_of(self.checkpoints[-1]) if self.checkpoints else None

    @property
    def started(self) -> datetime:
        """When the run started; for older runs, when the settings were written."""
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(self.about.started).astimezone()
        when = 0.0
        with suppress(OSError):
            when = RunFolder(self.folder).settings_file.stat().st_mtime
        return datetime.fromtimestamp(when).astimezone()

    def summary(self) -> Figures:
        """The run as values for `--json`."""
        return {
            "run": str(self.folder),
            "recipe": self.about.recipe,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "files": self.files,
            "bits_per_byte": self.bits_per_byte,
            "state": self.state,
            "error": self.error,
            "steps": self.done,
            "planned_steps": self.plan.steps,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
            "started": self.started.isoformat(timespec="seconds"),
        }

    def command(self, output: str = "runs/again") -> str:
        """The command line that repeats this run."""
        given = self.settings.as_read()
        if self.task:
            given = {"task": self.task, **given}
        recipe = "finetune" if self.task else "pretrain"
        return command_again(recipe, given, self.plan.as_read(), self.extended, output)


def read_run(folder: Path) -> SavedRun:
    """The run in a folder, as far as it is there. Raises `XinyeError` if the folder is not that of
    a run."""
    if not is_run(folder):
        if folder.exists():
            raise XinyeError(f"{folder}: is not a run")
        raise XinyeError(f"{folder}: there is no such folder{near_run(folder)}")
    files = RunFolder(folder)
    damage: list[str] = []
    plan = Plan.read(files.plan_file, damage)
    steps, validations = read_metrics(files.metrics_file, damage)
    about = About.read(files.settings_file, damage)
    result = Result.read(files.result_file, damage)
    words = words_from(about.words)
    run = SavedRun(folder, about, plan.values, plan.reasons, result, steps, validations, words)
    run.extended = plan.extended
    failure = str(Part.read(files.process_file, []).as_read().get("error", ""))
    if files.is_running():
        run.state = "running"
    elif damage:
        run.state, run.error = "damaged", damage[0]
    elif failure:
        run.state, run.error = "failed", failure
    elif result and not result.interrupted:
        run.state = "finished"
    else:
        diverged = steps and not math.isfinite(steps[-1]["loss"])
        run.state = "failed" if diverged else "interrupted"
    return run


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run."""
    return RunFolder(folder).exists


def find_runs(folder: Path) -> list[Path]:
    """The runs at a path: the folder itself if it is a run, or those in it and one level further
    down."""
    if is_run(folder):
        return [folder]
    found = []
    for inner in _folders(folder):
        found += [inner] if is_run(inner) else [run for run in _folders(inner) if is_run(run)]
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.is_dir()]
    except PermissionError:
        return []
    return sorted(path for path in found if not path.name.startswith("."))
