"""Who is told what happens in a run."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from xinye.recipes.plan import Plan
    from xinye.training.loop import Step


class Watcher:
    """Told what happens in a run; this one stays silent."""

    def stage(self, text: str) -> None: ...
    def prepared(self, characters: int) -> None: ...
    def plan(self, plan: "Plan") -> None: ...
    def step(self, step: "Step", steps: int) -> None: ...
    def validated(self, step: int, loss: float, bits_per_byte: float, sample: str) -> None: ...
