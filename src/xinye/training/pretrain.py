"""Pretrain a GPT on text, from scratch or going on with a model: from files to a run's folder.

Read the text and learn its tokenizer (or take the model's); tokenize once; derive the plan; train, validating and
saving as it goes; save the model as every tool of the field loads it.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.bits_per_byte import evaluate
from xinye.generation.decoder import prepare_decoder
from xinye.generation.generate import start
from xinye.generation.sampling import Sampling
from xinye.model.build import Config, LanguageModel, build
from xinye.planning import plan as planning
from xinye.planning.models import Models, load_models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import is_running
from xinye.runs.run_folder import (
    check_output,
    check_teacher,
    check_text,
    default_output,
    forget_metrics,
    saved_settings,
    start_run,
)
from xinye.runs.store import Store
from xinye.tasks.samples import write_sample, write_texts
from xinye.tasks.text import Text, prepare_text, validation_windows
from xinye.training import clock
from xinye.training.calibrate import Speed, largest_micro_batch, measure_speed
from xinye.training.clock import Clock
from xinye.training.distillation import DistillationLossSum, Teaching
from xinye.training.distributed import Processes, processes
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.schedule import Schedule
from xinye.training.stopwatch import Stopwatch
from xinye.training.trackers import warn_of_missing
from xinye.training.training_run import Job, Run, memory_told, note_totals, repeatable, run_training
from xinye.watcher import Watcher

FIRST_PLAN = (
    8  # steps at least: what was measured may be wrong, and the clock tells after two of them
)


def pretrain(
    settings: PretrainSettings,
    watcher: Watcher | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    began: float | None = None,
) -> Run | None:
    """Do what the settings say; None after a dry run. Raises `XinyeError` for whatever a person can put right.

    A budget in time counts from `began`, of the clock of `training/clock.py`; else from now. Where `torchrun` started
    several processes, all call this, and they train one model together.
    """
    began = clock.now() if began is None else began
    if settings.time and settings.total_steps and not resume:
        raise XinyeError("total_steps is what a time came to: leave out one of them")
    with processes() as group, repeatable():
        talking = watcher if watcher and group.first else Watcher()
        return pretrain_together(group, settings, talking, overwrite, resume, dry_run, began)


def pretrain_together(
    group: Processes,
    settings: PretrainSettings,
    watcher: Watcher,
    overwrite: bool,
    resume: bool,
    dry_run: bool,
    began: float,
) -> Run | None:
    """The job, top to bottom. Only the first process writes files and validates; all take the steps."""
    stopwatch = Stopwatch()
    output = settings.output or default_output(settings)
    device = machine.device()
    if group.first and not dry_run and is_running(output):
        raise XinyeError(f"{output}: this run is going on; wait for its end, or stop it first")
    if resume:
        settings = saved_settings(output, settings)
    else:
        planning.check_size(settings, device)
        if group.first and not dry_run:
            check_output(output, overwrite)

    settings.cleaning.check_libraries()
    warn_of_missing(settings.track, watcher.warn)
    with group.first_first():
        compiling = prepare_decoder(device, watcher)
    if compiling:
        began += compiling
        stopwatch.lap("compiling the decoder")

    plan, models = Plan(), load_models(settings)
    with group.first_first():  # the others find the prepared text in the cache
        text = prepare_text(settings, plan, watcher, models)
    if resume:
        check_text(output, text)
        check_teacher(output, models)
    stopwatch.lap("text")
    start(
        text.tokenizer, settings.prompt, text.training.context, Sampling()
    )  # one that is too long is told of now
    if models.base:
        config = models.base.config
        planning.shape_of(plan, settings.from_ or "", config)
    else:
        config = planning.shape(plan, settings, text.tokenizer.vocab_size, text.training.context)
    planning.batches(plan, settings, config, device)
    planning.rates(plan, settings, config)
    planning.precision(plan, settings, device, fast_dtype(device, group))
    values, windows = plan.values, len(text.training)
    if values["batch_size"] < group.count:
        raise XinyeError(
            f"a batch of {values['batch_size']} cannot be shared by {group.count} processes"
        )
    if settings.micro_batch_size == "auto":
        watcher.stage("trying how many windows fit in memory")
        share = math.ceil(values["batch_size"] / group.count)
        fits = largest_micro_batch(config, values["dtype"], text.training, share, device)
        plan.choose(
            "micro_batch_size", None, int(group.agreed([fits])[0]), "the most that fits, tried"
        )
    micro_batches = partial(
        batches_of_step, text.training, values["batch_size"], values["micro_batch_size"], group
    )
    watcher.stage("measuring the speed")
    with memory_told(values):
        speed = speed_of(config, models, settings, values, text, micro_batches(0), device).agreed(
            group
        )
    budget, least = planning.budgeted_steps(settings, windows, values), 1
    if budget is None:
        assert settings.seconds is not None
        counting = clock_for(settings.seconds, began, speed, text, values)
        fit, in_time = group.agreed(
            [counting.steps_left(settings.evaluations - 1), counting.left() > 0]
        )
        budget = max(1, int(fit)), "what fits, planned anew as the run goes"
        least = FIRST_PLAN if in_time else 1
    steps, reason = budget
    planning.schedule(plan, settings, steps, reason)
    planning.regularisation(plan, settings, windows, steps, speed.step)
    config = replace(config, dropout=values["dropout"])
    totals = settings.total_steps or ((0, max(least, steps)),)
    if settings.total_steps or settings.seconds is not None:
        values["total_steps"] = [[*pair] for pair in totals]
    if settings.total_steps:
        values["steps"] = totals[-1][1]
    if not resume:
        plan.reasons["steps"] += f"; {speed.words(text.validation, steps, settings, values)}"
        for doubt in planning.doubts(plan, settings, config, windows, speed.step, device):
            watcher.warn(doubt)
    if group.count > 1:
        plan.choose("processes", None, group.count, "started together; no effect on the result")
    watcher.plan(plan)
    if dry_run:
        return None

    model = build(config).to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    loss_sum = group.together(
        make_loss_sum(model, models, settings, values, device, values["compile"])
    )
    optimizers = make_all(model, settings, values)
    if models.base:
        model.load_state_dict(models.base.state_dict())
    else:
        model.initialize(settings.seed)
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0}
    if resume:
        with group.first_first():
            progress = Store(output, model, text.tokenizer, optimizers).load()
        if group.first:
            forget_metrics(output, progress["step"])
    elif group.first:
        start_run(output, settings, plan, text, overwrite, models)
    if resume and settings.seconds is not None:  # the clock plans the rest
        totals = tuple(pair for pair in totals if pair[0] <= progress["step"])
        if group.first:
            note_totals(output, totals)
    schedule = Schedule(
        totals, values["warmup"], settings.schedule, settings.decay, settings.evaluations
    )
    if settings.seconds is not None:
        schedule.clock = clock_for(
            settings.seconds - progress["seconds"], began, speed, text, values
        )
    stopwatch.lap("planning")
    return run_training(
        group, output, settings, values, text.tokenizer, model, optimizers, loss_sum, micro_batches, progress,
        job_of(settings, values, text, model), schedule, watcher, stopwatch,
    )  # fmt: skip


# -- before training -------------------------------------------------------------------------------------------------


class LossSum(nn.Module):
    """What is made smaller: a batch to the sum of the losses of its counted targets."""

    def __init__(
        self, model: LanguageModel, compiled: bool, device: torch.device, label_smoothing: float
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = torch.compile(model.loss) if compiled else model.loss
        self.device, self.label_smoothing = device, label_smoothing

    def forward(self, batch: Batch) -> torch.Tensor:
        batch = batch.to(self.device)
        return self.loss(
            batch.tokens, batch.targets, batch.positions, batch.documents, self.label_smoothing
        )


def fast_dtype(device: torch.device, group: Processes) -> tuple[torch.dtype, str]:
    """The fastest precision here, and why; of several processes the first one's answer, for each measures."""
    dtype, reason = machine.fast_dtype(device)
    [bfloat16] = group.agreed([dtype == torch.bfloat16])
    return (torch.bfloat16 if bfloat16 else torch.float32), reason


def make_loss_sum(
    model: LanguageModel,
    models: Models,
    settings: PretrainSettings,
    values: dict[str, Any],
    device: torch.device,
    compiled: bool,
) -> nn.Module:
    if not models.teacher:
        return LossSum(model, compiled, device, settings.label_smoothing)
    models.teacher.compute_dtype = model.compute_dtype
    teaching = Teaching(models.teacher, values["temperature"], values["alpha"])
    return DistillationLossSum(model, teaching, compiled, device, settings.label_smoothing)


def speed_of(
    config: Config,
    models: Models,
    settings: PretrainSettings,
    values: dict[str, Any],
    text: Text,
    batches: list[Batch],
    device: torch.device,
) -> Speed:
    """What a step and an evaluation of a plan take here, measured on a model that is thrown away, and not compiled."""
    model = build(config).to(device)
    model.compute_dtype = getattr(torch, values["dtype"])
    loss_sum = make_loss_sum(model, models, settings, values, device, compiled=False)
    return measure_speed(
        model, loss_sum, make_all(model, settings, values), batches, text, settings
    )


def clock_for(
    seconds: float, began: float, speed: Speed, text: Text, values: dict[str, Any]
) -> Clock:
    """The clock of a run that may take so many seconds from when it began."""
    trained = (began + seconds - clock.now()) / speed.step * values["batch_size"]
    return Clock(seconds, began, speed.costs(text.validation, round(trained)))


def batches_of_step(
    windows: Windows, batch_size: int, micro_batch_size: int, group: Processes, step: int
) -> list[Batch]:
    """The micro-batches of a step: windows `step × batch_size` and on, of those this process's share."""
    first, size = group.share(step * batch_size, batch_size)
    return [
        windows.batch(first + done, min(micro_batch_size, size - done))
        for done in range(0, size, micro_batch_size)
    ]


def make_all(
    model: LanguageModel, settings: PretrainSettings, values: dict[str, Any]
) -> list[torch.optim.Optimizer]:
    optimization = Optimization(
        settings.optimizer,
        values["learning_rate"],
        values.get("matrix_learning_rate", 0.0),
        values["weight_decay"],
        settings.l1,
        getattr(torch, values["dtype"]),
    )
    return make_optimizers(model, optimization)


def job_of(
    settings: PretrainSettings, values: dict[str, Any], text: Text, model: LanguageModel
) -> Job:
    """What the run validates on, and shows."""
    tokenizer, size = text.tokenizer, values["batch_size"]
    planned = values["total_steps"][0][1] if "total_steps" in values else values["steps"]
    windows, last_windows = validation_windows(text.validation, planned * size)

    def validate(last: bool) -> dict[str, float]:
        return evaluate(
            model,
            text.validation.in_order(8, last_windows if last else windows),
            tokenizer.token_lengths,
        )

    def read(step: int) -> list[str]:
        return [
            tokenizer.decode(row)
            for row in text.training.batch((step - 1) * size, size).tokens.tolist()
        ]

    return Job(
        validate=validate,
        sample=lambda step: write_sample(model, tokenizer, settings, step),
        read=read,
        results=lambda before: {"texts": write_texts(model, tokenizer, settings)},
        figures=("loss", "bits_per_byte"),
        better="bits_per_byte",
        lower_is_better=True,
        tokens_per_step=size * values["context"],
        flops_per_token=model.config.flops_per_token(values["context"]),
        judge_first=settings.from_ is not None,
    )
