"""The training loop: it takes batches and yields a record of each step. It knows no task and no
files."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from xinye.errors import XinyeError
from xinye.training.clock import Stopwatch
from xinye.training.distributed import ALONE, Processes
from xinye.training.optimizers import clip_gradients, shrink

LossSum = Callable[[Any], Tensor]  # the sum of the losses of a batch's counted targets, in nats


class Counted(Protocol):
    """A batch. The loop only needs to know how many targets its loss is summed over."""

    @property
    def counted(self) -> int: ...


@dataclass(frozen=True)
class Idle:
    """A batch that is computed again without effect, while other processes still compute theirs."""

    batch: Counted
    counted: int = 0


@dataclass(frozen=True)
class Step:
    """The record of one step. `step` counts from 1, `loss` is in nats per counted token, `seconds`
    is wall time.

    The four parts of `seconds` are: making the batches, the forward pass, the backward pass (with
    the exchange of gradients), and clipping, optimizer and the rest. On a GPU calls return before
    their work is done, and only reading a number waits for it. So there `forward_seconds` is the
    time to submit the work, `backward_seconds` includes the computation of both passes, and part of
    the optimizer's computation falls into the next step. The sum over many steps is right.
    """

    step: int
    loss: float
    gradient_norm: float
    rate_factor: float
    tokens: int
    seconds: float
    data_seconds: float
    forward_seconds: float
    backward_seconds: float
    optimizer_seconds: float
    model_flops_utilization: float = 0.0  # share of the matrix speed; `Session` fills it in


@dataclass(frozen=True)
class Loop:
    """What a step needs.

    `micro_batches` returns the batches of a step, and `rate` the share of the peak learning rate.
    `after_step` is called with the number of the step, from 1, after the weights have changed and
    before the gradients are cleared.
    """

    loss_sum: LossSum
    parameters: Sequence[Tensor]
    optimizers: Sequence[torch.optim.Optimizer]
    micro_batches: Callable[[int], Sequence[Counted]]
    rate: Callable[[int], float]
    clip: float = 1.0
    seed: int = 0
    processes: Processes = ALONE
    after_step: Callable[[int], None] = lambda step: None

    def take(self, steps: Iterable[int]) -> Iterator[Step]:
        """Take the steps with these numbers, from 0, and yield a record of each.

        The loss is the sum over all counted tokens of the step divided by their number, so it does
        not depend on how the step is split into micro-batches or among processes. A step whose
        gradient is not finite changes nothing; its record has that norm.
        """
        for step in steps:
            # Dropout depends only on the step and on the process. With the same seed all processes
            # would drop the same elements.
            rank = self.processes.rank * 0x9E3779B97F4A7C15
            torch.manual_seed((self.seed * 1_000_003 + step + rank) % 2**63)
            watch = Stopwatch()
            batches = self.micro_batches(step)
            counted = int(self.processes.total(sum(batch.counted for batch in batches)))
            if not counted:
                raise XinyeError(f"step {step + 1}: its batch has no token to train on")
            watch.lap("data")
            loss = self._backward(batches, counted, watch)
            norm = clip_gradients(self.parameters, self.clip)
            factor = self.rate(step)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = group["peak_lr"] * factor
                if math.isfinite(norm):
                    optimizer.step()
                    shrink(optimizer)
            if math.isfinite(norm):
                self.after_step(step + 1)
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            watch.lap("optimizer")
            parts = {f"{name}_seconds": spent for name, spent in watch.seconds.items()}
            yield Step(step + 1, loss, norm, factor, counted, sum(parts.values()), **parts)

    def _backward(self, batches: Sequence[Counted], counted: int, watch: Stopwatch) -> float:
        """Add up the gradients of all micro-batches; returns the mean loss over all processes."""
        count, total = self.processes.count, 0.0
        for number, batch in enumerate(batches, start=1):
            # Several processes exchange gradients only once, after the last micro-batch.
            last = number == len(batches)
            with nullcontext() if last else getattr(self.loss_sum, "no_sync", nullcontext)():
                # The processes average their gradients, so divide by the mean count of a process.
                if isinstance(batch, Idle):
                    loss = 0 * self.loss_sum(batch.batch)
                else:
                    loss = self.loss_sum(batch) / (counted / count)
                watch.lap("forward")
                loss.backward()
            total += float(loss.detach()) / count
            watch.lap("backward")
        return self.processes.total(total)
