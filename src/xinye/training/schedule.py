"""The schedule of a run: its number of steps, and how far it is. Learning rate, evaluations and
AdaLoRA's pruning follow from that."""

import math
from collections.abc import Sequence
from typing import Literal

from xinye.training.clock import Clock
from xinye.training.distributed import ALONE, Processes

Shape = Literal["wsd", "cosine"]

PARTS = 100  # how often the steps of a run with a clock are planned again
NEAR = 0.02  # a new plan that differs by a smaller share of the steps left is ignored
ROUNDING = 1e-9


class Schedule:
    """The steps of a run and the learning rate of each.

    `totals` are pairs (step, total): from that step on, this many steps were planned in all. A
    budget of steps has one pair. With a clock the total is planned again during the run, and each
    new plan adds a pair. The pairs record all that the clock did: a schedule with the same pairs
    and no clock is the same schedule.
    """

    def __init__(
        self,
        totals: Sequence[tuple[int, int]],
        warmup: int,
        shape: Shape = "wsd",
        decay: float = 0.8,
        evaluations: int = 20,
        clock: Clock | None = None,
    ) -> None:
        self.totals = [(step, total) for step, total in totals]
        self.warmup, self.shape, self.decay = warmup, shape, decay
        self.evaluations, self.clock = evaluations, clock
        self.returned: int | None = None  # the step of the model with which the last plan begins

    @property
    def steps(self) -> int:
        """The number of steps of the run, as planned now."""
        return self.totals[-1][1]

    def return_to(self, best: int, done: int, steps: int) -> None:
        """Plan so many more steps after `done` steps, from the share that was done when the model
        had taken `best` steps."""
        self.totals = [*(pair for pair in self.totals if pair[0] < done), (done, done + steps)]
        self.returned = best

    def share(self, done: int) -> float:
        """The share of the run that is done after `done` steps, from 0 to 1. It grows linearly;
        when the steps are planned again, it grows linearly from there to 1."""
        *former, (begin, total) = self.totals
        if self.returned is None or done < begin:
            return self._share(self.totals, done)
        share = self._share(former, self.returned)
        return share + (1 - share) * min(1.0, (done - begin) / max(1, total - begin))

    @staticmethod
    def _share(totals: Sequence[tuple[int, int]], done: int) -> float:
        share = 0.0
        begin, total = totals[0]
        for step, planned in totals[1:]:
            if step > done:
                break
            share += (1 - share) * (step - begin) / (total - begin)
            begin, total = step, planned
        if total <= begin:
            return 1.0
        return share + (1 - share) * min(1.0, (done - begin) / (total - begin))

    def rate(self, step: int) -> float:
        """The learning rate of step 0 … `steps` - 1, as a share of the peak rate.

        `wsd`: warm-up, a constant rate, then a linear decay to zero over the last `decay` of the
        run (Hägele et al. 2024, arXiv:2405.18392). `cosine`: warm-up, then half a cosine to zero.
        """
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.shape == "cosine":
            warm = self.share(self.warmup)
            return 0.5 * (
                1 + math.cos(math.pi * (self.share(step) - warm) / max(ROUNDING, 1 - warm))
            )
        return min(1.0, (1 - self.share(step)) / self.decay)

    def evaluation_due(self, done: int) -> bool:
        """Whether an evaluation is due after `done` steps, unless the clock has no time for it.
        Evaluations divide the run into `evaluations` equal parts; there is none at the end."""
        parts = [self._parts(each, self.evaluations) for each in (done - 1, done)]
        return done < self.steps and parts[0] < parts[1]

    def plan_anew(self, done: int, processes: Processes = ALONE) -> bool:
        """If a new plan is due, ask the clock how many steps still fit; returns whether the plan
        has changed.

        All processes call this after the same steps and take the first one's answer.
        """
        if self.clock is None or not self.clock.knows or done >= self.steps:
            return False
        # A new plan is due at each hundredth of the run, and after 2, 4, 8 … steps, because the
        # first plan is the least certain.
        doubled = done & (done - 1) == 0 and done > 1
        if not doubled and self._parts(done, PARTS) == self._parts(done - 1, PARTS):
            return False
        to_come = self.evaluations - 1 - self._parts(done, self.evaluations)
        [left] = processes.agreed([self.clock.steps_left(to_come)])
        total = done + int(left)
        if abs(total - self.steps) <= NEAR * (self.steps - done):
            return False
        self.totals.append((done, total))
        return True

    def _parts(self, done: int, parts: int) -> int:
        return int(self.share(done) * parts + ROUNDING)
