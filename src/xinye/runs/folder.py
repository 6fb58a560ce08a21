"""A run's folder as it is found: finished, going on, interrupted or failed.

A run can be killed at any moment and older runs lack what newer ones note, so whatever is missing is left empty. What
is damaged is left empty, too, and the run tells of it. Needs no torch.
"""

import fcntl
import json
import math
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xinye.checkpoints.folders import checkpoints
from xinye.data.files import open_regular, read_json
from xinye.errors import XinyeError, checked

State = Literal["running", "finished", "interrupted", "failed", "damaged"]


@dataclass
class SavedRun:
    """What a run's folder tells. `steps` and `validations` are records of metrics.jsonl, in order, each step once."""

    folder: Path
    state: State = "finished"
    error: str = ""  # what a failed run ended with, or what is damaged
    about: dict[str, Any] = field(default_factory=dict)  # training/settings.json
    plan: dict[str, Any] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    result: dict[str, Any] = field(default_factory=dict)
    steps: list[dict[str, Any]] = field(default_factory=list)
    validations: list[dict[str, Any]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, Any]:
        """What a person asked for; what they left alone is absent."""
        return _object(self.about.get("settings"))

    @property
    def architecture(self) -> str:
        """Of a model that was gone on with, the plan tells it."""
        return self.plan.get("architecture") or self.settings.get("architecture", "modern")

    @property
    def task(self) -> str:
        """What it was taught; "" for a language model that goes on with text."""
        return str(self.settings.get("task", "classify")) if self.recipe == "finetune" else ""

    @property
    def use(self) -> str:
        """The command that uses it."""
        return {"": "generate", "text": "generate"}.get(self.task, self.task)

    @property
    def recipe(self) -> str:
        """What made it: pretrain or finetune."""
        return str(self.about.get("recipe", "pretrain"))

    @property
    def what(self) -> str:
        """In two words: pretrain modern, finetune tag."""
        if self.task:
            return f"finetune {self.task}"
        return f"{self.recipe} {self.architecture}"

    @property
    def files(self) -> list[str]:
        return [str(name) for name in self.settings.get("files") or self.settings.get("data") or ()]

    @property
    def parameters(self) -> int | None:
        return self.plan.get("parameters") or self.result.get("parameters")

    @property
    def done(self) -> int:
        """Steps taken."""
        return self.steps[-1]["step"] if self.steps else int(self.result.get("steps") or 0)

    @property
    def planned(self) -> int | None:
        """Steps to take."""
        return self.plan.get("steps")

    @property
    def seconds(self) -> float:
        """Time spent in steps."""
        return float(self.result.get("seconds") or sum(record["seconds"] for record in self.steps))

    @property
    def tokens(self) -> int:
        """Tokens learned from, repeated ones as often as they were read."""
        if self.task in ("classify", "tag"):  # whose steps count labels
            return int(self.result.get("tokens") or 0)
        return int(sum(record["tokens"] for record in self.steps)) or int(
            self.result.get("tokens") or 0
        )

    @property
    def epochs(self) -> float | None:
        """How many times the text was read."""
        once = self.plan.get("training_tokens")
        return self.tokens / once if once else None

    @property
    def bits_per_byte(self) -> float | None:
        """At the end, or where it was judged last."""
        last = self.validations[-1] if self.validations else _object(self.result.get("validation"))
        return last.get("bits_per_byte")

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The validations that judged the same text: during a run it is a part of what the end is judged on."""
        during = [record for record in self.validations if record["kind"] == "validation"]
        size = during[-1].get("tokens") if during else None
        return [record for record in self.validations if not during or record.get("tokens") == size]

    @property
    def checkpoints(self) -> list[Path]:
        """The folders that the run can go on from, the newest last."""
        return checkpoints(self.folder)

    @property
    def started(self) -> datetime:
        try:
            return datetime.fromisoformat(self.about["started"]).astimezone()
        except (KeyError, TypeError, ValueError, OverflowError):
            pass
        try:  # an older run: its settings were written when it began
            return datetime.fromtimestamp(
                (self.folder / "training" / "settings.json").stat().st_mtime
            ).astimezone()
        except OSError:
            return datetime.fromtimestamp(0).astimezone()

    def summary(self) -> dict[str, Any]:
        return {
            "run": str(self.folder),
            "recipe": self.recipe,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "files": self.files,
            "bits_per_byte": self.bits_per_byte,
            "state": self.state,
            "error": self.error,
            "steps": self.done,
            "planned_steps": self.planned,
            "tokens": self.tokens,
            "seconds": round(self.seconds, 2),
            "started": self.started.isoformat(timespec="seconds"),
        }

    def command(self, output: str = "runs/again") -> str:
        """The command line that gives this run again: its budget in steps, and spelled out what the machine decided."""
        if self.recipe == "finetune":
            given = {"task": "classify", **self.settings}  # defaults are not saved
            model = given.pop("model", "")
            words = ["xinye", "finetune", model, "-o", output]
            given |= _object(given.pop("adapter", None))
            for name, value in given.items():
                for each in value if isinstance(value, list) else [value]:
                    words += [f"--{name.replace('_', '-')}", *([] if each is True else [str(each)])]
            return shlex.join(words)
        decided = ("dropout", "dtype", "compile", "micro_batch_size")
        budgets = ("time", "tokens", "epochs", "total_steps")
        values = {name: value for name, value in self.settings.items() if name not in budgets}
        values |= {name: self.plan[name] for name in ("steps", *decided) if name in self.plan}
        if pairs := self.plan.get("total_steps"):
            del values["steps"]
            values["total_steps"] = ",".join(f"{step}:{total}" for step, total in pairs)
        if "compile" in self.plan:
            values["compile"] = "yes" if self.plan["compile"] else "no"
        values |= _object(values.pop("cleaning", None))
        words = ["xinye", "pretrain", *values.pop("files", ()), "-o", output]
        for name, value in values.items():
            flag = "--" + name.replace("_", "-")
            if isinstance(value, bool):
                words.append(flag if value else f"--no-{flag[2:]}")
            elif value is not None:
                words += [f"{flag}={value}"] if str(value).startswith("-") else [flag, str(value)]
        return shlex.join(words)


def is_run(folder: Path) -> bool:
    """Whether a folder is a run's; one that may not be looked into is taken for a run that is damaged."""
    try:
        return (folder / "training" / "settings.json").exists()
    except PermissionError:
        return True


def read_run(folder: Path) -> SavedRun:
    """The run in a folder, as far as it is there; raises `XinyeError` where there is none."""
    if not is_run(folder):
        raise XinyeError(f"{folder}: {'is not a run' if folder.exists() else 'no such folder'}")
    training = folder / "training"
    damage: list[str] = []
    plan = _read(training / "plan.json", Plan, damage)
    run = SavedRun(
        folder,
        about=_read(training / "settings.json", About, damage),
        plan=_object(plan.get("values")),
        reasons=_object(plan.get("reasons")),
        result=_read(training / "result.json", Result, damage),
        error=str(_read(training / "process.json").get("error", "")),
    )
    _read_metrics(training / "metrics.jsonl", run, damage)
    last = run.steps[-1] if run.steps else {"loss": 0.0}
    if is_running(folder):
        run.state, run.error = "running", ""
    elif damage:
        run.state, run.error = "damaged", damage[0]
    elif run.error:
        run.state = "failed"
    elif run.result and not run.result.get("interrupted"):
        run.state = "finished"
    else:
        run.state = "interrupted" if math.isfinite(last["loss"]) else "failed"
    return run


def never_taught_to_answer(folder: Path) -> bool:
    """Whether a model is a run's that began from scratch, and only learned to go on with texts."""
    about = _read(folder / "training" / "settings.json")
    taught = about.get("recipe", "pretrain") != "pretrain" or "from" in _object(
        about.get("settings")
    )
    return is_run(folder) and not taught


def learned_to_chat(folder: Path) -> bool:
    """Whether a model is a run's that was fine-tuned on conversations."""
    return (
        _object(_read(folder / "training" / "settings.json").get("settings")).get("task") == "chat"
    )


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


# -- going on or not -------------------------------------------------------------------------------------------------


@contextmanager
def training_process(folder: Path) -> Iterator[None]:
    """Inside, `is_running` is true of the run. The error that a run fails with stays noted.

    The sign is a lock on `training/process.json`, which the system takes away from a process that ends, whatever ends
    it; so neither a kill nor the process numbers of another container deceive.
    """
    path = folder / "training" / "process.json"
    process = {"pid": os.getpid(), "host": socket.gethostname()}
    with open(path, "w", encoding="utf-8") as file:
        with suppress(
            OSError
        ):  # a file system without locks: nobody knows that the run is going on; so be it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.write(json.dumps(process) + "\n")
        file.flush()
        try:
            yield
        except XinyeError as error:
            file.seek(0)
            file.write(json.dumps({**process, "error": str(error)}, ensure_ascii=False) + "\n")
            raise
        path.unlink()


def is_running(folder: Path) -> bool:
    """Whether some process is training this run now."""
    try:
        with open_regular(folder / "training" / "process.json") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except (OSError, XinyeError):
        pass
    return False


# -- reading ---------------------------------------------------------------------------------------------------------


Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(allow_inf_nan=False)]
Figures = dict[str, Any]


class _Part(BaseModel):
    """What is read of a file, or of a part of it, where it is there; whatever else stands in it is not looked at."""

    model_config = ConfigDict(strict=True, extra="allow")


class Settings(_Part):
    files: list[str] | None = None
    data: list[str] | None = None
    task: str = ""
    architecture: str = ""
    model: str = ""
    method: str = ""


class About(_Part):
    """`training/settings.json`"""

    recipe: str = ""
    started: str = ""
    settings: Settings = Settings()
    data: Figures | None = None
    machine: Figures | None = None


class PlanValues(_Part):
    parameters: Count | None = None
    trained_parameters: Count | None = None
    steps: Count | None = None
    vocabulary: Count | None = None
    training_tokens: Count | None = None
    validation_tokens: Count | None = None
    architecture: str = ""


class Plan(_Part):
    """`training/plan.json`"""

    values: PlanValues = PlanValues()
    reasons: dict[str, str] = {}


class Judged(_Part):
    loss: Figure | None = None
    bits_per_byte: Figure | None = None


class Result(_Part):
    """`training/result.json`"""

    parameters: Count | None = None
    steps: Count | None = None
    tokens: Count | None = None
    seconds: Figure | None = None
    tokens_per_second: Figure | None = None
    validation: Judged | None = None
    before: Judged | None = None
    measured: Figures | None = None
    baseline: Figures | None = None
    control: Figures | None = None
    time_seconds: dict[str, Figure] | None = None
    ranks: dict[str, Count] | None = None


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path, form: type[_Part] = _Part, damage: list[str] | None = None) -> dict[str, Any]:
    """The object in a JSON file; empty where it is missing, or damaged, which is noted."""
    damage = [] if damage is None else damage
    try:
        data = read_json(path) if path.exists() else {}
        checked(form, data, str(path))
    except XinyeError as error:
        damage.append(str(error))
        return {}
    except OSError as error:
        damage.append(f"{path}: cannot be read ({error.strerror})")
        return {}
    return data


def _read_metrics(path: Path, run: SavedRun, damage: list[str]) -> None:
    """Fill in steps and validations. A step that stands there again was taken again, and so was all behind it."""
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        return
    except (OSError, XinyeError) as error:
        damage.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
        return
    lines = data.splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
            if not _is_record(record):
                raise ValueError("a value is not what it should be")
        except (ValueError, RecursionError) as error:
            if number < len(lines) or data.endswith(b"\n"):  # else it was cut off by a kill
                damage.append(f"{path}, line {number}: damaged ({str(error)[:100]})")
            continue
        step, kind = record["step"], record["kind"]
        if kind == "refused":
            continue
        while run.validations and run.validations[-1]["step"] >= step:
            run.validations.pop()
        if kind == "step":
            while run.steps and run.steps[-1]["step"] >= step:
                run.steps.pop()
            run.steps.append(record)
        else:
            run.validations.append(record)


def _is_record(record: Any) -> bool:
    """Whether a line of metrics.jsonl is what a run notes; of a run that diverges a loss may be infinite."""
    if not isinstance(record, dict) or not isinstance(record.get("kind"), str):
        return False
    step, kind = record.get("step"), record["kind"]
    if type(step) is not int or not 0 <= step < 2**63:
        return False
    if kind == "refused":
        return True
    if not isinstance(record.get("sample", ""), str):
        return False
    needed = ("loss", "seconds", "tokens") if kind == "step" else ("loss", "seconds")
    numbers: dict[str, Any] = {name: record.get(name) for name in needed}
    numbers |= {
        name: record[name]
        for name in ("gradient_norm", "bits_per_byte", "tokens", "bytes")
        if name in record
    }
    for name, number in numbers.items():
        if type(number) not in (int, float) or (abs(number) >= 2**63 and math.isfinite(number)):
            return False
        if name in ("seconds", "tokens", "bytes") and not math.isfinite(number):
            return False
    return True
