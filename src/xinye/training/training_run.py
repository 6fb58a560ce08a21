"""The middle of every job that trains: take the steps, validate, save, note everything, and end when asked to."""

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.checkpoints.huggingface import write_json
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import after_step
from xinye.model.build import LanguageModel
from xinye.model.heads import Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.card import write_card
from xinye.runs.folder import read_run, training_process
from xinye.runs.report import write_report
from xinye.runs.store import Store
from xinye.training.calibrate import SMALLER, out_of_memory
from xinye.training.distributed import Processes
from xinye.training.loop import Counted, train
from xinye.training.schedule import Schedule
from xinye.training.stopwatch import Stopwatch
from xinye.training.trackers import Trackers
from xinye.watcher import Watcher

ADVICE = "start anew with --overwrite and a lower --learning-rate"


@dataclass(frozen=True)
class Run:
    """A finished (or interrupted) run: its folder and its figures. `model_step` is the step that its model is of."""

    run: str
    parameters: int
    steps: int
    tokens: int
    seconds: float
    tokens_per_second: float
    model_flops_utilization: float
    validation: dict[str, float]
    interrupted: int = 0  # the signal's number
    stopped_early: bool = False
    model_step: int = 0
    before: dict[str, float] | None = None  # the validation of the model that the run began with


@dataclass(frozen=True)
class Job:
    """What a run asks the job that it is made for."""

    validate: Callable[
        [bool], dict[str, float]
    ]  # the figures during the run and, where True, at its end
    sample: Callable[[int], str]  # a text that shows what the model can do after a step
    read: Callable[[int], Sequence[str]]  # the texts of a step's batch
    results: Callable[
        [dict[str, float] | None], dict[str, Any]
    ]  # for result.json, from what was judged first
    figures: tuple[str, ...]  # which of them a run is known by
    better: str  # the one that says which checkpoint is the best
    lower_is_better: bool
    tokens_per_step: float
    flops_per_token: float  # floating-point operations to train on one
    tokens_per_target: float = 1.0  # tokens read for each target that the loss counts
    judge_first: bool = False  # the figures of the end also before the first step


def run_training(
    group: Processes,
    output: Path,
    settings: PretrainSettings | FinetuneSettings,
    values: dict[str, Any],
    tokenizer: Tokenizer,
    model: LanguageModel | Head,
    optimizers: list[torch.optim.Optimizer],
    loss_sum: nn.Module,
    micro_batches: Callable[[int], Sequence[Counted]],
    progress: dict[str, Any],
    job: Job,
    schedule: Schedule,
    watcher: Watcher,
    stopwatch: Stopwatch,
) -> Run:
    """A run from its first step to its report; `values` are those of the plan, `progress` is where to begin."""
    track = settings.track if group.first else ()
    if track:
        watcher.stage(f"opening {', '.join(track)}")
    told = settings.model_dump(mode="json", exclude_none=True) | values
    try:
        with (
            training_process(output) if group.first else nullcontext(),
            Trackers(track, output, told, progress["step"], watcher.warn) as trackers,
            memory_told(values),
        ):
            return take_steps(
                group, output, settings, values, tokenizer, model, optimizers, loss_sum, micro_batches, progress, job,
                schedule, watcher, stopwatch, trackers,
            )  # fmt: skip
    finally:
        if group.first:
            report(output, watcher)


def take_steps(
    group: Processes,
    output: Path,
    settings: PretrainSettings | FinetuneSettings,
    values: dict[str, Any],
    tokenizer: Tokenizer,
    model: LanguageModel | Head,
    optimizers: list[torch.optim.Optimizer],
    loss_sum: nn.Module,
    micro_batches: Callable[[int], Sequence[Counted]],
    progress: dict[str, Any],
    job: Job,
    schedule: Schedule,
    watcher: Watcher,
    stopwatch: Stopwatch,
    trackers: Trackers,
) -> Run:
    """Take the steps; validate, write a sample and save at even shares of the run and at its end; note everything.

    `values` are those of the plan, `progress` is where to begin.
    """
    first_step, trained_seconds, best = (
        progress["step"],
        progress["seconds"],
        progress.get("best") or {},
    )
    clock, planned = schedule.clock, schedule.totals[0][1]
    before: dict[str, float] | None = progress.get("before")
    figures: dict[str, float] = {}
    results: dict[str, Any] = {}
    speed = (
        machine.matrix_speed(machine.device(), getattr(torch, values["dtype"])) or math.inf
    ) * group.count
    refused = 0  # steps on end whose gradient was not finite
    done, tokens, seconds = first_step, 0, trained_seconds
    base = settings.model if isinstance(settings, FinetuneSettings) else ""
    store = Store(output, model, tokenizer, optimizers, base)
    model.train()
    with (
        interruptible(watcher) as interrupted,
        open(
            output / "training" / "metrics.jsonl" if group.first else os.devnull,
            "a",
            encoding="utf-8",
        ) as metrics,
    ):

        def note(**record: Any) -> None:
            metrics.write(json.dumps(record, ensure_ascii=False) + "\n")
            metrics.flush()
            trackers.note(record)

        def exhausted() -> bool:
            return settings.patience is not None and best.get("worse_since", 0) >= settings.patience

        def follow(step: int) -> None:
            """AdaLoRA's allocator follows the share of the run that is done, in steps of the first plan."""
            after_step(model, round(schedule.share(step) * planned), planned)

        def save() -> None:
            progress = {"step": done, "seconds": seconds, "best": best, "before": before}
            keep = [best["step"]] if best else []
            store.save(progress, keep)
            stopwatch.lap("saving")

        if job.judge_first and group.first and not first_step:
            watcher.stage("judging the model as it is")
            before, sample = job.validate(True), job.sample(0)
            note(kind="before", step=0, seconds=0.0, sample=sample, **before)
            watcher.validated(0, {name: before[name] for name in job.figures}, sample)
            stopwatch.lap("validation")
        records = train(
            loss_sum, [parameter for parameter in model.parameters() if parameter.requires_grad], optimizers,
            micro_batches, schedule.rate, () if exhausted() else schedule.steps_from(first_step), settings.clip,
            settings.seed, group, follow,
        )  # fmt: skip
        if clock:
            clock.pass_by()
        for record in records:
            done, tokens, seconds = record.step, tokens + record.tokens, seconds + record.seconds
            flops = record.tokens * job.tokens_per_target * job.flops_per_token
            utilization = round(flops / record.seconds / speed, 4)
            note(kind="step", **asdict(record), model_flops_utilization=utilization)
            watcher.step(record, schedule.steps)
            stopwatch.lap("training")
            refused = 0 if math.isfinite(record.gradient_norm) else refused + 1
            if refused:  # its text is kept, for a person to look at
                note(kind="refused", step=done, texts=job.read(done))
            if refused == 5:
                raise XinyeError(
                    f"{output}: the gradient was not finite in {refused} steps on end; {ADVICE}", 1
                )
            if clock:
                clock.stepped()
            if schedule.plan_anew(done, group) and group.first:
                note_totals(output, schedule.totals)
            if group.first and schedule.evaluation_due(done) and not interrupted():
                check_finite(model, output, done)
                figures = job.validate(False)
                stopwatch.lap("validation")
                if (
                    not best
                    or (figures[job.better] - best[job.better]) * (1 if job.lower_is_better else -1)
                    < 0
                ):
                    best = {"step": done, job.better: figures[job.better], "worse_since": 0}
                else:
                    best["worse_since"] = best.get("worse_since", 0) + 1
                sample = job.sample(done)
                note(kind="validation", step=done, seconds=seconds, sample=sample, **figures)
                watcher.validated(done, {name: figures[name] for name in job.figures}, sample)
                stopwatch.lap("samples")
                save()
                if clock:
                    clock.evaluated()
            if group.any(bool(interrupted()) or exhausted()):
                break
        if group.first and exhausted():
            store.go_back(best["step"])
        elif group.first:
            check_finite(model, output, done)
            save()
        if group.first and not interrupted():
            figures = job.validate(True)
            stopwatch.lap("validation")
            sample = job.sample(done)
            note(kind="result", step=done, seconds=seconds, sample=sample, **figures)
            watcher.validated(done, {name: figures[name] for name in job.figures}, sample)
            results = job.results(before)
            stopwatch.lap("samples")
    per_second = tokens * job.tokens_per_target / max(1e-9, seconds - trained_seconds)
    run = Run(
        run=str(output),
        parameters=values["parameters"],
        steps=done,
        tokens=round(done * job.tokens_per_step),
        seconds=round(seconds, 2),
        tokens_per_second=round(per_second, 1),
        model_flops_utilization=round(per_second * job.flops_per_token / speed, 4),
        validation=rounded(figures, job.figures),
        interrupted=interrupted(),
        stopped_early=exhausted(),
        model_step=best["step"] if exhausted() else done,
        before=rounded(before, job.figures) if before else None,
    )
    trackers.result(asdict(run))
    more = {
        "time_seconds": {name: round(spent, 3) for name, spent in stopwatch.seconds.items()},
        "first_step": first_step,
        "matrix_flops_per_second": round(speed),
        "peak_memory_bytes": machine.peak_memory_bytes(machine.device()),
        **results,
    }
    if group.first:
        write_json(output / "training" / "result.json", {**asdict(run), **more})
    return run


def note_totals(output: Path, totals: Sequence[tuple[int, int]]) -> None:
    """Add to a run's plan how many steps are planned now."""
    path = output / "training" / "plan.json"
    plan = read_json(path)
    plan["values"] |= {"steps": totals[-1][1], "total_steps": [*totals]}
    write_json(path, plan)


def rounded(figures: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    return {name: round(figures[name], 5) for name in names if name in figures}


def report(output: Path, watcher: Watcher) -> None:
    """Write the run's report and model card; a run is none the worse where that fails."""
    try:
        write_report(read_run(output))
        write_card(read_run(output))
    except (OSError, XinyeError) as error:
        watcher.stage(f"no report ({error})")


def check_finite(model: LanguageModel | Head, output: Path, step: int) -> None:
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise XinyeError(
            f"{output}: at step {step} the weights are no longer finite; {ADVICE}", exit_code=1
        )


@contextmanager
def repeatable() -> Iterator[None]:
    """Inside, a run on a CPU gives the same numbers again, also a compiled one (for 1 to 3 % of its speed)."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(before or machine.device().type == "cpu")
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


@contextmanager
def interruptible(watcher: Watcher) -> Iterator[Callable[[], int]]:
    """Inside, the first Ctrl-C or SIGTERM is only noted, and the function tells its number; the same again ends the
    program as usual."""
    asked = 0

    def ask(number: int, frame: Any) -> None:
        nonlocal asked
        asked = number
        signal.signal(number, before[number])
        again = "Ctrl-C" if number == signal.SIGINT else "the same signal"
        watcher.stage(f"finishing this step and saving; {again} again leaves at once")

    numbers = (
        (signal.SIGINT, signal.SIGTERM)
        if threading.current_thread() is threading.main_thread()
        else ()
    )
    before = {int(number): signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number in numbers:
            signal.signal(number, before[number])


@contextmanager
def memory_told(values: dict[str, Any]) -> Iterator[None]:
    """Where memory runs out inside, the error says what fits."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        micro, tokens = values["micro_batch_size"], values["micro_batch_size"] * values["context"]
        advice = f"take half of them, --micro-batch-size {micro // 2}, also with --resume: the result stays the same"
        if micro == 1:
            advice = SMALLER
        raise XinyeError(
            f"out of memory with {micro} windows, {tokens:,} tokens, at once; {advice}", 1
        ) from error
