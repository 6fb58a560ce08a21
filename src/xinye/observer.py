"""The events of a run, and the interface of whoever wants to hear them."""

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
    """The result of one evaluation: before the first step, during training, or at the end."""

    kind: Literal["before", "validation", "result"]
    step: int
    seconds: float  # spent in training steps so far
    sample: str  # a text that shows what the model can do
    figures: dict[str, float]
    shown: tuple[str, ...] = ("loss",)  # the names of the figures that matter most


class Observer:
    """Receives the events of long work; this base class ignores all of them. The terminal's
    display, `metrics.jsonl` and each tracker are subclasses that override the methods they need."""

    # -- events of any long work

    def stage(self, text: str) -> None: ...  # a new stage of the work begins
    def warn(self, text: str) -> None: ...  # the user should know this
    def progress(self, text: str) -> None: ...  # how far this stage is; replaces the last one

    # -- events of a training run

    # The plan is made. `trainable` is the table of trained weights, for fine-tuning.
    def plan(self, plan: "Plan", trainable: "Sequence[ParameterCount]" = ()) -> None: ...

    # A step was taken, of `steps` planned now.
    def step(self, step: "Step", steps: int) -> None: ...

    # The model was evaluated.
    def evaluated(self, evaluated: Evaluated) -> None: ...

    # A step changed nothing, because its gradient was not finite. `texts` are those of its batch.
    def refused(self, step: int, texts: "Sequence[str]") -> None: ...

    # The run ended with a result, or with an error.
    def ended(self, outcome: "Run | BaseException") -> None: ...

    def counting(self, what: str, total: int) -> Callable[[int], None]:
        """A function that takes how many are done and reports it as progress: "scoring the tokens
        … 10 of 20 done"."""
        return lambda done: self.progress(f"{what} … {done:,} of {total:,} done")
