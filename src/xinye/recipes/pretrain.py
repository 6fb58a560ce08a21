"""Pretrain a GPT on text, from scratch or going on with a model: from files to a run's folder.

Read the text and learn its tokenizer (or take the model's); tokenize once; derive the plan; train, validating and
saving as it goes; save the model as every tool of the field loads it.
"""

import json
import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.checkpoints.huggingface import write_json
from xinye.checkpoints.store import go_back, load_checkpoint, save_checkpoint
from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.bits_per_byte import evaluate
from xinye.evaluation.report import write_report
from xinye.evaluation.runs import is_running, read_run, training_process
from xinye.generation.generate import start
from xinye.model.build import LanguageModel, build
from xinye.recipes import plan as planning
from xinye.recipes.calibrate import calibrate, first_speed
from xinye.recipes.models import Models, load_models
from xinye.recipes.plan import Plan
from xinye.recipes.run_folder import (
    check_output,
    check_unchanged,
    default_output,
    forget_metrics,
    saved_settings,
    start_run,
)
from xinye.recipes.samples import write_sample, write_texts
from xinye.recipes.settings import PretrainSettings, parse_time
from xinye.recipes.text import Text, prepare_text, validation_windows
from xinye.recipes.watcher import Watcher
from xinye.training.distillation import DistillationLossSum
from xinye.training.distributed import Processes, processes
from xinye.training.loop import train
from xinye.training.optimizers import make_optimizers, rate_factor
from xinye.training.stopwatch import Stopwatch
from xinye.training.trackers import Trackers

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
    before: dict[str, float] | None = None  # the validation of the model that was gone on with


def pretrain(
    settings: PretrainSettings,
    watcher: Watcher | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
) -> Run | None:
    """Do what the settings say; None after a dry run. Raises `XinyeError` for whatever a person can put right.

    Where `torchrun` started several processes, all call this, and they train one model together.
    """
    with processes() as group:
        talking = watcher if watcher and group.first else Watcher()
        return pretrain_together(group, settings, talking, overwrite, resume, dry_run)


def pretrain_together(
    group: Processes, settings: PretrainSettings, watcher: Watcher, overwrite: bool, resume: bool, dry_run: bool
) -> Run | None:
    """The job, top to bottom. Only the first process writes files and validates; all take the steps."""
    stopwatch = Stopwatch()
    output = settings.output or default_output(settings)
    device = machine.device()
    if group.first and not dry_run and is_running(output):
        raise XinyeError(f"{output}: this run is going on; wait for its end, or stop it first")
    if resume:
        settings = saved_settings(output, settings.micro_batch_size)
    else:
        planning.check_size(settings, device)
        if group.first and not dry_run:
            check_output(output, overwrite)

    plan, models = Plan(), load_models(settings)
    with group.first_first():  # the others find the prepared text in the cache
        text = prepare_text(settings, plan, watcher, models)
    if resume:
        check_unchanged(output, text, models)
    stopwatch.lap("text")
    start(text.tokenizer, settings.prompt, text.training.context)  # a prompt that is too long is told of now
    if models.base:
        config = models.base.config
        planning.shape_of(plan, settings.from_ or "", config)
    else:
        config = planning.shape(plan, settings, text.tokenizer.vocab_size, text.training.context)
    planning.batches(plan, settings, config, device)
    planning.rates(plan, settings, config)
    planning.precision(plan, settings, device)
    values = plan.values
    if values["batch_size"] < group.count:
        raise XinyeError(f"a batch of {values['batch_size']} cannot be shared by {group.count} processes")
    micro_batches = partial(batches_of_step, text.training, values["batch_size"], values["micro_batch_size"], group)
    watcher.stage("measuring the speed")
    guess = math.inf if resume else first_speed(config, values["dtype"], micro_batches(0)[0].to(device), group)
    expected = planning.expected_steps(settings, len(text.training), values, guess)
    planning.regularisation(plan, settings, len(text.training), expected, guess)
    config = replace(config, dropout=values["dropout"])

    model = build(config).to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    loss_sum = group.together(make_loss_sum(model, models, settings, values, device))
    optimizers = make_all(model, settings, values)
    if settings.time is not None or not (settings.tokens or settings.epochs or settings.steps):
        seconds = parse_time(settings.time or "10min")
        with memory_told(values):
            steps, reason = calibrate(
                model, loss_sum, optimizers, micro_batches, text, settings, values, seconds, group
            )
        optimizers = make_all(model, settings, values)
    else:
        steps, reason = expected, planning.budget_reason(settings)
    planning.schedule(plan, settings, steps, reason)
    if group.count > 1:
        plan.choose("processes", None, group.count, "started together; no effect on the result")
    watcher.plan(plan)
    if dry_run:
        return None

    if models.base:
        model.load_state_dict(models.base.state_dict())
    else:
        model.initialize(settings.seed)
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if resume:
        with group.first_first():
            progress = load_checkpoint(output, model, optimizers)
        if group.first:
            forget_metrics(output, progress["step"])
    elif group.first:
        start_run(output, settings, plan, text, models, overwrite)
    stopwatch.lap("planning")
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
            return run_training(
                group, output, settings, plan, text, model, optimizers, loss_sum, micro_batches, progress, watcher,
                stopwatch, trackers,
            )  # fmt: skip
    finally:
        if group.first:
            report(output, watcher)


# -- before training -------------------------------------------------------------------------------------------------


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted targets."""

    def __init__(self, model: LanguageModel, compiled: bool, device: torch.device, label_smoothing: float) -> None:
        super().__init__()
        self.model = model
        self.loss = torch.compile(model.loss) if compiled else model.loss
        self.device, self.label_smoothing = device, label_smoothing

    def forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self.device)
        return self.loss(batch.tokens, batch.targets, batch.positions, batch.documents, self.label_smoothing)


def make_loss_sum(
    model: LanguageModel, models: Models, settings: PretrainSettings, values: dict[str, Any], device: torch.device
) -> nn.Module:
    if not models.teacher:
        return LossSum(model, values["compile"], device, settings.label_smoothing)
    models.teacher.compute_dtype = model.compute_dtype
    softened = values["temperature"], values["alpha"]
    return DistillationLossSum(model, models.teacher, *softened, values["compile"], device, settings.label_smoothing)


def batches_of_step(
    windows: Windows, batch_size: int, micro_batch_size: int, group: Processes, step: int
) -> list[Batch]:
    """The micro-batches of a step: windows `step × batch_size` and on, of those this process's share."""
    first, size = group.share(step * batch_size, batch_size)
    return [
        windows.batch(first + done, min(micro_batch_size, size - done)) for done in range(0, size, micro_batch_size)
    ]


def make_all(model: LanguageModel, settings: PretrainSettings, values: dict[str, Any]) -> list[torch.optim.Optimizer]:
    return make_optimizers(
        model,
        settings.optimizer,
        values["learning_rate"],
        values.get("matrix_learning_rate", 0.0),
        values["weight_decay"],
        settings.l1,
    )


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

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
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
        known = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not known:
            raise
        micro, tokens = values["micro_batch_size"], values["micro_batch_size"] * values["context"]
        advice = f"take half of them, --micro-batch-size {micro // 2}, also with --resume: the result stays the same"
        if micro == 1:
            advice = "choose a smaller --size or --context"
        raise XinyeError(f"out of memory with {micro} windows, {tokens:,} tokens, at once; {advice}", 1) from error


# -- training --------------------------------------------------------------------------------------------------------


def run_training(
    group: Processes,
    output: Path,
    settings: PretrainSettings,
    plan: Plan,
    text: Text,
    model: LanguageModel,
    optimizers: list[torch.optim.Optimizer],
    loss_sum: nn.Module,
    micro_batches: Callable[[int], list[Batch]],
    progress: dict[str, Any],
    watcher: Watcher,
    stopwatch: Stopwatch,
    trackers: Trackers,
) -> Run:
    """Take the steps; validate, write a sample and save at even distances and at the end; note everything."""
    first_step, trained_seconds, best = progress["step"], progress["seconds"], progress.get("best") or {}
    values, config = plan.values, model.config
    steps, context = values["steps"], values["context"]
    every = max(1, math.ceil(steps / settings.evaluations))
    rate = partial(rate_factor, steps=steps, warmup=values["warmup"], shape=settings.schedule, decay=settings.decay)
    lengths = text.tokenizer.token_lengths
    windows, last_windows = validation_windows(text.validation, steps * values["batch_size"])
    figures: dict[str, float] = {}
    texts: list[str] = []
    before = progress.get("before")
    refused = 0  # steps on end whose gradient was not finite
    done, tokens, seconds = first_step, 0, trained_seconds
    model.train()
    with (
        interruptible(watcher) as interrupted,
        open(output / "training" / "metrics.jsonl" if group.first else os.devnull, "a", encoding="utf-8") as metrics,
    ):

        def note(**record: Any) -> None:
            metrics.write(json.dumps(record, ensure_ascii=False) + "\n")
            metrics.flush()
            trackers.note(record)

        def exhausted() -> bool:
            return settings.patience is not None and best.get("worse_since", 0) >= settings.patience

        def save() -> None:
            progress = {"step": done, "seconds": seconds, "best": best, "before": before}
            save_checkpoint(output, model, text.tokenizer, optimizers, progress, keep=[best["step"]] if best else [])
            stopwatch.lap("saving")

        if settings.from_ and group.first and not first_step:
            watcher.stage("judging the model as it is")
            before = evaluate(model, text.validation.in_order(8, last_windows), lengths)
            sample = write_sample(model, text.tokenizer, settings)
            note(kind="before", step=0, seconds=0.0, sample=sample, **before)
            watcher.validated(0, before["loss"], before["bits_per_byte"], sample)
            stopwatch.lap("validation")
        records = train(
            loss_sum, list(model.parameters()), optimizers, micro_batches, rate, first_step,
            first_step if exhausted() else steps, settings.clip, settings.seed, group,
        )  # fmt: skip
        for record in records:
            done, tokens, seconds = record.step, tokens + record.tokens, seconds + record.seconds
            note(kind="step", **asdict(record))
            watcher.step(record, steps)
            stopwatch.lap("training")
            refused = 0 if math.isfinite(record.gradient_norm) else refused + 1
            if refused:  # its text is kept, for a person to look at
                read = text.training.batch((done - 1) * values["batch_size"], values["batch_size"]).tokens
                note(kind="refused", step=done, texts=[text.tokenizer.decode(row) for row in read.tolist()])
            if refused == 5:
                raise XinyeError(f"{output}: the gradient was not finite in {refused} steps on end; {ADVICE}", 1)
            if group.first and done % every == 0 and done < steps and not interrupted():
                check_finite(model, output, done)
                figures = evaluate(model, text.validation.in_order(8, windows), lengths)
                stopwatch.lap("validation")
                if not best or figures["bits_per_byte"] < best["bits_per_byte"]:
                    best = {"step": done, "bits_per_byte": figures["bits_per_byte"], "worse_since": 0}
                else:
                    best["worse_since"] = best.get("worse_since", 0) + 1
                sample = write_sample(model, text.tokenizer, settings, done)
                note(kind="validation", step=done, seconds=seconds, sample=sample, **figures)
                watcher.validated(done, figures["loss"], figures["bits_per_byte"], sample)
                stopwatch.lap("samples")
                save()
            if group.any(bool(interrupted()) or exhausted()):
                break
        if group.first and exhausted():
            go_back(output, model, optimizers, best["step"])
        elif group.first:
            check_finite(model, output, done)
            save()
        if group.first and not interrupted():
            figures = evaluate(model, text.validation.in_order(8, last_windows), lengths)
            stopwatch.lap("validation")
            sample = write_sample(model, text.tokenizer, settings, done)
            note(kind="result", step=done, seconds=seconds, sample=sample, **figures)
            watcher.validated(done, figures["loss"], figures["bits_per_byte"], sample)
            texts = write_texts(model, text.tokenizer, settings)
            stopwatch.lap("samples")
    per_second = tokens / max(1e-9, seconds - trained_seconds)
    speed = machine.matrix_flops_per_second(machine.device(), getattr(torch, values["dtype"])) * group.count
    run = Run(
        run=str(output),
        parameters=config.parameters,
        steps=done,
        tokens=done * values["batch_size"] * context,
        seconds=round(seconds, 2),
        tokens_per_second=round(per_second, 1),
        model_flops_utilization=round(per_second * config.flops_per_token(context) / speed, 4),
        validation=rounded(figures),
        interrupted=interrupted(),
        stopped_early=exhausted(),
        model_step=best["step"] if exhausted() else done,
        before=rounded(before) if before else None,
    )
    trackers.result(asdict(run))
    more = {
        "time_seconds": {name: round(spent, 3) for name, spent in stopwatch.seconds.items()},
        "first_step": first_step,
        "matrix_flops_per_second": round(speed),
        "peak_memory_bytes": machine.peak_memory_bytes(machine.device()),
        "texts": texts,
    }
    if group.first:
        write_json(output / "training" / "result.json", {**asdict(run), **more})
    return run


def rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(figures[name], 5) for name in ("loss", "bits_per_byte") if name in figures}


def report(output: Path, watcher: Watcher) -> None:
    """Write the run's report; a run is none the worse where that fails."""
    try:
        write_report(read_run(output))
    except (OSError, XinyeError) as error:
        watcher.stage(f"no report ({error})")


def check_finite(model: LanguageModel, output: Path, step: int) -> None:
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise XinyeError(f"{output}: at step {step} the weights are no longer finite; {ADVICE}", exit_code=1)
