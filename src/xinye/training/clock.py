"""Where the time of a job goes; and a budget in time: what is left of it, how many more steps fit
in."""

import time
from collections import deque
from dataclasses import dataclass
from statistics import mean, median

from xinye.planning.pretraining import EVALUATING
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import duration

RECENT = 50  # steps whose mean says how long the next ones take
ENDING = 0.1  # the largest share of a budget that is kept for its ending, or SOME seconds
SOME = 4.0


@dataclass(frozen=True)
class Costs:
    """What was measured before a run, in seconds: a step, an evaluation with its sample, and the
    ending with its longer evaluation."""

    step: float
    evaluation: float
    ending: float

    def total(self, steps: int, settings: PretrainSettings) -> tuple[float, str]:
        """The seconds that so many steps take with their evaluations, and why; a budget in time is
        what it is."""
        each = f"{self.step * 1000:,.0f} ms"
        if settings.seconds is not None:
            takes = f"a step takes about {each}"
            return settings.seconds, f"given; {takes}"
        aside = min(settings.evaluations, steps) * self.evaluation + self.ending
        return steps * self.step + aside, f"{each} a step, and {duration(aside)} to evaluate"


class Clock:
    """Counts down a budget of seconds from the moment when the command began.

    Other programs come and go, so that what a step and an evaluation take is followed as the run
    goes.
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
        return self.end - now()

    def pass_by(self) -> None:
        """What happened since the last call was neither a step nor an evaluation."""
        self._last = now()

    def stepped(self) -> None:
        """A step was taken since the last call. The first one also warms up, or compiles, and tells
        nothing."""
        seconds = self._lap()
        if self._begun:
            self._steps.append(seconds)
        self._begun = True

    def evaluated(self) -> None:
        """An evaluation was made, and saved, since the last call."""
        self._evaluations.append(self._lap())
        self._evaluating += self._evaluations[-1]

    @property
    def knows(self) -> bool:
        """Whether a step was measured yet."""
        return bool(self._steps)

    def may_evaluate(self) -> bool:
        """Whether there is time for an evaluation beside training."""
        return self._evaluating + median(self._evaluations) <= EVALUATING * (now() - self._begin)

    def steps_left(self, evaluations: int) -> int:
        """How many steps fit into what is left beside so many evaluations and the ending."""
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
    """Seconds of a clock that is never set back."""
    return time.monotonic()


class Stopwatch:
    """Seconds by name: what has passed since the last `lap`, or the beginning, counts for the name
    given."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now
