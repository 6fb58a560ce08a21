"""Time: how much of it a run spends on what, and how many steps still fit into a budget."""

import time
from collections import deque
from dataclasses import dataclass
from statistics import mean, median

from xinye.planning.pretraining import EVALUATING
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import duration

RECENT = 50  # the mean of this many steps predicts how long the next ones take
ENDING = 0.1  # the largest share of a budget that is reserved for the end, or SOME seconds
SOME = 4.0


@dataclass(frozen=True)
class Costs:
    """The seconds that were measured before a run: for a step, for an evaluation with its sample,
    and for the end with its longer evaluation."""

    step: float
    evaluation: float
    ending: float

    def total(self, steps: int, settings: PretrainSettings) -> tuple[float, str]:
        """The seconds that `steps` steps take with their evaluations, and the reason. With a budget
        of time this is the budget."""
        each = f"{self.step * 1000:,.0f} ms"
        if settings.seconds is not None:
            takes = f"a step takes about {each}"
            return settings.seconds, f"given; {takes}"
        aside = min(settings.evaluations, steps) * self.evaluation + self.ending
        return steps * self.step + aside, f"{each} a step, and {duration(aside)} to evaluate"


class Clock:
    """Counts down a budget of seconds from the moment when the command began.

    Other programs may slow the run down, so the duration of steps and evaluations is measured all
    the time.
    """

    def __init__(self, seconds: float, began: float, costs: Costs) -> None:
        self.end, self.costs = began + seconds, costs
        self._most_for_ending = max(SOME, ENDING * seconds)
        self._steps: deque[float] = deque(maxlen=RECENT)
        self._evaluations = deque([costs.evaluation], maxlen=5)
        self._evaluating = 0.0
        self._begun = False
        self._begin = self._last = now()

    def left(self) -> float:
        """The seconds that are left of the budget."""
        return self.end - now()

    def pass_by(self) -> None:
        """Skip the time since the last call, which was neither a step nor an evaluation."""
        self._last = now()

    def stepped(self) -> None:
        """Count the time since the last call as a step. The first step is not counted, because it
        includes warm-up or compiling."""
        seconds = self._lap()
        if self._begun:
            self._steps.append(seconds)
        self._begun = True

    def evaluated(self) -> None:
        """Count the time since the last call as an evaluation with its saving."""
        self._evaluations.append(self._lap())
        self._evaluating += self._evaluations[-1]

    @property
    def knows(self) -> bool:
        """Whether a step was measured yet."""
        return bool(self._steps)

    def may_evaluate(self) -> bool:
        """Whether evaluations have taken little enough of the time so far for one more."""
        return self._evaluating + median(self._evaluations) <= EVALUATING * (now() - self._begin)

    def steps_left(self, evaluations: int) -> int:
        """The number of steps that fit into the time left, besides `evaluations` evaluations and
        the end."""
        step = mean(self._steps) if self._steps else self.costs.step
        evaluation = median(self._evaluations)
        ending = evaluation * self.costs.ending / max(1e-9, self.costs.evaluation)
        left = self.left() - min(ending, self._most_for_ending)
        return max(
            0, int((left - min(evaluations * evaluation, EVALUATING * left)) / max(1e-9, step))
        )

    def _lap(self) -> float:
        since, self._last = self._last, now()
        return self._last - since


def now() -> float:
    """Seconds of a monotonic clock, for differences only."""
    return time.monotonic()


class Stopwatch:
    """Seconds by name. `lap(name)` adds the time since the last call to that name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
