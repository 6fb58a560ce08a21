"""What a person sees of long work: on a terminal and in a notebook a live line, elsewhere a few
plain ones. All on standard error.

Whatever is printed through here cannot drive the terminal, be it from data, a model or a file's
name.
"""

import os
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import rich.console
from rich.live import Live
from rich.protocol import rich_cast
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

from xinye.errors import readable
from xinye.observer import Evaluated, Observer
from xinye.planning.units import duration

if TYPE_CHECKING:  # both bring torch, which listing runs can do without
    from xinye.model.adapters import ParameterCount
    from xinye.planning.plan import Plan
    from xinye.training.loop import Step

# Of several processes that train together, one talks. A launcher tells each how many they are; a
# rank without that is somebody else's.
FIRST = not {"WORLD_SIZE", "MASTER_ADDR"} <= os.environ.keys() or os.environ.get("RANK", "0") == "0"


class Console(rich.console.Console):
    """Prints what it is given: no text is taken for markup, and what would drive the terminal is
    shown by a sign."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, *arguments: Any, **options: Any) -> Text:
        return super().render_str(readable(text), *arguments, **options)

    def render(
        self,
        renderable: rich.console.RenderableType,
        options: rich.console.ConsoleOptions | None = None,
    ) -> Iterable[Segment]:
        renderable = rich_cast(renderable)
        if isinstance(renderable, Text):
            renderable = renderable.copy()
            renderable.plain = readable(renderable.plain)
        return super().render(renderable, options)


console = Console(stderr=True, quiet=not FIRST)


class NotebookLine:
    """A line in a notebook's output that is replaced in place, twice a second; no widgets are
    needed for it."""

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
        from IPython.display import display  # a notebook has it

        content = {"text/plain": readable(text)}
        if self.handle is None:
            self.handle = display(content, raw=True, display_id=True)
        else:
            self.handle.update(content, raw=True)
        self.shown = time.monotonic()


class Display(Observer):
    """Shows a run: stages, the plan, a live line with loss, speed and time left, and samples as
    they are written."""

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
        """Show what is going on in place of what was; nothing where no line can be replaced."""
        if console.is_terminal:
            self.live.update(text)
        elif console.is_jupyter:
            self.line.update(text.plain)

    def stage(self, text: str) -> None:
        if console.is_terminal or console.is_jupyter:
            self.now(Text(f"{text} …", style="dim"))
        else:
            console.print(text)

    def warn(self, text: str) -> None:
        console.print(Text(text, style="yellow"), soft_wrap=True)

    def progress(self, text: str) -> None:
        self.now(Text(text, style="dim"))

    def plan(self, plan: "Plan", trainable: "Sequence[ParameterCount]" = ()) -> None:
        self.planned = plan.values
        self.losses, self.seconds, self.begin = [], [], time.monotonic()
        if not self.show_plan:
            return
        table = Table(
            Column(style="bold", no_wrap=True), Column(justify="right", no_wrap=True),
            Column(style="dim"), box=None, padding=(0, 2, 0, 0), show_header=False,
        )  # fmt: skip
        for row in plan.rows():
            table.add_row(*row)
        console.print(table)
        if trainable:
            table = Table(
                Column(no_wrap=True),
                *(Column(name, justify="right", no_wrap=True) for name in ("trained", "of")),
                Column(no_wrap=True), box=None, padding=(0, 2, 0, 0),
            )  # fmt: skip
            for each in trainable:
                counts = f"{each.trainable:,}", f"{each.total:,}", f"{each.share:.2%}"
                table.add_row(each.name, *counts)
            console.print("", table, "")

    def step(self, step: "Step", steps: int) -> None:
        self.losses = [*self.losses[-49:], step.loss]
        self.seconds = [*self.seconds[-49:], step.seconds]
        per_step = sum(self.seconds) / len(self.seconds)
        done = int(24 * step.step / steps)
        bar = ("━" * done, "green"), ("━" * (24 - done), "bright_black")
        words = (
            f" step {step.step:,}/{steps:,}  loss {sum(self.losses) / len(self.losses):.3f}  "
            f"{step.tokens / per_step:,.0f} {self.counted}/s  "
            f"{duration((steps - step.step) * per_step)} left"
        )
        self.now(Text.assemble(*bar, words))

    def evaluated(self, evaluated: Evaluated) -> None:
        figures = evaluated.figures
        others = [name for name in evaluated.shown if name != "loss" and name in figures]
        told = "".join(f", {figures[name]:.3f} {name.replace('_', ' ')}" for name in others)
        head = f"step {evaluated.step:,}, validation loss {figures['loss']:.3f}{told}"
        spent = duration(time.monotonic() - self.begin)
        console.print(Text(f"{spent:>10}  {head}", style="cyan"))
        sample = " ".join(evaluated.sample.split())
        console.print(Text(sample, style="default"), soft_wrap=not console.is_terminal)

    def ended(self, outcome: object) -> None:
        """Its live line is of no use any more."""
        self.live.update("")
        self.line.clear()


class Brief(Display):
    """For one run among several: only its live line, and what is wrong, once."""

    def __init__(self) -> None:
        super().__init__(show_plan=False)
        self.warned: set[str] = set()

    def warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            super().warn(text)

    def stage(self, text: str) -> None:
        self.now(Text(f"{text} …", style="dim"))

    def evaluated(self, evaluated: Evaluated) -> None: ...
