"""The base class of the tasks that learn from texts.

A task is one class in one file, and one line in `TASKS` (`registry.py`). These give `xinye finetune
--task`, `data check` and `data show --task`, `evaluate` with a baseline, `--folds`, `tune`, `demo
--task`, the task's own command, `model.<verb>()` in Python, and its sections in report and model
card. Nothing outside this folder knows a task by name. Most tasks extend a more specific class:
`heads.HeadTask` for tasks with labels, `writing.Writing` for tasks that answer a text with a text.
"""

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.classification import Figures
from xinye.generation import sequence
from xinye.generation.chat import Message
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Labelled
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.finetuning import Pace
from xinye.tasks.base_task import BaseTask
from xinye.tasks.exercise import Exercise
from xinye.tasks.reading import ReadsRecords
from xinye.tasks.records import (
    Augmentation,
    Example,
    Examples,
    split,
)

# What a token shows: whether it is trained, or its label. None if the label belongs to the whole
# text.
Mark = bool | str | None


@dataclass(frozen=True)
class Judged:
    """A model to evaluate or use: where it was loaded from, and whether to compare it with a
    baseline."""

    model: Any
    tokenizer: Tokenizer
    folder: Path
    observer: Observer
    with_baseline: bool = True


@dataclass(frozen=True)
class Trained:
    """A network at the end of its training, with the records, and the run's folder."""

    model: Any
    tokenizer: Tokenizer
    training: Sequence[Any]
    validation: Sequence[Any]
    context: int
    settings: FinetuneSettings
    folder: Path


class Task(BaseTask, ReadsRecords):
    """What a model can be trained for. A subclass defines the abstract methods and the class
    variables without a value; everything else is optional.

    Records are objects of the task's own class. Each has its text in `whole`, its `place`
    ("reviews.csv, line 17") and the `format` it was read from. The class can read records; an
    object, made from records or a network, also knows what is in them, such as the labels."""

    # -- description -------------------------------------------------------------------------------

    baseline_name: ClassVar[str]
    baseline_library: ClassVar[str] = ""  # the package that the baseline needs
    # True if the baseline is the base model, measured before the first step
    baseline_is_base: ClassVar[bool] = False
    # True if `validate` sets a threshold of the model, which is saved with it
    learns_threshold: ClassVar[bool] = False
    outside: ClassVar[str] = ""  # the label of a token outside all spans
    beside: ClassVar[tuple[str, ...]] = ()  # the files that `complete` saves in the run's folder
    pace: ClassVar[Pace | None] = None  # how slowly all weights learn; None for the usual pace
    # the attention that the plan chooses if the layers are frozen
    frozen_attention: ClassVar[str] = "both"
    exercise: ClassVar[Exercise | None] = None  # for `xinye demo --task`

    # The usual names of the column with a text, for a command that reads documents.
    sources: ClassVar[tuple[str, ...]] = ("text", "content", "正文", "文本")
    # The singular and plural of what `counts` counts, for `data check`.
    counted: ClassVar[tuple[str, str]] = ("label", "labels")
    own_labels: ClassVar[bool] = False  # what `counts` and the marks of spans name, Xinye has named
    counts_name: ClassVar[str] = "labels"  # the plural in the plan
    kept_of: ClassVar[str] = "the records of each label"  # of these, a share is kept for validation
    cut: ClassVar[str] = "the rest is cut off"  # what happens to records that are too long

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def of(cls, records: Sequence[Any]) -> Self:
        """The task for these records, for example with their labels. Raises `XinyeError` if there
        is nothing to learn."""
        return cls()

    @classmethod
    def of_network(cls, model: Any) -> Self:
        """The task for which a network was trained."""
        return cls()

    @classmethod
    def of_run(cls, model: Any, folder: Path) -> Self:
        """The task for which the network of a model's folder was trained. A task that chose
        something by the figures of its run reads them there."""
        return cls.of_network(model)

    def check(self, records: Sequence[Any]) -> None:
        """Raises `XinyeError` for a record on which a model of this task cannot be evaluated."""

    @classmethod
    def split(
        cls, records: Sequence[Any], share: float, seed: int, fold: tuple[int, int] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """The training records, and a share or fold of all records for validation. Records with the
        same text stay together."""
        return split(records, share, seed, fold, lambda record: cls.stratum(record, bool(fold)))

    @classmethod
    def stratum(cls, record: Any, folds: bool) -> Hashable:
        """A key, such as the label, of which both parts, or all `folds`, get the same share."""
        return ""

    @classmethod
    def findings(cls, training: Sequence[Any], validation: Sequence[Any]) -> Iterable[str]:
        """Sentences about the records that a person should know, the most important first."""
        return ()

    @classmethod
    def counts(cls, records: Sequence[Any]) -> dict[str, int]:
        """How often each label, or whatever is `counted`, occurs, the most frequent first."""
        return {}

    @classmethod
    def enlarged(cls, records: Sequence[Any], settings: FinetuneSettings) -> list[Any]:
        """The records to train on, and those that the task makes from them."""
        return list(records)

    def facts(self, records: Sequence[Any]) -> dict[str, Any]:
        """Facts about the training records that the run saves for users of its model."""
        return {}

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """The base model's tokenizer, changed if the task needs it."""
        return tokenizer

    @classmethod
    def token_findings(
        cls,
        tokenizer: Tokenizer,
        theirs: Tokenizer,
        training: Sequence[Any],
        validation: Sequence[Any],
    ) -> Iterable[str]:
        """Sentences about the records as tokens. `theirs` is the tokenizer of the base model."""
        return ()

    @abstractmethod
    def examples(self, tokenizer: Tokenizer, records: Sequence[Any], context: int) -> list[Example]:
        """The training examples, each of at most `context` tokens. Raises `XinyeError` for a record
        that a model cannot learn from."""

    def training_examples(
        self,
        tokenizer: Tokenizer,
        records: Sequence[Any],
        context: int,
        settings: FinetuneSettings,
    ) -> Examples:
        """The examples in the order in which they are learned, with their augmentation."""
        examples = self.examples(tokenizer, records, context)
        augmentation = Augmentation(**settings.shares)
        return Examples(examples, tokenizer.pad_id, settings.seed, augmentation)

    @abstractmethod
    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        """The label of the whole example or None, and each token id with its mark, for `data check`
        and `data show`."""

    def mixed(self, tokenizer: Tokenizer, records: Sequence[Any], context: int) -> list[Example]:
        """The records as a base model reads them in pretraining (`--task-mix`), which trains all
        their tokens and ignores the targets: usually the tokens of fine-tuning."""
        return self.examples(tokenizer, records, context)

    # -- training and evaluation -------------------------------------------------------------------

    @abstractmethod
    def network(self, backbone: GPTConfig, base: GPT) -> Any:
        """The network to train: the layers of `base`, configured as in `backbone`."""

    @abstractmethod
    def loss(self, model: Any, batch: Labelled) -> Tensor:
        """The sum of the losses in nats over all targets of a batch that count."""

    @abstractmethod
    def losses(self, model: Any, tokenizer: Tokenizer, examples: Examples) -> Figures:
        """The mean `loss` in nats per target, and metrics derived from it."""

    @abstractmethod
    def measure(
        self, model: Any, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Figures:
        """The other metrics by name, and, for tasks with classes, a `table` of them."""

    def validate(
        self,
        model: Any,
        tokenizer: Tokenizer,
        records: Sequence[Any],
        context: int,
        settings: FinetuneSettings,
    ) -> Figures:
        """The same metrics during training, on the validation records. A task that
        `learns_threshold` sets it here."""
        return self.measure(model, tokenizer, records, context)

    @classmethod
    def completing(cls, settings: FinetuneSettings) -> str:
        """What `complete` does, for the screen; "" if nothing."""
        return ""

    def complete(self, trained: Trained) -> Figures:
        """Learn and save what belongs to the model beside its network, such as a calibration, at
        the end of training. Returns its part of the results: `measured` and others, as
        `result.json` has them."""
        return {}

    def learned(self, training: Sequence[Any], validation: Sequence[Any]) -> list[Any]:
        """The records that the model of a run has learned from, of its two parts of the data."""
        return list(training)

    def forget(self, folder: Path) -> None:
        """Delete from a run's folder what `complete` saved: it would not suit the new weights of a
        network that is trained on."""
        for name in self.beside:
            (folder / name).unlink(missing_ok=True)

    @abstractmethod
    def baseline(
        self, training: Sequence[Any], records: Sequence[Any], before: Figures | None
    ) -> Figures:
        """The same metrics for a simple method that trains on `training`. `before` holds the base
        model's metrics, if that is the baseline. Raises `XinyeError` if there is no baseline."""

    def other_baselines(
        self, training: Sequence[Any], records: Sequence[Any]
    ) -> Mapping[str, Callable[[], Figures]]:
        """Functions that compute the same metrics for further simple methods, by their names."""
        return {}

    def baselines(
        self,
        training: Sequence[Any],
        records: Sequence[Any],
        before: Figures | None,
        notes: list[str],
    ) -> dict[str, Any]:
        """The metrics of the `baseline` and of the `other_baselines`, each with its `name`, as
        results hold them. For each that fails a sentence is added to `notes`."""
        main: Figures | None = None
        try:
            main = {"name": self.baseline_name, **self.baseline(training, records, before)}
        except XinyeError as error:
            notes.append(f"no baseline: {error}")
        others = []
        for name, measured in self.other_baselines(training, records).items():
            try:
                others.append({"name": name, **measured()})
            except XinyeError as error:
                notes.append(f"no baseline: {name}: {error}")
        return {"baseline": main, "other_baselines": others}

    @abstractmethod
    def sample(self, model: Any, tokenizer: Tokenizer, record: Any, context: int) -> str:
        """The model's answer to a record, as one line."""

    # -- use ---------------------------------------------------------------------------------------

    @abstractmethod
    def use(
        self,
        model: Any,
        tokenizer: Tokenizer,
        inputs: Sequence[Any],
        context: int,
        settings: Any = None,
    ) -> list[Any]:
        """The model's result for each input. `settings` are those of the task's command; None
        stands for the defaults."""

    @classmethod
    def asked(cls, text: str) -> list[Message]:
        """The messages that ask a model that writes about a text, in training and in use."""
        return [{"role": "user", "content": text}]

    @classmethod
    def answered(cls, reply: sequence.Sequence) -> Any:
        """The reply as a result: its `text`, and whether it `ended` by itself."""
        return {"text": reply.text.strip(), "ended": reply.finish_reason == "stop"}

    @classmethod
    def told(cls, result: Any) -> Row:
        """The result as an object for `--json`."""
        return dict(result)

    @classmethod
    @abstractmethod
    def lines(cls, text: str, result: Any, alone: bool) -> list[str]:
        """The result as lines for the terminal; `alone` is True if it is the only one."""

    # True if its command writes lines to a pipe or file exactly as they are: a text of the user
    exact: ClassVar[bool] = False
    # what its command prints in colour: a style for each regular expression
    highlights: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def notes_on(cls, result: Any) -> Sequence[str]:
        """What a person should know about a result, besides its lines."""
        return ()

    # -- without training --------------------------------------------------------------------------

    # True if a model can be evaluated without training for the task
    judges_untaught: ClassVar[bool] = False
    # True if a language model that was trained for no task can be used for this one, too
    works_untaught: ClassVar[bool] = False
