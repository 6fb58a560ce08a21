"""A run's folder as it is found: finished, going on, interrupted or failed.

A run can be killed at any moment and older runs lack what newer ones note, so whatever is missing or damaged is left
empty. Needs no torch.
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
from typing import Any, Literal

from xinye.errors import XinyeError

State = Literal["running", "finished", "interrupted", "failed"]

# What a run writes into its folder, beside `training/`; nothing else there is ever removed.
FILES = (
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "adapter_config.json",
    "adapter_model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "chat_golden.json",
    "report.html",
)


@dataclass
class SavedRun:
    """What a run's folder tells. `steps` and `validations` are records of metrics.jsonl, in order, each step once."""

    folder: Path
    state: State = "finished"
    error: str = ""  # what a failed run ended with
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
        return int(sum(record["tokens"] for record in self.steps)) or int(self.result.get("tokens") or 0)

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
        training = self.folder / "training"
        return [*training.glob("checkpoint"), *sorted(training.glob("checkpoints/step-*"))]

    @property
    def started(self) -> datetime:
        try:
            return datetime.fromisoformat(self.about["started"]).astimezone()
        except (KeyError, TypeError, ValueError):  # an older run: its settings were written when it began
            return datetime.fromtimestamp((self.folder / "training" / "settings.json").stat().st_mtime).astimezone()

    def summary(self) -> dict[str, Any]:
        return {
            "run": str(self.folder),
            "recipe": self.recipe,
            "architecture": self.architecture,
            "parameters": self.parameters,
            "files": self.files,
            "bits_per_byte": self.bits_per_byte,
            "state": self.state,
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
        values = {name: value for name, value in self.settings.items() if name not in ("time", "tokens", "epochs")}
        values |= {name: self.plan[name] for name in ("steps", *decided) if name in self.plan}
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
    return (folder / "training" / "settings.json").is_file()


def read_run(folder: Path) -> SavedRun:
    """The run in a folder, as far as it is there; raises `XinyeError` where there is none."""
    if not is_run(folder):
        raise XinyeError(f"{folder}: {'is not a run' if folder.exists() else 'no such folder'}")
    training = folder / "training"
    plan = _read(training / "plan.json")
    run = SavedRun(
        folder,
        about=_read(training / "settings.json"),
        plan=_object(plan.get("values")),
        reasons=_object(plan.get("reasons")),
        result=_read(training / "result.json"),
        error=str(_read(training / "process.json").get("error", "")),
    )
    _read_metrics(training / "metrics.jsonl", run)
    last = run.steps[-1] if run.steps else {"loss": 0.0}
    if is_running(folder):
        run.state, run.error = "running", ""
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
    taught = about.get("recipe", "pretrain") != "pretrain" or "from" in _object(about.get("settings"))
    return is_run(folder) and not taught


def learned_to_chat(folder: Path) -> bool:
    """Whether a model is a run's that was fine-tuned on conversations."""
    return _object(_read(folder / "training" / "settings.json").get("settings")).get("task") == "chat"


def find_runs(folder: Path) -> list[Path]:
    """The runs in a folder: itself, those in it, and those one folder further down."""
    if is_run(folder):
        return [folder]
    found = []
    for inner in _folders(folder):
        found += [inner] if is_run(inner) else [run for run in _folders(inner) if is_run(run)]
    return found


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


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
        with suppress(OSError):  # a file system without locks: nobody knows that the run is going on; so be it
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
        with open(folder / "training" / "process.json", "rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


# -- reading ---------------------------------------------------------------------------------------------------------


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where it is missing or damaged."""
    try:
        return _object(json.loads(path.read_text("utf-8")))
    except (OSError, ValueError):
        return {}


def _read_metrics(path: Path, run: SavedRun) -> None:
    """Fill in steps and validations. A step that stands there again was taken again, and so was all behind it."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return
    for line in lines:
        try:
            record = json.loads(line)
            step, kind = int(record["step"]), record["kind"]
            numbers = ("loss", "seconds", "tokens") if kind == "step" else ("loss", "seconds")
            record |= {name: float(record[name]) for name in numbers}
        except (ValueError, KeyError, TypeError):  # cut off by a kill
            continue
        while run.validations and run.validations[-1]["step"] >= step:
            run.validations.pop()
        if kind == "step":
            while run.steps and run.steps[-1]["step"] >= step:
                run.steps.pop()
            run.steps.append(record)
        else:
            run.validations.append(record)
