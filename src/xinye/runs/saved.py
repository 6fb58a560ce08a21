"""A run as it is found: finished, going on, interrupted or failed.

A run can be killed at any moment and older runs lack what newer ones note, so whatever is missing
is left empty. What is damaged is left empty, too, and the run tells of it. Needs no torch.
"""

import math
import shlex
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from xinye.checkpoints.folders import checkpoints
from xinye.errors import XinyeError
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import TASK
from xinye.runs.folder import (
    METRICS,
    PLAN,
    PROCESS,
    RESULT,
    SETTINGS,
    About,
    Plan,
    Result,
    RunFolder,
    read_metrics,
    read_part,
)
from xinye.runs.words import words_in

State = Literal["running", "finished", "interrupted", "failed", "damaged"]


@dataclass
class SavedRun:
    """What a run's folder tells. `steps` and `validations` are records of metrics.jsonl, in order,
    each step once."""

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
        return str(self.settings.get("task", TASK)) if self.recipe == "finetune" else ""

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
        counts_tokens = words_in(self.about).unit == "tokens" or "answer_tokens" in self.plan
        if self.task and not counts_tokens:  # its steps count labels
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
    def started(self) -> datetime:
        try:
            return datetime.fromisoformat(self.about["started"]).astimezone()
        except (KeyError, TypeError, ValueError, OverflowError):
            pass
        try:  # an older run: its settings were written when it began
            return datetime.fromtimestamp(
                (self.folder / "training" / SETTINGS).stat().st_mtime
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
        """The command line that gives this run again: its budget in steps, and spelled out what the
        machine decided."""
        values = {"output": output, **self.settings}
        if self.recipe == "finetune":
            values = {"output": output, "task": TASK, **self.settings}  # defaults are not saved
            return shlex.join(command_line("finetune", values))
        decided = ("steps", "dropout", "dtype", "compile", "micro_batch_size")
        values |= dict.fromkeys(("time", "tokens", "epochs", "total_steps"))  # the steps say it
        values |= {name: self.plan[name] for name in decided if name in self.plan}
        if pairs := self.plan.get("total_steps"):
            values |= {"steps": None, "total_steps": pairs}
        if "compile" in self.plan:
            values["compile"] = "yes" if self.plan["compile"] else "no"
        return shlex.join(command_line("pretrain", values))


def is_run(folder: Path) -> bool:
    return RunFolder(folder).exists


def read_run(folder: Path) -> SavedRun:
    """The run in a folder, as far as it is there; raises `XinyeError` where there is none."""
    if not is_run(folder):
        raise XinyeError(f"{folder}: {'is not a run' if folder.exists() else 'no such folder'}")
    training = folder / "training"
    damage: list[str] = []
    plan = read_part(training / PLAN, Plan, damage)
    steps, validations = read_metrics(training / METRICS, damage)
    run = SavedRun(
        folder,
        about=read_part(training / SETTINGS, About, damage),
        plan=_object(plan.get("values")),
        reasons=_object(plan.get("reasons")),
        result=read_part(training / RESULT, Result, damage),
        steps=steps,
        validations=validations,
        error=str(read_part(training / PROCESS).get("error", "")),
    )
    last = run.steps[-1] if run.steps else {"loss": 0.0}
    if RunFolder(folder).is_running():
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
    about = read_part(folder / "training" / SETTINGS)
    taught = about.get("recipe", "pretrain") != "pretrain" or "from" in _object(
        about.get("settings")
    )
    return is_run(folder) and not taught


def taught(folder: Path) -> str:
    """The task that the model of a run was fine-tuned for; "" where it was for none."""
    return SavedRun(folder, about=read_part(folder / "training" / SETTINGS)).task


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


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
