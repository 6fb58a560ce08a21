"""The training loop: it takes batches and yields a record of each step. It knows no task and no
files."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from xinye.errors import XinyeError
from xinye.model.sharded import is_sharded
from xinye.training.averaged import Averaged
from xinye.training.clock import Stopwatch
from xinye.training.distributed import ALONE, Processes
from xinye.training.optimizers import clipping_scale, gradient_norm, scale_gradients, shrink

LossSum = Callable[[Any], Tensor]  # the sum of the losses of a batch's counted targets, in nats


class Counted(Protocol):
    """A batch. The loop only needs to know how many targets its loss is summed over."""

    @property
    def counted(self) -> int: ...

    def to(self, device: str | torch.device) -> "Counted": ...


@dataclass(frozen=True)
class Idle:
    """A batch that is computed again without effect, while other processes still compute theirs."""

    batch: Counted
    counted: int = 0

    def to(self, device: str | torch.device) -> "Idle":
        return Idle(self.batch.to(device))


@dataclass(frozen=True)
class Share:
    """What this process computes in a step: its batches, with their number of counted targets."""

    batches: Sequence[Counted]
    counted: int


NOTHING = Share((), 0)


@dataclass(frozen=True)
class Step:
    """The record of one step. `step` counts from 1, `loss` is in nats per counted token, `seconds`
    is wall time.

    The four parts of `seconds` are: waiting for the batches, the forward pass, the backward pass
    (with the exchange of gradients), and clipping, optimizer and the rest. On a GPU calls return
    before their work is done, and only reading a number waits for it. So there `forward_seconds` is
    the time to submit the work, `backward_seconds` includes the computation of both passes, and
    part of the optimizer's computation falls into the next step. The sum over many steps is right.
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

    `micro_batches` returns the batches of a step. It is called in a thread, except for the first
    one. `rate` is the share of the peak learning rate. `after_step` is called with the number of
    the step, from 1, after the weights have changed and before the gradients are cleared. The step
    in which `interrupted` returns true in any process is the last one.
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
    interrupted: Callable[[], bool] = lambda: False
    device: str | torch.device = "cpu"

    def take(self, step: int, steps: Callable[[], int]) -> Iterator[Step]:
        """Take the steps from number `step`, counted from 0, until `steps()` are done, and yield a
        record of each. The number of steps may change meanwhile.

        The loss is the sum over all counted tokens of the step divided by their number, so it does
        not depend on how the step is split into micro-batches or among processes. A step whose
        gradient is not finite changes nothing; its record has that norm.

        While a step is computed, a thread makes the batches of the next one. So one exchange in
        each step, before its optimizers move, gives all processes all numbers that they share.
        """
        share, counted, interrupted = NOTHING, 0.0, False
        sharded = any(map(is_sharded, self.parameters))
        with ThreadPoolExecutor(1) as loader:
            while step < steps() and not interrupted:
                watch = Stopwatch()
                if share is NOTHING:
                    share = self._share(step)
                    counted = sum(row[0] for row in self.processes.numbers([share.counted]))
                if not counted:
                    raise XinyeError(f"step {step + 1}: its batch has no token to train on")
                watch.lap("data")
                more = step + 1 < steps()
                coming = loader.submit(self._share, step + 1) if more else None
                loss, norm = self._backward(step, share.batches, counted, watch)
                share = coming.result() if coming else NOTHING
                watch.lap("data")
                mine = [loss, norm, share.counted, self.interrupted()]
                losses, norms, counts, asked = zip(*self.processes.numbers(mine), strict=True)
                if sharded:
                    norm = math.hypot(*norms)
                factor = self.rate(step)
                if math.isfinite(norm):
                    self._move(norm, factor)
                    self.after_step(step + 1)
                for optimizer in self.optimizers:
                    optimizer.zero_grad()
                watch.lap("optimizer")
                step += 1
                parts = {f"{name}_seconds": spent for name, spent in watch.seconds.items()}
                seconds = sum(parts.values())
                yield Step(step, sum(losses), norm, factor, int(counted), seconds, **parts)
                alone = self.processes.count == 1  # and need not wait for the next exchange
                counted, interrupted = sum(counts), any(asked) or (alone and self.interrupted())

    def _share(self, step: int) -> Share:
        batches = self.micro_batches(step)
        counted = sum(batch.counted for batch in batches)
        return Share([batch.to(self.device) for batch in batches], counted)

    def _backward(
        self, step: int, batches: Sequence[Counted], counted: float, watch: Stopwatch
    ) -> tuple[float, float]:
        """Add up the gradients of all micro-batches; returns this process's part of the mean loss,
        and the norm of the gradients."""
        # Dropout depends only on the step and on the process. With the same seed all processes
        # would drop the same elements.
        rank = self.processes.rank * 0x9E3779B97F4A7C15
        torch.manual_seed((self.seed * 1_000_003 + step + rank) % 2**63)
        losses = []
        for number, batch in enumerate(batches, start=1):
            # DDP exchanges gradients only once, after the last micro-batch.
            last = number == len(batches)
            with nullcontext() if last else getattr(self.loss_sum, "no_sync", nullcontext)():
                # The processes average their gradients, so divide by the mean count of a process.
                if isinstance(batch, Idle):
                    loss = 0 * self.loss_sum(batch.batch)
                else:
                    loss = self.loss_sum(batch) / (counted / self.processes.count)
                watch.lap("forward")
                loss.backward()
            losses.append(loss.detach())
            watch.lap("backward")
        if isinstance(self.loss_sum, Averaged):
            norm = self.loss_sum.exchange()
        else:
            norm = float(gradient_norm(self.parameters))  # only now wait for the device
        mean = sum(map(float, losses)) / self.processes.count
        watch.lap("backward")
        return mean, norm

    def _move(self, norm: float, factor: float) -> None:
        """Change the weights, at this share of the peak learning rate."""
        scale_gradients(self.parameters, clipping_scale(norm, self.clip))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak_lr"] * factor
            optimizer.step()
            shrink(optimizer)
        if isinstance(self.loss_sum, Averaged):
            self.loss_sum.wait_for_updates()
