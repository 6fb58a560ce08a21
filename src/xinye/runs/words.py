"""What a task is called and how its figures are written. A task says it, a run's folder keeps it,
and the report and the model card print it: so they need to know no task."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError


class Both(NamedTuple):
    """The same in both languages."""

    en: str
    zh: str


def in_language(words: Mapping[str, Both], language: str) -> dict[str, str]:
    """The texts of one language, zh or en, by their names."""
    return {name: text.zh if language == "zh" else text.en for name, text in words.items()}


NOTHING = Both("", "")
RECORDS = Both("records", "样本数")
TO_USE = Both("To use it:", "使用模型：")


@dataclass(frozen=True)
class Figure:
    """A figure that a model is judged by: its name in `result.json`, how the terminal's tables and
    how the report call it, and how it is written: with so many digits, as a percentage or not."""

    name: str
    short: str
    says: Both = NOTHING
    digits: int = 3
    percent: bool = False
    reported: bool = True  # also in the report and the model card
    lower_is_better: bool = False

    def written(self, value: float, space: str = "") -> str:
        """The value as it is read: 94.5%, or with a space 94.5 %."""
        if not self.percent:
            return f"{value:.{self.digits}f}"
        return f"{100 * value:.{self.digits}f}{space}%"

    def gain(self, value: float, than: float) -> float:
        """By how much a value is better than another; below zero where it is worse."""
        return than - value if self.lower_is_better else value - than

    def chance(self, one: float, other: float, records: int) -> float:
        """The difference that chance alone makes of two values on so many records, in 95 of 100
        cases: that of two shares. Nothing is known of what is no share."""
        if not self.percent:
            return 0.0
        shares = [min(1.0, max(0.0, value)) for value in (one, other)]
        return 1.96 * math.sqrt(sum(share * (1 - share) for share in shares) / records)

    def amount(self, gain: float) -> str:
        """A difference of two values as it is read."""
        return f"{100 * gain:.1f} points" if self.percent else f"{gain:.{self.digits}f}"


LOSS = Figure("loss", "loss", Both("loss", "损失"), reported=False, lower_is_better=True)


@dataclass(frozen=True)
class TaskWords:
    """What a run's folder keeps of its task. `{folder}` in the lines of code is where the model
    lies, `{labels}` the number of labels."""

    figures: tuple[Figure, ...] = ()
    decides: str = ""  # the figure that is drawn beside the baseline; "" where the loss decides
    unit: str = ""  # what a step counts: labels or tokens
    has_labels: bool = True  # that the card can list
    support: Both = RECORDS  # what stands behind a class in its table
    does: str = "Does what its records show."
    limit: str = "It states false things fluently, and was not made safe for anything that matters."
    pipeline: str = "text-generation"  # of the hub
    use: Both = TO_USE
    command: str = ""  # the line to type
    python: str = ""  # the same in Python
    transformers: str = ""  # the same with another tool

    @property
    def reported(self) -> list[Figure]:
        return [figure for figure in self.figures if figure.reported]

    @property
    def deciding(self) -> Figure | None:
        return next((figure for figure in self.figures if figure.name == self.decides), None)


_ADAPTER = TypeAdapter(TaskWords)


def words_from(kept: Any) -> TaskWords:
    """The words that a run's `settings.json` keeps; those that hold for every task where it keeps
    none."""
    try:
        return _ADAPTER.validate_python(kept or {})
    except ValidationError:  # of a damaged folder, or a later version
        return TaskWords()
