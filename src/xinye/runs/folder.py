"""The files of a run: the one place that reads and writes what lies in its `training/`.

`settings.json` is what it was started with, `plan.json` what followed from that, `metrics.jsonl`
what happened, `result.json` what came of it, and `process.json` says that it is going on. Whoever
trains reads strictly; whoever lists runs reads whatever is there, and notes the damage. Needs no
torch.
"""

import fcntl
import json
import math
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, TextIO

from pydantic import BaseModel, ConfigDict, Field

from xinye.data.files import open_regular, read_json, write_json
from xinye.errors import XinyeError, checked

SETTINGS, PLAN, METRICS = "settings.json", "plan.json", "metrics.jsonl"
RESULT, PROCESS = "result.json", "process.json"


class RunFolder:
    """A run's folder; raises `XinyeError` where a file is damaged."""

    def __init__(self, path: Path) -> None:
        self.path, self.training = path, path / "training"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def exists(self) -> bool:
        """Whether it is a run's; one that may not be looked into is taken for a run that is
        damaged."""
        try:
            return (self.training / SETTINGS).exists()
        except PermissionError:
            return True

    # -- what it was started with, what followed, what came of it ----------------------------------

    def about(self) -> dict[str, Any]:
        """What it was started with."""
        return read_json(self.training / SETTINGS)

    def plan(self) -> dict[str, Any]:
        """The values of its plan."""
        values = read_json(self.training / PLAN).get("values")
        if not isinstance(values, dict):
            what = "damaged, it holds no values; start the run anew with --overwrite"
            raise XinyeError(f"{self.training / PLAN}: {what}", exit_code=1)
        return values

    def result(self) -> dict[str, Any]:
        """What came of it; empty where it has not ended."""
        path = self.training / RESULT
        return read_json(path) if path.is_file() else {}

    @property
    def ended(self) -> bool:
        """Whether it came to its end, and was not interrupted."""
        return not self.result().get("interrupted", True)

    def start(self, about: dict[str, Any], plan: dict[str, Any]) -> None:
        """Make it a run's folder."""
        self.training.mkdir(parents=True, exist_ok=True)
        write_json(self.training / SETTINGS, about)
        write_json(self.training / PLAN, plan)

    def note_totals(self, totals: Sequence[tuple[int, int]]) -> None:
        """Note in the plan how many steps are planned now."""
        plan = read_json(self.training / PLAN)
        plan["values"] |= {"steps": totals[-1][1], "total_steps": [*totals]}
        write_json(self.training / PLAN, plan)

    def conclude(self, result: dict[str, Any]) -> None:
        """Note what came of it; what was noted before stays."""
        write_json(self.training / RESULT, result)

    # -- what happened -----------------------------------------------------------------------------

    def open_metrics(self) -> TextIO:
        return open(self.training / METRICS, "a", encoding="utf-8")

    def forget_metrics(self, step: int) -> None:
        """Drop what was noted after the checkpoint that a run goes on from: those steps are taken
        again."""
        path = self.training / METRICS
        lines = path.read_text("utf-8").splitlines() if path.is_file() else []
        beside = path.with_name(f".{METRICS}.new")
        with beside.open("w", encoding="utf-8") as file:
            for line in lines:
                with suppress(ValueError):  # a kill may have cut the last one short
                    record = json.loads(line)
                    if record["step"] <= step and record["kind"] != "result":
                        file.write(line + "\n")
        beside.replace(path)

    # -- going on or not ---------------------------------------------------------------------------

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Inside, `is_running` is true. The error that a run fails with stays noted.

        The sign is a lock on `training/process.json`, which the system takes away from a process
        that ends, whatever ends it; so neither a kill nor the process numbers of another container
        deceive.
        """
        path = self.training / PROCESS
        process = {"pid": os.getpid(), "host": socket.gethostname()}
        with open(path, "w", encoding="utf-8") as file:
            # a file system without locks: nobody knows that the run is going on; so be it
            with suppress(OSError):
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

    def is_running(self) -> bool:
        """Whether some process is training this run now."""
        try:
            with open_regular(self.training / PROCESS) as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except (OSError, XinyeError):
            pass
        return False


# -- reading what is there -------------------------------------------------------------------------


Count = Annotated[int, Field(ge=0, lt=2**63)]
Figure = Annotated[float, Field(allow_inf_nan=False)]
Figures = dict[str, Any]


class _Part(BaseModel):
    """What is read of a file, or of a part of it, where it is there; whatever else stands in it is
    not looked at."""

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


def read_part(
    path: Path, form: type[_Part] = _Part, damage: list[str] | None = None
) -> dict[str, Any]:
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


Records = list[dict[str, Any]]


def read_metrics(path: Path, damage: list[str]) -> tuple[Records, Records]:
    """Steps and validations. A step that stands there again was taken again, and so was all behind
    it."""
    steps: Records = []
    validations: Records = []
    try:
        with open_regular(path) as file:
            data = file.read()
    except FileNotFoundError:
        return steps, validations
    except (OSError, XinyeError) as error:
        damage.append(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})")
        return steps, validations
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
        while validations and validations[-1]["step"] >= step:
            validations.pop()
        if kind == "step":
            while steps and steps[-1]["step"] >= step:
                steps.pop()
            steps.append(record)
        else:
            validations.append(record)
    return steps, validations


def _is_record(record: Any) -> bool:
    """Whether a line of metrics.jsonl is what a run notes; of a run that diverges a loss may be
    infinite."""
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
