"""What a task's demo teaches."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xinye.data.records import Row
from xinye.runs.words import NOTHING, Both


@dataclass(frozen=True)
class Exercise:
    """What `xinye demo --task` needs: generated records, and words for the screen. A row is a
    record as it is written to a JSON Lines file."""

    make: Callable[[int, str], Sequence[Row]]  # a number of rows in a language, zh or en
    begin: Both  # what a GPT will learn
    baseline: Both  # what the model is compared with
    line: Callable[[Row], str]  # a row as one line
    # the text that the base model trains on, without label
    text: Callable[[Row], str] = lambda row: row["text"]
    # what the model is given of a row at the end, if that is not the same
    given: Callable[[Row], str] | None = None
    # The row with the model's answer in place of the right one, and its confidence. A task that
    # chats has `questions` instead.
    answered: Callable[[Row, Any], tuple[Row, str]] | None = None
    # the settings with which the model is used for a row; and, if the command is given more than
    # the text, what stands in place of its …
    settings: Callable[[Row], dict[str, Any]] = lambda row: {}
    typed: Callable[[Row], str] | None = None
    questions: Sequence[Both] = ()
    # selects rows for the test set (default: those not trained on)
    kept: Callable[[Row], bool] | None = None
    asked: Both = NOTHING  # what is new in the test set
    # The documents of a language to answer from, by title; the base model trains on them alone.
    documents: Callable[[str], Mapping[str, str]] | None = None
    new: int = 3  # rows to try at the end, the last ones
    training: int = 200  # rows
    context: int = 64  # tokens
    base_epochs: float = 4
    epochs: float = 12
    # other settings of the fine-tuning
    tuning: Mapping[str, object] = field(default_factory=dict)
    # by name, the sentences of the demo that are different for this task
    words: Mapping[str, Both] = field(default_factory=dict)
    # by language, if not the default tokenizer
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    # other exercises of the same task, by name, for `--set`
    sets: "Mapping[str, Exercise]" = field(default_factory=dict)

    def input(self, row: Row) -> str:
        """What the model is given of a row."""
        return (self.given or self.text)(row)
