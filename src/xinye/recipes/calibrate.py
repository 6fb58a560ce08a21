"""How fast a model trains here, measured before it does: what a budget in time comes to in steps."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from xinye import machine
from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.bits_per_byte import evaluate
from xinye.model.build import Config, LanguageModel, build
from xinye.recipes.samples import write_sample
from xinye.recipes.settings import PretrainSettings
from xinye.recipes.text import Text, validation_windows
from xinye.training.distributed import ALONE, Processes
from xinye.training.loop import train

SMALLER = "choose a smaller --size or --context"


def first_speed(config: Config, dtype: str, batch: Batch, group: Processes = ALONE) -> float:
    """Tokens per second of a model as it stands, by one micro-batch forward and backward after another to warm up."""
    model = build(config).to(batch.tokens.device)
    model.compute_dtype = getattr(torch, dtype)
    model.initialize(0)
    seconds = 0.0
    for _ in range(2):
        begin = time.perf_counter()
        loss = model.loss(batch.tokens, batch.targets, batch.positions, batch.documents)
        loss.backward()
        float(loss.detach())  # waits for the device
        seconds = time.perf_counter() - begin
    return group.agreed([batch.tokens.numel() / seconds])[0] * group.count


def largest_micro_batch(config: Config, dtype: str, windows: Windows, batch_size: int, where: torch.device) -> int:
    """How many windows can be computed at once here: doubled for as long as forward and backward fit in nine tenths of
    the memory. On a CPU, where running out ends the process, twice as many must fit by what so many took."""
    model = build(config).to(where)
    model.compute_dtype = getattr(torch, dtype)
    model.initialize(0)
    largest, micro = 0, 1
    while micro <= batch_size:
        free = 0.9 * machine.memory_bytes(where)
        machine.forget_peak_memory(where)
        before = machine.peak_memory_bytes(where)
        batch = windows.batch(0, micro).to(where)
        try:
            model.loss(batch.tokens, batch.targets, batch.positions, batch.documents).backward()
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            break
        largest = micro
        taken = machine.peak_memory_bytes(where) - before
        if micro == batch_size or (where.type == "cpu" and 2 * taken > free):
            break
        micro = min(2 * micro, batch_size)
    if not largest:
        raise XinyeError(f"out of memory with one window of {windows.context:,} tokens; {SMALLER}", 1)
    return largest


def out_of_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)


def calibrate(
    model: LanguageModel,
    loss_sum: nn.Module,
    optimizers: list[torch.optim.Optimizer],
    micro_batches: Callable[[int], list[Batch]],
    text: Text,
    settings: PretrainSettings,
    plan_values: dict[str, Any],
    seconds: float,
    group: Processes,
) -> tuple[int, str]:
    """How many steps fit into a time: a few are taken and timed on weights that are thrown away."""
    begin = time.perf_counter()
    model.initialize(settings.seed)
    model.train()
    times: list[float] = []
    trial = train(
        loss_sum, list(model.parameters()), optimizers, micro_batches, lambda step: 1.0, 0, 10_000, processes=group
    )
    for record in trial:
        times.append(record.seconds)
        if group.any(len(times) >= 4 and sum(times[2:]) > min(5.0, 0.03 * seconds)):
            break
    step_seconds = float(np.median(times[2:]))
    begin_validation = time.perf_counter()
    evaluate(model, text.validation.in_order(8, 8), text.tokenizer.token_lengths)
    per_window = (time.perf_counter() - begin_validation) / min(8, len(text.validation))
    write_sample(model, text.tokenizer, settings)
    per_sample = time.perf_counter() - begin_validation - 8 * per_window
    left = seconds - (time.perf_counter() - begin)
    often, last = validation_windows(text.validation, int(left / step_seconds) * plan_values["batch_size"])
    aside = per_window * (often * settings.evaluations + last) + per_sample * settings.evaluations
    (steps,) = group.agreed([max(1, (left - aside) // step_seconds)])
    return int(steps), f"{step_seconds * 1000:.0f} ms each, {aside:.0f} s to validate"
