"""`metrics.jsonl`, and experiment trackers: TensorBoard, Weights & Biases, MLflow, each an optional
extra.

Everything they get is in `metrics.jsonl`, too. Nothing leaves this machine unless the user's
environment says so (`WANDB_MODE`, `MLFLOW_TRACKING_URI`). A tracker that fails never stops a run.
"""

import html
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Literal, TextIO

from xinye.errors import reason_of
from xinye.libraries import install_command, installed
from xinye.observer import Evaluated, Observer
from xinye.runs.store import cannot_save
from xinye.training.job import Run
from xinye.training.loop import Step

SECONDS = 10  # the time between two sends; many steps at once cost less than each alone
Point = tuple[int, float, dict[str, float]]  # step, time since the epoch, figures by name
Config = Mapping[str, object]  # the settings and the plan of a run, by name
Status = Literal["FINISHED", "FAILED", "KILLED"]  # MLflow's names


class MetricsFile(Observer):
    """Writes `metrics.jsonl`: a line for each step, evaluation and refused step."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def step(self, step: Step, steps: int) -> None:
        self._write("step", asdict(step))

    def evaluated(self, evaluated: Evaluated) -> None:
        about = {name: getattr(evaluated, name) for name in ("step", "seconds", "sample")}
        self._write(evaluated.kind, about | evaluated.figures)

    def refused(self, step: int, texts: Sequence[str]) -> None:
        self._write("refused", {"step": step, "texts": [*texts]})

    def ended(self, outcome: Run | BaseException) -> None:
        with suppress(OSError):  # of a line that could not be written, which was an error then
            self.file.close()

    def _write(self, kind: str, record: Mapping[str, object]) -> None:
        try:
            self.file.write(json.dumps({"kind": kind, **record}, ensure_ascii=False) + "\n")
            self.file.flush()
        except OSError as error:
            raise cannot_save(Path(self.file.name).parents[1], error) from error


class TensorBoard:
    """Writes event files to `training/tensorboard`; `tensorboard --logdir runs` shows all runs."""

    def __init__(self, run: Path, config: Config, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        # Points after the checkpoint are dropped, because their steps are taken again.
        purge = first_step + 1 if first_step else None
        self.writer = SummaryWriter(str(run / "training" / "tensorboard"), purge_step=purge)
        if not first_step:
            values = {
                name: value if type(value) in (int, float) else str(value)
                for name, value in config.items()
            }
            for summary in hparams(
                values, {"validation/loss": None, "validation/bits_per_byte": None}
            ):
                self.writer.file_writer.add_summary(summary)  # type: ignore[attr-defined]

    def log(self, points: Sequence[Point]) -> None:
        for step, when, figures in points:
            for name, value in figures.items():
                self.writer.add_scalar(name, value, step, when)

    def write(self, sample: str, step: int) -> None:
        self.writer.add_text("sample", sample, step)

    def finish(self, status: Status) -> None:
        self.writer.close()


class WandB:
    """A Weights & Biases run in `training/wandb`, offline unless `WANDB_MODE` says otherwise.

    A resumed run keeps its id. `wandb sync runs/…/training/wandb/offline-run-*` uploads its parts.
    """

    def __init__(self, run: Path, config: Config, first_step: int) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # this is its telemetry
        import wandb

        remembered = run / "training" / "wandb" / "run-id"
        self.wandb = wandb
        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "xinye"),
            name=str(run),
            dir=run / "training",
            id=remembered.read_text("utf-8") if first_step and remembered.exists() else None,
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            config=None if first_step else dict(config),
            settings=wandb.Settings(silent=True, console="off"),
        )
        remembered.parent.mkdir(exist_ok=True)
        remembered.write_text(self.run.id, "utf-8")

    def log(self, points: Sequence[Point]) -> None:
        for step, when, figures in points:
            self.run.log({**figures, "_timestamp": when}, step)

    def write(self, sample: str, step: int) -> None:
        page = (
            f'<meta charset="utf-8"><pre style="white-space: pre-wrap">{html.escape(sample)}</pre>'
        )
        self.run.log({"sample": self.wandb.Html(page, inject=False)}, step)

    def finish(self, status: Status) -> None:
        self.run.finish(exit_code=0 if status == "FINISHED" else 1)


class MLflow:
    """A run in the SQLite store `training/mlflow.db`, with samples in `training/mlflow`; or at
    `MLFLOW_TRACKING_URI`.

    A resumed run continues the same MLflow run, where repeated steps appear twice.
    """

    def __init__(self, run: Path, config: Config, first_step: int) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        # Otherwise it would wait four minutes for a server that does not answer.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient, entities

        # Errors are raised, and Xinye reports them.
        logging.getLogger("mlflow").setLevel(logging.CRITICAL)
        folder = run.absolute() / "training" / "mlflow"
        folder.mkdir(exist_ok=True)
        remembered, elsewhere = folder / "run-id", os.environ.get("MLFLOW_TRACKING_URI")
        self.entities, self.client = entities, MlflowClient(elsewhere or f"sqlite:///{folder}.db")
        if first_step and remembered.exists():
            self.id = remembered.read_text("utf-8")
            self.client.update_run(self.id, "RUNNING")
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "xinye")
        found = self.client.get_experiment_by_name(name)
        place = None if elsewhere else folder.as_uri()
        experiment = found.experiment_id if found else self.client.create_experiment(name, place)
        self.id = self.client.create_run(experiment, run_name=str(run)).info.run_id
        remembered.write_text(self.id, "utf-8")
        self.client.log_batch(
            self.id, params=[entities.Param(name, str(value)) for name, value in config.items()]
        )

    def log(self, points: Sequence[Point]) -> None:
        metrics = [
            self.entities.Metric(name, value, round(1000 * when), step)
            for step, when, figures in points
            for name, value in figures.items()
        ]
        for first in range(0, len(metrics), 1000):  # MLflow takes no more at once
            self.client.log_batch(self.id, metrics=metrics[first : first + 1000])

    def write(self, sample: str, step: int) -> None:
        self.client.log_text(self.id, sample, f"samples/step-{step:08d}.txt")

    def finish(self, status: Status) -> None:
        self.client.set_terminated(self.id, status)


Tracker = TensorBoard | WandB | MLflow
CLASSES: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}


def warn_of_missing(names: Sequence[str], warn: Callable[[str], None]) -> None:
    """Warn of each tracker whose package is not installed. `Trackers` leaves those out."""
    for name in names:
        if not installed(name):
            needed = f"it needs {name}, to install with {install_command(name)}"
            warn(f"--track {name}: {needed}; training continues without it")


class Trackers(Observer):
    """Sends the events of a run to the trackers that the user chose. One that fails gives one
    warning and is dropped."""

    def __init__(
        self,
        names: Sequence[str],
        run: Path,
        config: Config,
        first_step: int,
        warn: Callable[[str], None],
    ) -> None:
        self.complain = warn
        self.trackers: dict[str, Tracker] = {}
        self.points: list[Point] = []  # not yet sent
        self.sent = time.time()
        for name in filter(installed, names):
            with self._or_without(name):
                self.trackers[name] = CLASSES[name](run, config, first_step)

    def step(self, step: Step, steps: int) -> None:
        values = {name: getattr(step, name) for name in ("loss", "gradient_norm", "rate_factor")}
        self._add("training", step.step, values | {"tokens_per_second": step.tokens / step.seconds})
        if time.time() > self.sent + SECONDS:
            self._send()

    def evaluated(self, evaluated: Evaluated) -> None:
        counts = ("tokens", "bytes")
        values = {name: each for name, each in evaluated.figures.items() if name not in counts}
        self._add("validation", evaluated.step, values)
        self._send()
        self._each(lambda tracker: tracker.write(evaluated.sample, evaluated.step))

    def ended(self, outcome: Run | BaseException) -> None:
        """Send the final figures and close all trackers."""
        status: Status = "FAILED"
        if isinstance(outcome, Run):
            status = "KILLED" if outcome.interrupted else "FINISHED"
            values = {**asdict(outcome), **outcome.validation}
            del values["interrupted"]
            self._add("result", outcome.steps, values)
        self._send()
        self._each(lambda tracker: tracker.finish(status))

    def _add(self, kind: str, step: int, values: Mapping[str, object]) -> None:
        figures = {
            f"{kind}/{name}": value
            for name, value in values.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        self.points.append((step, time.time(), figures))

    def _send(self) -> None:
        points, self.points, self.sent = self.points, [], time.time()
        self._each(lambda tracker: tracker.log(points))

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self.trackers.items()):
            with self._or_without(name):
                call(tracker)

    @contextmanager
    def _or_without(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.trackers.pop(name, None)
            reason = reason_of(error) or type(error).__name__
            if isinstance(error, ImportError):
                reason = f"it needs {error.name}, to install with {install_command(name)}"
            self.complain(f"--track {name}: {reason}; training continues without it")
