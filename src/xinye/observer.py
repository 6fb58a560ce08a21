"""Who is told what happens in long work, and in a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from xinye.model.adapters import ParameterCount
    from xinye.planning.plan import Plan
    from xinye.training.job import Run
    from xinye.training.loop import Step


@dataclass(frozen=True)
class Evaluated:
    """What a model was judged to be: before the first step, on the way, or at the end."""

    kind: Literal["before", "validation", "result"]
    step: int
    seconds: float  # spent in steps
    sample: str  # a text that shows what it can do
    figures: dict[str, float]
    shown: tuple[str, ...] = ("loss",)  # the figures that matter most


class Observer:
    """Told what happens; this one stays silent. The terminal's display, `metrics.jsonl` and each
    tracker listen to what they want to hear."""

    # -- in any long work

    def stage(self, text: str) -> None: ...
    def warn(self, text: str) -> None: ...
    def progress(self, text: str) -> None: ...

    # -- in a run

    def plan(self, plan: "Plan", trainable: "Sequence[ParameterCount]" = ()) -> None: ...
    def step(self, step: "Step", steps: int) -> None: ...
    def evaluated(self, evaluated: Evaluated) -> None: ...
    def refused(self, step: int, texts: "Sequence[str]") -> None: ...
    def ended(self, outcome: "Run | BaseException") -> None: ...  # or the error it failed with

    def counting(self, what: str, total: int, unit: str) -> Callable[[int], None]:
        """A function that is told how much is done: "scoring … 10 of 20 tokens done"."""
        return lambda done: self.progress(f"{what} … {done:,} of {total:,} {unit} done")
