"""How many steps a run has, and what share of it is done: learning rate, evaluations and allocators
follow that."""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

from xinye.training.clock import Clock
from xinye.training.distributed import ALONE, Processes

Shape = Literal["wsd", "cosine"]

PARTS = 100  # how often a run with a clock is planned anew
NEAR = 0.02  # of the steps that are left: a smaller change is no change
ROUNDING = 1e-9


class Schedule:
    """The steps of a run and the learning rate of each.

    `totals` are pairs (step, total): from that step on, so many steps were planned in all. A budget
    of steps has one pair. With a clock the steps that fit are planned anew as the run goes, and a
    pair is added each time; the pairs then say all that the clock did, and a schedule with the same
    pairs and no clock is the same schedule.
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

    @property
    def steps(self) -> int:
        """How many steps the run has, as it is planned now."""
        return self.totals[-1][1]

    def steps_from(self, first: int) -> Iterator[int]:
        """The numbers of the steps to take, from 0; the end may move meanwhile."""
        step = first
        while step < self.steps:
            yield step
            step += 1

    def share(self, done: int) -> float:
        """What share of the run is behind after so many steps: from 0 straight to 1, or to where it
        is planned anew, and from there straight to 1 again."""
        share = 0.0
        begin, total = self.totals[0]
        for step, planned in self.totals[1:]:
            if step > done:
                break
            share += (1 - share) * (step - begin) / (total - begin)
            begin, total = step, planned
        if total <= begin:
            return 1.0
        return share + (1 - share) * min(1.0, (done - begin) / (total - begin))

    def rate(self, step: int) -> float:
        """What share of the peak rate step 0 … `steps` - 1 is taken with.

        `wsd`: warm-up, stable, then a straight line to zero over the last `decay` of the run
        (Hägele et al. 2024, arXiv:2405.18392). `cosine`: warm-up, then half a cosine to zero.
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
        """Whether the step just taken completes one of the `evaluations` equal parts of the run,
        but the last; and there is time to evaluate."""
        due = done < self.steps and self._parts(done, self.evaluations) > self._parts(
            done - 1, self.evaluations
        )
        return due and (self.clock is None or self.clock.may_evaluate())

    def plan_anew(self, done: int, processes: Processes = ALONE) -> bool:
        """Where that is due, ask the clock how many steps still fit; returns whether the plan has
        changed.

        All processes ask at the same steps, and take the first one's answer.
        """
        if self.clock is None or not self.clock.knows or done >= self.steps:
            return False
        # At each hundredth of the run and, since the first plan is the least sure, after 2, 4, 8 …
        # steps.
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
