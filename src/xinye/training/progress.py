"""How far a run is, and which of its models is the best."""

import math
from dataclasses import dataclass, field
from typing import Any

from xinye.training.job import Figures


@dataclass
class Progress:
    """How far a run is. Each checkpoint saves it."""

    step: int = 0  # steps done
    seconds: float = 0.0  # the time spent in them
    # The best evaluation: its step and figure; `worse_since` counts the later ones, none better.
    best: dict[str, Any] = field(default_factory=dict)
    before: Figures | None = None
    cooled_from: int | None = None  # the step of the model that the cool-down began with

    def compare(self, figures: Figures, better: str, lower_replaced: bool) -> None:
        """Note whether the model of this step, with these figures, is the best so far by the one
        named `better`."""
        best, step, loss, figure = self.best, self.step, figures["loss"], figures[better]
        if best and best["step"] == step:  # the same model again, after a kill
            return
        if not best or (figure < best[better] if lower_replaced else figure > best[better]):
            self.best = {"step": step, **figures, "worse_since": 0}
        else:
            best["worse_since"] = best.get("worse_since", 0) + 1
            if figure == best[better] and loss < best.get("loss", -math.inf):
                best |= {"step": step, "loss": loss}  # this does not reset patience
