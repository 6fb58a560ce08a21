"""Reads and writes the files of a run in its `training/`. No other module knows their names.

`settings.json` has what the run was started with, `plan.json` the numbers derived from it,
`metrics.jsonl` all steps and evaluations, `result.json` the result, and `process.json` shows that
the run is training now. Training reads these files strictly, through this module; lists of runs
read whatever they find (`saved.py`). This module does not need torch.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict

from xinye.checkpoints.folders import MANIFEST, SETTINGS, TRAINING, checkpoints
from xinye.data.files import open_regular, read_json, write_json, written_beside
from xinye.data.locks import lock
from xinye.errors import XinyeError, checked, quoted

DAMAGED = "damaged file"  # comes before the reason in an error about a damaged file
Values = dict[str, Any]  # settings, or what a plan chose, by name
Figures = dict[str, Any]  # measured values by name; some are tables
TRACKERS = ("tensorboard", "wandb", "mlflow", "mlflow.db")
# Everything that a run writes there, besides checkpoints. The settings come last, because a folder
# with them counts as a run.
FILES = (
    *("plan.json", "metrics.jsonl", "result.json", "process.json", MANIFEST),
    *TRACKERS,
    SETTINGS.name,
)


class Extension(BaseModel):
    """One extension of a run, as `plan.json` keeps it."""

    model_config = ConfigDict(frozen=True)

    step: int  # the step of the checkpoint that it was resumed from
    seconds: float  # the time spent in steps until then
    total_steps: tuple[tuple[int, int], ...]  # pairs (from this step on, total) before it
    budget: Values  # the new budget, such as {"steps": 60}
    command: str
    validation: Figures | None = None  # figures of the model that the run had ended with


class RunFolder:
    """The folder of a run. Methods that read a file raise `XinyeError` if it is damaged."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.training = path / TRAINING
        self.settings_file = path / SETTINGS
        self.plan_file = self.training / "plan.json"
        self.metrics_file = self.training / "metrics.jsonl"
        self.result_file = self.training / "result.json"
        self.process_file = self.training / "process.json"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Whether the folder is that of a run. Without permission to look into it, this is True, so
        that an error follows."""
        try:
            return self.settings_file.exists()
        except PermissionError:
            return True

    # -- settings, plan and result -----------------------------------------------------------------

    def about(self) -> Values:
        """The content of `settings.json`: what the run was started with."""
        return read_json(self.settings_file)

    def plan(self) -> Values:
        """The values of the plan, by name."""
        values = read_json(self.plan_file).get("values")
        if not isinstance(values, dict):
            raise XinyeError(
                f"{self.plan_file}: damaged (values are missing); start again with --overwrite"
            )
        return values

    def extensions(self) -> list[Extension]:
        """The extensions of the run, the latest last."""
        saved = read_json(self.plan_file).get("extended", [])
        if not isinstance(saved, list) or not all(isinstance(each, dict) for each in saved):
            raise XinyeError(f"{self.plan_file}: damaged (extended is not a list of objects)")
        return [
            checked(Extension, each, f"{self.plan_file}: {DAMAGED}, extended") for each in saved
        ]

    def result(self) -> Figures:
        """The content of `result.json`; empty if the run has not ended."""
        return read_json(self.result_file) if self.result_file.is_file() else {}

    @property
    def ended(self) -> bool:
        """Whether the run has ended without an interruption."""
        return not self.result().get("interrupted", True)

    @property
    def resumable(self) -> bool:
        """Whether there is something to resume: a checkpoint, or the end of a run."""
        return self.ended or bool(checkpoints(self.path))

    def unfinished(self) -> list[str]:
        """A sentence about a run whose training has not come to its end, or the error of a damaged
        file that would tell; none about others."""
        try:
            if not self.exists or self.ended:
                return []
            recipe = self.about().get("recipe", "finetune")
        except XinyeError as error:
            return [str(error)]
        again = f"xinye {recipe} -o {quoted(self.path)} --resume"
        return [f"the training of this model has not come to its end; continue with: {again}"]

    def start(self, about: Values, plan: Values) -> None:
        """Write the first files, which make the folder a run's."""
        self.training.mkdir(parents=True, exist_ok=True)
        write_json(self.settings_file, about)
        write_json(self.plan_file, plan)

    def note_totals(self, totals: Sequence[tuple[int, int]]) -> None:
        """Write into the plan how many steps are planned now."""
        plan = read_json(self.plan_file)
        plan["values"] |= {"steps": totals[-1][1], "total_steps": [*totals]}
        write_json(self.plan_file, plan)

    def extend(self, extension: Extension, values: Values, reasons: Mapping[str, str]) -> None:
        """Write the longer plan of an extended run, and delete the result of the shorter one."""
        self.result_file.unlink(missing_ok=True)
        plan = read_json(self.plan_file)
        for name in ("steps", "epochs", "total_steps", "total_seconds", "cooldown"):
            for noted, now in (("values", values), ("reasons", reasons)):
                if name in now:
                    plan[noted][name] = now[name]
                else:
                    plan[noted].pop(name, None)
        plan["extended"] = [*plan.get("extended", []), extension.model_dump(mode="json")]
        write_json(self.plan_file, plan)

    def conclude(self, result: Figures) -> None:
        """Write the result, in place of an earlier one."""
        write_json(self.result_file, result)

    # -- metrics -----------------------------------------------------------------------------------

    def open_metrics(self) -> TextIO:
        return open(self.metrics_file, "a", encoding="utf-8")

    def forget_metrics(self, step: int) -> None:
        """Drop the metrics after the checkpoint of this step, because those steps are taken
        again."""
        path = self.metrics_file
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        with written_beside(path) as beside, beside.open("w", encoding="utf-8") as file:
            for line in lines:
                # A line may be cut short by a kill or damaged by the disk; it is dropped.
                with suppress(ValueError, TypeError, KeyError, RecursionError):
                    record = json.loads(line)
                    if record["step"] <= step and record["kind"] != "result":
                        file.write(line + "\n")

    # -- whether the run is training ---------------------------------------------------------------

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, `is_running` is true. A `XinyeError` that the run fails with is kept in the file.

        The sign is a lock on `training/process.json`. The system releases it when the process ends,
        however it ends, so a kill leaves no false sign, and process numbers of another container do
        not matter.
        """
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        with self.process_file.open("a", encoding="utf-8") as file:
            lock(file, self.in_other_hands())  # without locks, `is_running` stays false
            file.truncate(0)
            file.write(json.dumps(process) + "\n")
            file.flush()
            try:
                yield
            except XinyeError as error:
                file.truncate(0)
                file.write(json.dumps({**process, "error": str(error)}, ensure_ascii=False) + "\n")
                raise
            self.process_file.unlink()

    def in_other_hands(self) -> XinyeError:
        """The error that another process is training this run."""
        return XinyeError(
            f"{self.path}: this run is still training; wait until it ends, or stop it first"
        )

    def is_running(self) -> bool:
        """Whether a process is training this run now."""
        try:
            with open_regular(self.process_file) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (OSError, XinyeError):
            pass
        return False
