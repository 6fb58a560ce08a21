"""The files of a run: the one place that knows what lies in its `training/`.

`settings.json` is what it was started with, `plan.json` what followed from that, `metrics.jsonl`
what happened, `result.json` what came of it, and `process.json` says that it is going on. Whoever
trains reads strictly, here; whoever lists runs reads whatever is there (`saved.py`). Needs no
torch.
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

from xinye.checkpoints.folders import MANIFEST, SETTINGS, TRAINING
from xinye.data.files import open_regular, read_json, write_json, written_beside
from xinye.errors import XinyeError, checked

DAMAGED = "damaged file"  # what stands before the reason why a file cannot be read
Values = dict[str, Any]  # settings, or what a plan chose, by name
Figures = dict[str, Any]  # what was measured, by name; some are tables
TRACKERS = ("tensorboard", "wandb", "mlflow", "mlflow.db")
# all that a run writes there, beside checkpoints; the settings, which make a folder a run, last
FILES = (
    *("plan.json", "metrics.jsonl", "result.json", "process.json", MANIFEST),
    *TRACKERS,
    SETTINGS.name,
)


class Extension(BaseModel):
    """What the plan notes about a run that was extended."""

    model_config = ConfigDict(frozen=True)

    step: int  # of the checkpoint that it was resumed from
    seconds: float  # spent in steps by then
    total_steps: tuple[tuple[int, int], ...]  # (from this step on, so many in all), as it was
    budget: Values  # that was asked for, such as {"steps": 60}
    command: str
    validation: Figures | None = None  # of the model that it was finished with


class RunFolder:
    """A run's folder; raises `XinyeError` where a file is damaged."""

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
        """Whether it is a run's; one that may not be looked into is taken for a run that is
        damaged."""
        try:
            return self.settings_file.exists()
        except PermissionError:
            return True

    # -- what it was started with, what followed, what came of it ----------------------------------

    def about(self) -> Values:
        """What it was started with."""
        return read_json(self.settings_file)

    def plan(self) -> Values:
        """The values of its plan."""
        values = read_json(self.plan_file).get("values")
        if not isinstance(values, dict):
            raise XinyeError(
                f"{self.plan_file}: damaged (values are missing); start again with --overwrite"
            )
        return values

    def extensions(self) -> list[Extension]:
        """Each extension of the run, the latest last."""
        saved = read_json(self.plan_file).get("extended", [])
        if not isinstance(saved, list) or not all(isinstance(each, dict) for each in saved):
            raise XinyeError(f"{self.plan_file}: damaged (extended is not a list of objects)")
        return [
            checked(Extension, each, f"{self.plan_file}: {DAMAGED}, extended") for each in saved
        ]

    def result(self) -> Figures:
        """What came of it; empty where it has not ended."""
        return read_json(self.result_file) if self.result_file.is_file() else {}

    @property
    def ended(self) -> bool:
        """Whether it came to its end, and was not interrupted."""
        return not self.result().get("interrupted", True)

    def start(self, about: Values, plan: Values) -> None:
        """Make it a run's folder."""
        self.training.mkdir(parents=True, exist_ok=True)
        write_json(self.settings_file, about)
        write_json(self.plan_file, plan)

    def note_totals(self, totals: Sequence[tuple[int, int]]) -> None:
        """Note in the plan how many steps are planned now."""
        plan = read_json(self.plan_file)
        plan["values"] |= {"steps": totals[-1][1], "total_steps": [*totals]}
        write_json(self.plan_file, plan)

    def extend(self, extension: Extension, values: Values, reasons: Mapping[str, str]) -> None:
        """Note a longer plan; what came of the shorter one is no end any more."""
        self.result_file.unlink(missing_ok=True)
        plan = read_json(self.plan_file)
        for name in ("steps", "epochs", "total_steps", "total_seconds"):
            for noted, now in (("values", values), ("reasons", reasons)):
                if name in now:
                    plan[noted][name] = now[name]
                else:
                    plan[noted].pop(name, None)
        plan["extended"] = [*plan.get("extended", []), extension.model_dump(mode="json")]
        write_json(self.plan_file, plan)

    def conclude(self, result: Figures) -> None:
        """Note what came of it; what was noted before stays."""
        write_json(self.result_file, result)

    # -- what happened -----------------------------------------------------------------------------

    def open_metrics(self) -> TextIO:
        return open(self.metrics_file, "a", encoding="utf-8")

    def forget_metrics(self, step: int) -> None:
        """Drop what was noted after the checkpoint that a run goes on from: those steps are taken
        again."""
        path = self.metrics_file
        lines = path.read_text("utf-8", "replace").splitlines() if path.is_file() else []
        with written_beside(path) as beside, beside.open("w", encoding="utf-8") as file:
            for line in lines:
                # a kill may have cut the last one short, or a disk have damaged any
                with suppress(ValueError, TypeError, KeyError, RecursionError):
                    record = json.loads(line)
                    if record["step"] <= step and record["kind"] != "result":
                        file.write(line + "\n")

    # -- going on or not ---------------------------------------------------------------------------

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, `is_running` is true. The error that a run fails with stays noted.

        The sign is a lock on `training/process.json`, which the system takes away from a process
        that ends, whatever ends it; so neither a kill nor the process numbers of another container
        deceive.
        """
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        with self.process_file.open("a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self.in_other_hands() from None
            except OSError:
                pass  # a file system without locks: nobody knows that the run is going on
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
        return XinyeError(
            f"{self.path}: this run is still training; wait until it ends, or stop it first"
        )

    def is_running(self) -> bool:
        """Whether some process is training this run now."""
        try:
            with open_regular(self.process_file) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (OSError, XinyeError):
            pass
        return False
