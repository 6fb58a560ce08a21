"""Measures the training speed on this machine before a run, to turn a budget of time into steps."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from xinye import machine
from xinye.data.batches import Batch, Windows
from xinye.errors import XinyeError
from xinye.evaluation.perplexity import evaluate
from xinye.model.build import LanguageModel
from xinye.planning.settings import PretrainSettings
from xinye.tasks.text import LONGER, TextData, validation_windows, write_sample
from xinye.training.clock import Costs
from xinye.training.guards import SMALLER, out_of_memory

LONG = 5.0  # seconds; work that takes longer is measured on a part of it


@dataclass(frozen=True)
class Speed:
    """The seconds that training takes on this machine."""

    step: float  # one training step
    window: float  # evaluating one window
    sample: float  # generating one sample

    def costs(self, validation: Windows, trained: int) -> Costs:
        """The costs of a run that trains on `trained` windows and evaluates on windows of
        `validation`."""
        during, last = validation_windows(validation, trained)
        return Costs(
            self.step,
            during * self.window + self.sample,
            last * self.window + (1 + LONGER) * self.sample,
        )


@dataclass(frozen=True)
class Trial:
    """A model that is trained to measure the speed, and then thrown away.

    What is done next depends on the times. Where all processes have to do the same, `agreed` gives
    the times of the first one."""

    model: LanguageModel
    loss_sum: nn.Module
    optimizers: list[torch.optim.Optimizer]
    evaluating: Callable[[Any], AbstractContextManager[None]] = nullcontext
    agreed: Callable[[Sequence[float]], Sequence[float]] = lambda seconds: seconds

    def seconds_of(self, work: Callable[[], object]) -> float:
        """The seconds that work takes, up to the end of its computation on the device."""
        begin = time.perf_counter()
        work()
        machine.finish(machine.device())
        return self.agreed([time.perf_counter() - begin])[0]

    def warm_seconds_of(self, work: Callable[[], object]) -> float:
        """The seconds that work takes without warm-up. It runs twice unless the first time was
        long."""
        first = self.seconds_of(work)
        return first if first > LONG / 5 else min(first, self.seconds_of(work))

    def forward_and_backward(self, batch: Batch) -> float:
        """The seconds of one forward and backward pass."""
        return self.seconds_of(lambda: self.loss_sum(batch).backward())


def measure_speed(
    trial: Trial, batches: Sequence[Any], text: TextData, settings: PretrainSettings
) -> Speed:
    """The speed of a trial. `batches` are the micro-batches of one step.

    One window warms the machine up. If a whole micro-batch would take long, only the window is
    measured.
    """
    one = text.training.batch(0, 1)
    trial.forward_and_backward(one)
    per_window = trial.forward_and_backward(one)
    micro, windows = batches[0], sum(len(batch.tokens) for batch in batches)
    if trial.agreed([per_window * len(micro.tokens)])[0] < LONG:
        trial.forward_and_backward(micro)
        per_window = trial.forward_and_backward(micro) / len(micro.tokens)

    # Weights that change could become NaN or infinite, and computing with those takes other times.
    for optimizer in trial.optimizers:
        for parameters in optimizer.param_groups:
            parameters["lr"] = 0.0

    def move() -> None:
        for optimizer in trial.optimizers:
            optimizer.step()

    move()  # creates the state of the optimizers
    moving = trial.seconds_of(move)
    count = min(8, len(text.validation))
    lengths = text.tokenizer.token_lengths
    with trial.evaluating(trial.model):
        evaluating = trial.warm_seconds_of(
            lambda: evaluate(trial.model, text.validation.in_order(8, count), lengths)
        )
        sample = trial.warm_seconds_of(
            lambda: write_sample(trial.model, text.tokenizer, settings.prompt, settings.seed)
        )
    return Speed(per_window * windows + moving, evaluating / count, sample)


def largest_micro_batch(
    model: LanguageModel, windows: Windows, batch_size: int, where: torch.device
) -> int:
    """The number of windows that this machine can compute at once, at most `batch_size`.

    It is doubled as long as forward and backward fit in nine tenths of the memory. A CPU process
    that runs out of memory is killed, so there it is doubled only if the memory just used suggests
    that twice as many fit. Raises `XinyeError` if not even one window fits.
    """
    largest, micro = 0, 1
    while micro <= batch_size:
        free = 0.9 * machine.memory_bytes(where)
        machine.forget_peak_memory(where)
        before = machine.peak_memory_bytes(where)
        batch = windows.batch(0, micro).to(where)
        try:
            inputs = batch.tokens, batch.targets, batch.positions, batch.documents
            model.loss(*inputs, borders=batch.borders).backward()
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
        what = f"out of memory with one window of {windows.context:,} tokens"
        raise XinyeError(f"{what}; {SMALLER}", 1)
    return largest
