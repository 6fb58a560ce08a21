"""One run while it trains: what it holds, and what happens between its first step and its
report."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TextIO

import torch

from xinye import machine
from xinye.checkpoints.folders import checkpoints, step_of
from xinye.errors import XinyeError
from xinye.model.adapters import after_step
from xinye.observer import Evaluated, Observer
from xinye.runs.card import write_card
from xinye.runs.folder import RunFolder
from xinye.runs.report import write_report
from xinye.runs.saved import read_run
from xinye.runs.store import Store
from xinye.tasks.task import with_words
from xinye.training.guards import explain_memory, interruptible
from xinye.training.job import Figures, Job, Run, Start
from xinye.training.loop import Loop, Step
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.schedule import Schedule
from xinye.training.trackers import Trackers

ADVICE = "start anew with --overwrite and a lower --learning-rate"
REFUSED = 5  # steps on end without a finite gradient, after which a run gives up


@dataclass
class Progress:
    """Where a run stands; a checkpoint keeps it."""

    step: int = 0  # steps done
    seconds: float = 0.0  # spent in them
    # The best evaluation: its step, its figure, and how many were no better `worse_since`.
    best: dict[str, Any] = field(default_factory=dict)
    before: Figures | None = None


class MetricsFile(Observer):
    """`metrics.jsonl`: a line for each step, evaluation and refused step."""

    def __init__(self, file: TextIO) -> None:
        self.file = file

    def step(self, step: Step, steps: int) -> None:
        self._write({"kind": "step", **asdict(step)})

    def evaluated(self, evaluated: Evaluated) -> None:
        self._write(evaluated.as_record())

    def refused(self, step: int, texts: Sequence[str]) -> None:
        self._write({"kind": "refused", "step": step, "texts": [*texts]})

    def _write(self, record: dict[str, Any]) -> None:
        self.file.write(json.dumps(record, ensure_ascii=False) + "\n")
        self.file.flush()


class Session:
    """A run's model, optimizers, schedule, progress and observers, from its first step to its
    report."""

    def __init__(self, begun: Start, job: Job) -> None:
        self.group, self.folder, self.job, self.plan = begun.group, begun.folder, job, job.plan
        self.observer, self.stopwatch = begun.observer, begun.stopwatch
        self.files = RunFolder(begun.folder)
        self.model = job.network()
        self.optimizers = make_optimizers(
            self.model,
            Optimization(
                self.plan.optimizer,
                self.plan.learning_rate,
                self.plan.matrix_learning_rate or 0.0,
                self.plan.weight_decay,
                self.plan.l1,
                self.model.compute_dtype,
            ),
        )
        self.store = Store(self.folder, self.model, job.tokenizer, self.optimizers, job.base)
        self.loss_sum = self.group.together(job.loss_sum(self.model))
        self.progress = Progress()
        self.first_step = 0
        self.totals = self.plan.totals
        self.tokens = 0  # counted in this process's life
        self.trained_before = 0.0  # seconds
        self.refused = 0  # steps on end whose gradient was not finite
        self.results: dict[str, Any] = {}
        self.judged: Figures = {}
        dtype = getattr(torch, self.plan.dtype)
        self.speed = (machine.matrix_speed(machine.device(), dtype) or math.inf) * self.group.count

    def resume(self) -> None:
        """Go on where the last checkpoint stands."""
        with self.group.main_process_first():
            saved = self.store.load()
        self.progress = Progress(
            saved["step"], saved["seconds"], saved.get("best") or {}, saved.get("before")
        )
        self.first_step, self.trained_before = self.progress.step, self.progress.seconds
        if self.plan.seconds is not None:  # the clock plans the rest
            self.totals = tuple(pair for pair in self.totals if pair[0] <= self.first_step)
        if self.group.first:
            self.files.forget_metrics(self.first_step)
            if self.plan.seconds is not None:
                self.files.note_totals(self.totals)

    def run(self) -> Run:
        """Train, and write down what came of it."""
        self.schedule = Schedule(
            self.totals,
            self.plan.warmup,
            self.plan.schedule,
            self.plan.decay,
            self.plan.evaluations,
        )
        self.schedule.clock = self.clock = self.job.clock(self.trained_before)
        self.stopwatch.lap("planning")
        first = self.group.first
        track = self.plan.track if first else ()
        described: dict[str, Any] = {}  # what the trackers tell of the run
        if track:
            self.observer.stage(f"opening {', '.join(track)}")
            planned = {
                name: value for name, value in asdict(self.plan).items() if value is not None
            }
            del planned["reasons"]
            described = planned | self.files.about()["settings"] | self.plan.values
        try:
            with (
                self.files.in_use() if first else nullcontext(),
                Trackers(
                    track, self.folder, described, self.first_step, self.observer.warn
                ) as self.trackers,
                explain_memory(self.plan.micro_batch_size, self.plan.context),
                interruptible(self.observer.stage) as self.interrupted,
                self.files.open_metrics() if first else open(os.devnull, "w") as metrics,
            ):
                self.observers = (MetricsFile(metrics), self.trackers, self.observer)
                self.take_steps()
                return self.concluded()
        finally:
            if first:
                write_pages(self.folder, self.observer)

    # -- the steps ---------------------------------------------------------------------------------

    def take_steps(self) -> None:
        """All steps; validate, write a sample and save at even shares of the run and at its end."""
        self.model.train()
        if self.job.judge_first and self.group.first and not self.first_step:
            self.observer.stage("judging the model as it is")
            self.progress.before = self.judge("before", last=True)
            self.stopwatch.lap("validation")
        for record in self.records():
            self.after(record)
            if self.group.any(bool(self.interrupted()) or self.exhausted()):
                break
        if not self.group.first:
            return
        if self.exhausted():
            self.store.go_back(self.progress.best["step"])
        else:
            self.check_finite()
            self.save()
        if not self.interrupted():
            self.judged = self.judge("result", last=True)
            self.results = self.job.results(self.model, self.progress.before)
            self.stopwatch.lap("samples")

    def records(self) -> Iterator[Step]:
        """One for each step, as it is taken."""
        trained = [each for each in self.model.parameters() if each.requires_grad]
        steps = () if self.exhausted() else self.schedule.steps_from(self.first_step)
        loop = Loop(
            self.loss_sum, trained, self.optimizers, self.job.micro_batches, self.schedule.rate,
            self.plan.clip, self.plan.seed, self.group, self.follow,
        )  # fmt: skip
        if self.clock:
            self.clock.pass_by()
        return loop.take(steps)

    def after(self, record: Step) -> None:
        """What a step is followed by."""
        self.progress.step = record.step
        self.progress.seconds += record.seconds
        self.tokens += record.tokens
        flops = record.tokens * self.job.tokens_per_target * self.job.flops_per_token
        utilization = round(flops / record.seconds / self.speed, 4)
        record = replace(record, model_flops_utilization=utilization)
        for observer in self.observers:
            observer.step(record, self.schedule.steps)
        self.stopwatch.lap("training")
        self.check_gradient(record)
        if self.clock:
            self.clock.stepped()
        if self.schedule.plan_anew(record.step, self.group) and self.group.first:
            self.files.note_totals(self.schedule.totals)
        if (
            self.group.first
            and self.schedule.evaluation_due(record.step)
            and not self.interrupted()
        ):
            self.evaluate()

    def follow(self, step: int) -> None:
        """AdaLoRA's allocator follows the share of the run that is done, in steps of the first
        plan."""
        planned = self.totals[0][1]
        after_step(self.model, round(self.schedule.share(step) * planned), planned)

    def check_gradient(self, record: Step) -> None:
        """Keep the text of a step whose gradient is not finite, for a person to look at; give up
        after some."""
        if math.isfinite(record.gradient_norm):
            self.refused = 0
            return
        self.refused += 1
        texts = self.job.texts(record.step)
        for observer in self.observers:
            observer.refused(record.step, texts)
        if self.refused == REFUSED:
            what = f"the gradient was not finite in {self.refused} steps on end"
            raise XinyeError(f"{self.folder}: {what}; {ADVICE}", 1)

    # -- evaluations -------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """Judge the model on the way, and save it."""
        self.check_finite()
        self.judged = self.judge("validation", last=False)
        self.note_best(self.judged[self.job.better])
        self.save()
        if self.clock:
            self.clock.evaluated()

    def judge(self, kind: Literal["before", "validation", "result"], last: bool) -> Figures:
        """The figures of the model as it is, noted and shown with a sample."""
        step = self.progress.step
        figures = self.job.validate(self.model, last)
        self.stopwatch.lap("validation")
        sample = self.job.sample(self.model, step)
        spent, shown = self.progress.seconds, self.job.figures
        evaluated = Evaluated(kind, step, spent, sample, figures, shown)
        for observer in self.observers:
            observer.evaluated(evaluated)
        self.stopwatch.lap("samples")
        return figures

    def note_best(self, figure: float) -> None:
        """Remember the best evaluation, and how many followed that were no better."""
        best, name = self.progress.best, self.job.better
        sign = 1 if self.job.lower_is_better else -1
        if not best or sign * (figure - best[name]) < 0:
            self.progress.best = {"step": self.progress.step, name: figure, "worse_since": 0}
        else:
            best["worse_since"] = best.get("worse_since", 0) + 1

    def exhausted(self) -> bool:
        """Whether patience is at its end."""
        patience = self.plan.patience
        return patience is not None and self.progress.best.get("worse_since", 0) >= patience

    def check_finite(self) -> None:
        if not all(bool(torch.isfinite(each).all()) for each in self.model.parameters()):
            step = self.progress.step
            raise XinyeError(
                f"{self.folder}: at step {step} the weights are no longer finite; {ADVICE}",
                exit_code=1,
            )

    def save(self) -> None:
        wanted = self.plan.keep_checkpoints or 2
        there = [step_of(path) for path in checkpoints(self.folder)]
        keep = there if wanted == "all" else there[1 - wanted :]
        if self.progress.best:
            keep.append(self.progress.best["step"])
        self.store.save(asdict(self.progress), keep)
        self.stopwatch.lap("saving")

    # -- the end -----------------------------------------------------------------------------------

    def concluded(self) -> Run:
        """What came of it, as `result.json` holds it."""
        job, progress = self.job, self.progress
        spent = progress.seconds - self.trained_before
        per_second = self.tokens * job.tokens_per_target / max(1e-9, spent)
        run = Run(
            run=str(self.folder),
            parameters=self.plan.parameters,
            steps=progress.step,
            tokens=round(progress.step * job.tokens_per_step),
            seconds=round(progress.seconds, 2),
            tokens_per_second=round(per_second, 1),
            model_flops_utilization=round(per_second * job.flops_per_token / self.speed, 4),
            validation=rounded(self.judged, job.figures),
            interrupted=self.interrupted(),
            stopped_early=self.exhausted(),
            model_step=progress.best["step"] if self.exhausted() else progress.step,
            before=rounded(progress.before, job.figures) if progress.before else None,
        )
        self.trackers.result(asdict(run))
        if self.group.first:
            measured = {
                "time_seconds": {
                    name: round(spent, 3) for name, spent in self.stopwatch.seconds.items()
                },
                "first_step": self.first_step,
                "matrix_flops_per_second": round(self.speed) if math.isfinite(self.speed) else None,
                "peak_memory_bytes": machine.peak_memory_bytes(machine.device()),
            }
            self.files.conclude(asdict(run) | measured | self.results)
        return run


def rounded(figures: Figures, names: Sequence[str]) -> Figures:
    return {name: round(figures[name], 5) for name in names if name in figures}


def write_pages(output: Path, observer: Observer) -> None:
    """Write the run's report and model card; a run is none the worse where that fails."""
    try:
        write_report(with_words(read_run(output)))
        write_card(with_words(read_run(output)))
    except (OSError, XinyeError) as error:
        observer.stage(f"no report ({error})")
