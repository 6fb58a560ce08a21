"""A run as it is found: finished, going on, interrupted or failed.

A run can be killed at any moment and older runs lack what newer ones note, so whatever is missing
is left empty. What is damaged is left empty, too, and the run tells of it. Needs no torch.
"""

import math
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NotRequired, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from xinye.checkpoints.folders import checkpoints, near_run, step_of
from xinye.data.files import open_regular, read_json
from xinye.data.notes import place_of
from xinye.errors import XinyeError, checked
from xinye.evaluation.yardstick import Yardstick
from xinye.planning.finetune_settings import TASK
from xinye.runs.again import command_again
from xinye.runs.folder import Extension, Figures, RunFolder, Values
from xinye.runs.words import TaskWords, words_from

State = Literal["running", "finished", "interrupted", "failed", "damaged"]


# -- what stands in its files ----------------------------------------------------------------------


Count = Annotated[int, Field(ge=0, lt=2**63)]
Finite = Annotated[float, Field(ge=-(2**63), lt=2**63)]
AS_IT_IS = ConfigDict(strict=True, extra="allow")


class Part(BaseModel):
    """What is read of a file, or of a part of it, where it is there; whatever else stands in it is
    kept as it is. False where nothing is there."""

    model_config = AS_IT_IS

    def __bool__(self) -> bool:
        return bool(self.model_fields_set)

    @classmethod
    def read(cls, path: Path, damage: list[str]) -> Self:
        """What stands in a JSON file; empty where it is missing, or damaged, which is noted."""
        try:
            return checked(cls, read_json(path) if path.exists() else {}, str(path))
        except XinyeError as error:
            damage.append(str(error))
        except OSError as error:
            damage.append(f"{path}: cannot be read ({error.strerror})")
        return cls()

    def as_read(self) -> Values:
        """All of it, by name."""
        return self.model_dump(exclude_unset=True, by_alias=True)


class Settings(Part):
    """What a person asked for; what they left alone is empty."""

    files: list[str] | None = None
    data: list[str] | None = None
    task: str = TASK
    architecture: str = "modern"
    from_: str = Field("", alias="from")
    model: str = ""
    method: str = "full"


class DataFacts(Part):
    """What is known of the data before training."""

    unigram_loss: Finite | None = None  # of who knows only how frequent each token is
    counts: dict[str, int] = {}  # of labels
    pairs: bool | None = None  # whether a classifier learned pairs of texts; None where unknown
    yardstick: Yardstick | None = None


class About(Part):
    """`training/settings.json`"""

    recipe: str = "pretrain"  # what made the model: pretrain or finetune
    text: str = ""  # its fingerprint
    started: str = ""
    settings: Settings = Settings()
    data: DataFacts = DataFacts()
    machine: Part = Part()
    words: Any = None


class PlanValues(Part):
    parameters: Count | None = None
    steps: Count | None = None
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
    """`training/plan.json`"""

    values: PlanValues = PlanValues()
    reasons: dict[str, str] = {}
    extended: list[Extension] = []


class Judged(Part):
    bits_per_byte: Finite | None = None


class Result(Part):
    """`training/result.json`; empty where the run has not ended."""

    parameters: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    seconds: Finite | None = None
    tokens_per_second: Finite | None = None
    interrupted: int | bool = 0
    model_step: Count | None = None  # that the saved weights are of
    validation: Judged | None = None
    before: Judged | None = None  # of the model that the run began with
    measured: Figures | None = None
    baseline: Figures | None = None
    control: Figures | None = None
    time_seconds: dict[str, Finite] | None = None
    ranks: dict[str, Count] | None = None
    texts: list[str] | None = None


@with_config(AS_IT_IS)
class Record(TypedDict):
    """A line of `training/metrics.jsonl`; a task has further figures in it. In a run that diverges
    the loss may be infinite."""

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
# what a line of a kind, or of any other, cannot lack
_NEEDED = {"refused": (), "step": ("loss", "seconds", "tokens"), "": ("loss", "seconds")}


def read_metrics(path: Path, damage: list[str]) -> tuple[list[Record], list[Record]]:
    """Steps and validations. A step that stands there again was taken again, and so was all behind
    it."""
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
            if number < len(lines) or data.endswith(b"\n"):  # else it was cut off by a kill
                what = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
                damage.append(f"{place_of(path, number)}: damaged line ({str(what)[:100]})")
            continue
        if record["kind"] == "refused":
            continue
        is_step = record["kind"] == "step"
        for records in (validations, steps) if is_step else (validations,):
            while records and records[-1]["step"] >= record["step"]:
                records.pop()
        (steps if is_step else validations).append(record)
    return steps, validations


# -- the run ---------------------------------------------------------------------------------------


@dataclass
class SavedRun:
    """What a run's folder tells. `steps` and `validations` are in order, each step once."""

    folder: Path
    about: About = field(default_factory=About)
    plan: PlanValues = field(default_factory=PlanValues)
    reasons: dict[str, str] = field(default_factory=dict)
    result: Result = field(default_factory=Result)
    steps: list[Record] = field(default_factory=list)
    validations: list[Record] = field(default_factory=list)
    words: TaskWords = field(default_factory=TaskWords)
    state: State = "finished"
    error: str = ""  # what a failed run ended with, or what is damaged
    extended: list[Extension] = field(default_factory=list)  # each time that it was, in order

    @property
    def settings(self) -> Settings:
        return self.about.settings

    @property
    def architecture(self) -> str:
        """Of a model that was gone on with, the plan tells it."""
        return self.plan.architecture or self.settings.architecture

    @property
    def task(self) -> str:
        """What it was taught; "" for a language model that goes on with text."""
        return self.settings.task if self.about.recipe == "finetune" else ""

    @property
    def what(self) -> str:
        """In two words: pretrain modern, finetune tag."""
        return f"{self.about.recipe} {self.task or self.architecture}"

    @property
    def files(self) -> list[str]:
        return self.settings.files or self.settings.data or []

    @property
    def parameters(self) -> int | None:
        return self.plan.parameters or self.result.parameters

    @property
    def done(self) -> int:
        """Steps taken."""
        return self.steps[-1]["step"] if self.steps else self.result.steps or 0

    @property
    def seconds(self) -> float:
        """Time spent in steps."""
        return self.result.seconds or sum(record["seconds"] for record in self.steps)

    @property
    def tokens(self) -> int:
        """Tokens learned from, repeated ones as often as they were read."""
        in_steps = int(sum(record["tokens"] for record in self.steps))
        if self.task and self.words.unit != "tokens" and self.plan.answer_tokens is None:
            in_steps = 0  # its steps count labels
        return in_steps or self.result.tokens or 0

    @property
    def epochs(self) -> float | None:
        """How many times the text was read."""
        once = self.plan.training_tokens
        return self.tokens / once if once else None

    @property
    def bits_per_byte(self) -> float | None:
        """At the end, or at the last validation."""
        if self.validations:
            return self.validations[-1].get("bits_per_byte")
        return self.result.validation.bits_per_byte if self.result.validation else None

    @property
    def curve(self) -> list[Record]:
        """The validations that judged the same text: during a run it is a part of what the end is
        judged on."""
        during = [record for record in self.validations if record["kind"] == "validation"]
        size = during[-1].get("tokens") if during else None
        return [record for record in self.validations if not during or record.get("tokens") == size]

    @property
    def checkpoints(self) -> list[Path]:
        """The folders that the run can go on from, the newest last."""
        return checkpoints(self.folder)

    @property
    def model_step(self) -> int | None:
        """The step that the saved weights are of, where that is known."""
        if self.state == "finished":
            return self.result.model_step or self.done
        return step_of(self.checkpoints[-1]) if self.checkpoints else None

    @property
    def started(self) -> datetime:
        """When; of an older run, when its settings were written."""
        with suppress(ValueError, OverflowError):
            return datetime.fromisoformat(self.about.started).astimezone()
        when = 0.0
        with suppress(OSError):
            when = RunFolder(self.folder).settings_file.stat().st_mtime
        return datetime.fromtimestamp(when).astimezone()

    def summary(self) -> Figures:
        """The run for `--json`."""
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
        """The command line that gives this run again."""
        given = self.settings.as_read()
        if self.task:
            given = {"task": self.task, **given}
        recipe = "finetune" if self.task else "pretrain"
        return command_again(recipe, given, self.plan.as_read(), self.extended, output)


def read_run(folder: Path) -> SavedRun:
    """The run in a folder, as far as it is there; raises `XinyeError` where there is none."""
    if not is_run(folder):
        if folder.exists():
            raise XinyeError(f"{folder}: is not a run")
        raise XinyeError(f"{folder}: no such folder{near_run(folder)}")
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
    return RunFolder(folder).exists


def find_runs(folder: Path) -> list[Path]:
    """The runs in a folder: itself, those in it, and those one folder further down."""
    if is_run(folder):
        return [folder]
    found = []
    for inner in _folders(folder):
        found += [inner] if is_run(inner) else [run for run in _folders(inner) if is_run(run)]
    return found


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(
            path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")
        )
    except PermissionError:
        return []
