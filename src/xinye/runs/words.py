"""The names of a task and of its figures, for the terminal, the report and the model card.

A task provides them and the run's folder keeps them, so that report and card need to know no task.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError


class Both(NamedTuple):
    """A text in English and in Chinese."""

    en: str
    zh: str


def in_language(words: Mapping[str, Both], language: str) -> dict[str, str]:
    """The texts of one language, zh or en, by name."""
    return {name: text.zh if language == "zh" else text.en for name, text in words.items()}


NOTHING = Both("", "")
RECORDS = Both("records", "样本数")
EVALUATED = Both(
    "On {count} records that were held out from training", "在 {count} 条未参与训练的样本上评估"
)
SAMPLE = Both("Of a record that it had not learned from:", "一条未参与训练的样本：")
BOUNDS = Both(
    "It was fine-tuned for this task on this kind of text; on other text the figures above do not "
    "hold.",
    "它只在这一类文本上学过这一个任务；换一类文本，上面的结果不再成立。",
)
TO_USE = Both("To use it:", "使用模型：")


@dataclass(frozen=True)
class Figure:
    """A figure that a model is evaluated by: its name in `result.json`, its names in the terminal
    (`short`) and in the report (`says`), and how its value is written."""

    name: str
    short: str
    says: Both = NOTHING
    digits: int = 3
    percent: bool = False
    reported: bool = True  # whether it is in the report and the model card, too
    lower_replaced: bool = False

    def written(self, value: float, space: str = "") -> str:
        """The value in readable form: 94.5%, or with `space` 94.5 %."""
        if not self.percent:
            return f"{value:z.{self.digits}f}"
        return f"{100 * value:z.{self.digits}f}{space}%"

    def gain(self, value: float, than: float) -> float:
        """By how much `value` is better than `than`; negative if it is worse."""
        return than - value if self.lower_replaced else value - than

    def chance(self, one: float, other: float, records: int) -> float:
        """The largest difference that chance makes between two shares measured on so many records,
        in 95 % of cases. It is 0 for figures that are not shares, because nothing is known about
        them."""
        if not self.percent:
            return 0.0
        shares = [min(1.0, max(0.0, value)) for value in (one, other)]
        return 1.96 * math.sqrt(sum(share * (1 - share) for share in shares) / records)

    def amount(self, gain: float) -> str:
        """A difference of two values in readable form."""
        return f"{100 * gain:.1f} points" if self.percent else f"{gain:.{self.digits}f}"


LOSS = Figure("loss", "loss", Both("loss", "损失"), reported=False, lower_replaced=True)


@dataclass(frozen=True)
class TaskWords:
    """The names and texts of a task, as the run's folder keeps them. In lines of code `{folder}`
    stands for the model's folder, and `{labels}` for the number of labels."""

    figures: tuple[Figure, ...] = ()
    decides: str = ""  # the figure that is drawn with the baseline; "" if the loss decides
    unit: str = ""  # what a step counts: labels or tokens
    has_labels: bool = True  # whether the card can list labels
    support: Both = RECORDS  # what is counted for each class in its table
    evaluated: Both = EVALUATED  # on how many of what
    sample: Both = SAMPLE  # what a sample is
    bounds: Both = BOUNDS  # where the figures hold
    does: str = "Performs the task that its training records show."
    limit: str = (
        "It states false things fluently. It was not tested for safety; do not rely on it "
        "where mistakes matter."
    )
    pipeline: str = "text-generation"  # the name of the hub's pipeline
    use: Both = TO_USE
    command: str = ""  # the command that uses the model
    python: str = ""  # the same in Python, after the line `loads`
    loads: str = 'model = xinye.load("{folder}")'
    transformers: str = ""  # the same with `transformers`

    @property
    def reported(self) -> list[Figure]:
        """The figures in the report and the model card."""
        return [figure for figure in self.figures if figure.reported]

    @property
    def deciding(self) -> Figure | None:
        """The main figure of the task, by which the report marks the best step; None if that is the
        loss."""
        return next((figure for figure in self.figures if figure.name == self.decides), None)


_ADAPTER = TypeAdapter(TaskWords)


def words_from(kept: Any) -> TaskWords:
    """The words in a run's `settings.json`; the general ones if it has none or they are damaged."""
    try:
        return _ADAPTER.validate_python(kept or {})
    except ValidationError:  # the folder is damaged, or of a later version
        return TaskWords()
