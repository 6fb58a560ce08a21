"""The display of long work on standard error: a live line on a terminal or in a notebook, a few
plain lines elsewhere."""

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.text import Text

from xinye.console import console, print_table, verbatim
from xinye.errors import readable
from xinye.language import listed, screen_language, shown, shown_reason, shown_word
from xinye.observer import Evaluated, Observer
from xinye.planning.plan import GROUPS
from xinye.planning.units import duration
from xinye.runs.chinese import sample_in_chinese

if TYPE_CHECKING:  # these import torch, which listing runs does not need
    from xinye.model.adapters import ParameterCount
    from xinye.planning.plan import Plan
    from xinye.training.loop import Step


def plan_rows(plan: "Plan") -> list[Sequence[str | Text]]:
    """The rows of a plan's table: each group with its title, and its numbers with their reasons."""
    rows: list[Sequence[str | Text]] = []
    for group in GROUPS:
        known = [
            (f"  {name}", value, Text(shown_reason(why), "dim"))
            for name, value, why in plan.rows(group)
        ]
        if known:
            rows += [(Text(shown_word(group), "bold"), "", ""), *known]
    return rows


class NotebookLine:
    """A line in a notebook's output that is replaced in place, at most twice a second, without
    widgets."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.shown = 0.0

    def update(self, text: str) -> None:
        if time.monotonic() > self.shown + 0.5:
            self._show(text)

    def clear(self) -> None:
        if self.handle is not None:
            self._show("")

    def _show(self, text: str) -> None:
        from IPython.display import display  # always installed in a notebook

        content = {"text/plain": readable(text)}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)
        self.shown = time.monotonic()


class Display(Observer):
    """Shows a run: stages, the plan, a live line with loss, speed and time left, and samples."""

    def __init__(self, show_plan: bool = True, counted: str = "tokens") -> None:
        self.show_plan, self.counted = show_plan, counted
        self.planned: dict[str, Any] = {}
        self.live = Live(console=console, refresh_per_second=8, transient=True)
        self.line = NotebookLine()
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.begin = time.monotonic()

    def __enter__(self) -> "Display":
        if console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()
        self.line.clear()

    def now(self, text: Text) -> None:
        """Replace the live line. If there is no live line, this prints nothing."""
        if console.is_terminal:
            self.live.update(text)
        elif console.is_jupyter:
            self.line.update(text.plain)

    def stage(self, text: str) -> None:
        text = shown_word(text)
        if console.is_terminal or console.is_jupyter:
            self.now(Text(f"{text} …", style="dim"))
        else:
            console.print(Text(text))

    def warn(self, text: str) -> None:
        console.print(Text(shown(text), style="yellow"), soft_wrap=True)

    def progress(self, text: str) -> None:
        self.now(Text(shown(text), style="dim"))

    def plan(self, plan: "Plan", trainable: "Sequence[ParameterCount]" = ()) -> None:
        self.planned = plan.values
        self.losses, self.seconds, self.begin = [], [], time.monotonic()
        if not self.show_plan:
            return
        print_table(("", "", ""), plan_rows(plan), left=(0, 2), on=console)
        if trainable:
            counts = [
                (
                    shown_word(each.name),
                    f"{each.trainable:,}",
                    f"{each.total:,}",
                    f"{each.share:.2%}",
                )
                for each in trainable
            ]
            console.print()
            print_table(("", "trainable", "total", ""), counts, left=(0, 3), on=console)
            console.print()

    def step(self, step: "Step", steps: int) -> None:
        self.losses = [*self.losses[-49:], step.loss]
        self.seconds = [*self.seconds[-49:], step.seconds]
        if not (console.is_terminal or console.is_jupyter):
            return
        per_step = sum(self.seconds) / len(self.seconds)
        done = int(24 * step.step / steps)
        bar = ("━" * done, "green"), ("━" * (24 - done), "bright_black")
        words = (
            f"step {step.step:,}/{steps:,}  loss {sum(self.losses) / len(self.losses):.3f}  "
            f"{step.tokens / per_step:,.0f} {self.counted}/s  "
            f"{duration((steps - step.step) * per_step)} left"
        )
        self.now(Text.assemble(*bar, " ", shown(words)))

    def evaluated(self, evaluated: Evaluated) -> None:
        figures = evaluated.figures
        others = [name for name in evaluated.shown if name != "loss" and name in figures]
        parts = [f"step {evaluated.step:,}, validation loss {figures['loss']:.3f}"]
        for name in others:
            parts.append(f"{shown_word(name.replace('_', ' '))} {figures[name]:.3f}")
        head = listed(parts)
        spent = shown(duration(time.monotonic() - self.begin))
        console.print(Text(f"{spent:>10}  {head}", style="cyan"))
        sample = " ".join(evaluated.sample.split())
        if screen_language() == "zh":
            sample = sample_in_chinese(sample)
        if sample:
            console.print(verbatim(sample, style="default"))

    def ended(self, outcome: object) -> None:
        """Clear the live line."""
        self.live.update("")
        self.line.clear()


class Brief(Display):
    """The display of one run among several: only its live line and, once each, its warnings."""

    def __init__(self) -> None:
        super().__init__(show_plan=False)
        self.warned: set[str] = set()

    def warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            super().warn(text)

    def stage(self, text: str) -> None:
        self.now(Text(f"{shown_word(text)} …", style="dim"))

    def evaluated(self, evaluated: Evaluated) -> None: ...
