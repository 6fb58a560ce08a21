"""What a task is.

A task is one class in one file and one line in `TASKS` (`registry.py`). From them follow `xinye
finetune --task`, `data check` and `data show --task`, `evaluate` beside a baseline, `--folds`,
`tune` and `demo --task`, the task's verb on the command line, `model.<verb>()` in Python, and
the sections of report and model card: nothing outside this folder knows a task by its name. Most
tasks begin from a middle class: `heads.HeadTask` where a network judges texts, and
`writing.Writing` where it answers a text with a text.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import Tensor

from xinye.data.files import RECORD_SUFFIXES, find_records
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sources import headerless, read_records
from xinye.data.spreadsheets import note_no_workbook
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.evaluation.classification import Figures
from xinye.generation import sequence
from xinye.generation.chat import Message
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Kind, Labelled
from xinye.observer import Observer
from xinye.planning.column_settings import COLUMNS
from xinye.planning.finetune_settings import AUGMENTATIONS, FinetuneSettings
from xinye.runs.saved import SavedRun
from xinye.runs.words import LOSS, NOTHING, Both, Figure, TaskWords
from xinye.tasks.bad_records import Refused
from xinye.tasks.records import Example, Examples, OnBad, each_record, refuse, refuse_line, split
from xinye.tasks.registry import TASKS, find_task

# of a token: trained or not, or its label; None where the label is that of the whole
Mark = bool | str | None


@dataclass(frozen=True)
class Exercise:
    """What `xinye demo --task` needs: records made by a program, and words. A row is a record as it
    stands in a file of JSON lines."""

    make: Callable[[int, str], Sequence[Row]]  # so many rows in a language, zh or en
    begin: Both  # what a GPT will learn
    baseline: Both  # what it is judged beside
    line: Callable[[Row], str]  # a row in a line
    text: Callable[[Row], str] = lambda row: row["text"]  # what the base reads of it: no label
    # A row with what the model says in place of what is right, and how sure it is; or, where it
    # talks instead, questions that it shall answer.
    answered: Callable[[Row, Any], tuple[Row, str]] | None = None
    questions: Sequence[Both] = ()
    kept: Callable[[Row], bool] | None = None  # rows to judge on (else any that are left)
    asked: Both = NOTHING  # what is new in those
    training: int = 200  # rows
    context: int = 64  # tokens
    epochs: float = 12
    # by language, where it is not the usual one
    tokenizers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """A model that is judged on records: what it was loaded from, and whether beside a baseline."""

    model: Any
    tokenizer: Tokenizer
    folder: Path
    observer: Observer
    with_baseline: bool = True


class Task(ABC):
    """What a model can be taught. A task gives what is abstract here, and the names that have no
    value; the rest may be left out.

    Records are the task's own objects; each has its `text` as a `whole`, its `place` ("reviews.csv,
    line 17") and the `format` that it was found in. A class knows how to read them; an object, made
    from records or from a network, knows what was found in them, too, such as the labels.
    """

    # -- what it says of itself --------------------------------------------------------------------

    verb: ClassVar[str]  # its name, and its command
    words: ClassVar[TaskWords]  # for tables, report and card
    figures: ClassVar[tuple[str, ...]]  # those that a run is known by, `loss` first
    better: ClassVar[str]  # the one that says which checkpoint is the best; it stands in `words`
    baseline_name: ClassVar[str]
    baseline_library: ClassVar[str] = ""  # the package that it needs
    baseline_is_base: ClassVar[bool] = False  # then the base is judged before the first step
    writes: ClassVar[bool] = False  # whether it is the language model that answers
    continues_text: ClassVar[bool] = False  # more text instead of records: pretraining goes on
    outside: ClassVar[str] = ""  # the mark of a token that belongs to nothing
    head: ClassVar[Kind | None] = None  # else the kind of its head
    # what tokens see, as planned where layers do not learn
    frozen_attention: ClassVar[str] = "both"
    exercise: ClassVar[Exercise | None] = None  # for `xinye demo --task`

    # Those of the settings text_field, label_field … that it reads by.
    columns: ClassVar[tuple[str, ...]] = ()
    unused_settings: ClassVar[tuple[str, ...]] = ()  # further settings that have no effect on it
    augmentations: ClassVar[tuple[str, ...]] = tuple(AUGMENTATIONS)  # that leave its records right

    suffixes: ClassVar[tuple[str, ...]] = RECORD_SUFFIXES  # of the files of its records
    records_name: ClassVar[str] = "records"
    # what `counts` counts, one and several, for `data check`
    counted: ClassVar[tuple[str, str]] = ("label", "labels")
    counts_name: ClassVar[str] = "labels"  # and in the plan
    kept_of: ClassVar[str] = "the records of each label"  # of which a share is kept to judge on
    cut: ClassVar[str] = "the rest is cut off"  # what happens to records that are too long

    @classmethod
    def deciding(cls) -> Figure:
        """The figure that is named by `better`; larger is better where `words` do not tell of
        it."""
        known = (*cls.words.figures, LOSS, Figure(cls.better, cls.better))
        return next(figure for figure in known if figure.name == cls.better)

    @property
    def lower_is_better(self) -> bool:
        return self.deciding().lower_is_better

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def of(cls, records: Sequence[Any]) -> Self:
        """The task that records are of. Raises `XinyeError` where they have nothing to learn."""
        return cls()

    @classmethod
    def of_network(cls, model: Any) -> Self:
        """The task that a network has learned."""
        return cls()

    @classmethod
    def read(
        cls,
        files: Sequence[str],
        on_bad: OnBad = refuse,
        notes: Notes | None = None,
        **columns: str | None,
    ) -> list[Any]:
        """The records of files. What cannot be one is given to `on_bad`, with file, line and
        field; in `notes` stands what was left out or read differently."""
        notes = notes or Notes()
        records: list[Any] = []
        for path in cls.find_files(files, notes):
            note_no_workbook(path, notes)
            refused = Refused(path, on_bad)
            try:
                found = list(cls.read_file(path, refused.add, notes, **columns))
            except XinyeError as error:  # perhaps for another sheet or header was meant
                raise XinyeError(f"{error}{notes.of_file(path)}") from None
            if not found:
                nothing = XinyeError(f"{path}: no records in it{notes.of_file(path)}")
                raise next(iter(refused.errors), nothing)
            refused.check(len(found), notes)
            records += found
        return records

    @classmethod
    def find_files(cls, names: Iterable[str], notes: Notes | None = None) -> list[Path]:
        """The files of records that names, folders, archives and globs stand for."""
        notes = notes or Notes()
        found = (find_records(name, cls.suffixes, notes, cls.is_record) for name in names)
        return [path for files in found for path in files]

    @classmethod
    def is_record(cls, text: Path) -> bool:
        """Whether a text beside tables and JSON holds records, and is no README."""
        return False

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Any]:
        """Those of one file, of whatever kind it is."""
        named = [name for name in columns.values() if name]
        rows = read_records(path, refuse_line(on_bad), named, notes=notes)
        placed = ((place_of(path, line), row) for line, row in rows)
        read: Callable[..., Any] = partial(cls.record, notes=notes)
        return each_record(placed, partial(read, **columns), on_bad)

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes) -> Any:
        """The record in a row of a file: of a table or JSON an object. A task that has `columns`
        is given those, too. Raises `XinyeError` where it is none; None where it is left out, which
        `notes` tell. A task that reads whole files otherwise needs none."""
        raise XinyeError(f"{place}: {cls.verb} does not read rows")

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        """Why the first line of a table was taken for a record; "" where it was not."""
        return headerless(path, [name for name in columns.values() if name])

    def check(self, records: Sequence[Any]) -> None:  # noqa: B027, most judge any record
        """Raises `XinyeError` for a record that a model of this task cannot be judged on."""

    @classmethod
    def split(
        cls, records: Sequence[Any], share: float, seed: int, fold: tuple[int, int] | None = None
    ) -> tuple[list[Any], list[Any]]:
        """The records to learn from, and a share of them, or a fold, to judge on; equal texts stay
        together."""
        return split(records, share, seed, fold, lambda record: cls.stratum(record, bool(fold)))

    @classmethod
    def stratum(cls, record: Any, folds: bool) -> Hashable:
        """What both parts, or all `folds`, have the same share of, such as its label."""
        return ""

    @classmethod
    def findings(cls, training: Sequence[Any], validation: Sequence[Any]) -> Iterable[str]:
        """What a person should know of the records, in sentences, the most important first."""
        return ()

    @classmethod
    def counts(cls, records: Sequence[Any]) -> dict[str, int]:
        """How often each label, or whatever else is `counted`, is there, the most frequent
        first."""
        return {}

    @classmethod
    def facts(cls, records: Sequence[Any]) -> dict[str, Any]:
        """What a run keeps of its records, for those who use its model."""
        return {}

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """The base's tokenizer, changed as the task needs it."""
        return tokenizer

    @classmethod
    def token_findings(
        cls,
        tokenizer: Tokenizer,
        theirs: Tokenizer,
        training: Sequence[Any],
        validation: Sequence[Any],
    ) -> Iterable[str]:
        """What a person should know of the records as tokens; `theirs` is the tokenizer that the
        base had."""
        return ()

    @abstractmethod
    def examples(self, tokenizer: Tokenizer, records: Sequence[Any], context: int) -> list[Example]:
        """What is learned from, each of at most `context` tokens. Raises `XinyeError` for a record
        with nothing to learn from."""

    @abstractmethod
    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        """The label of a whole example, if it has one, and each token with its mark, for `data
        check` and `show`."""

    # -- learning and judging ----------------------------------------------------------------------

    @abstractmethod
    def network(self, backbone: GPTConfig, base: GPT) -> Any:
        """What learns: the base's layers, shaped as `backbone`."""

    @abstractmethod
    def loss(self, model: Any, batch: Labelled) -> Tensor:
        """The sum of the losses in nats over a batch's targets that count."""

    @abstractmethod
    def losses(self, model: Any, tokenizer: Tokenizer, examples: Examples) -> Figures:
        """`loss` in nats for each target, and what else follows from it."""

    @abstractmethod
    def measure(
        self, model: Any, tokenizer: Tokenizer, records: Sequence[Any], context: int
    ) -> Figures:
        """The other figures, by name, and where there are classes a `table` of them."""

    @abstractmethod
    def baseline(
        self, training: Sequence[Any], records: Sequence[Any], before: Figures | None
    ) -> Figures:
        """The same figures of simpler means that learn from `training`. `before` are those of the
        base, where the baseline is that. Raises `XinyeError` where there is no baseline."""

    @abstractmethod
    def sample(self, model: Any, tokenizer: Tokenizer, record: Any, context: int) -> str:
        """What the model says of a record, in a line."""

    # -- using what was learned --------------------------------------------------------------------

    @abstractmethod
    def use(
        self, model: Any, tokenizer: Tokenizer, inputs: Sequence[Any], context: int
    ) -> list[Any]:
        """What the model says of each text."""

    @classmethod
    def asked(cls, text: str) -> list[Message]:
        """What the model of a task that writes is asked about a text, in training and in use."""
        return [{"role": "user", "content": text}]

    @classmethod
    def answered(cls, reply: sequence.Sequence) -> Any:
        """Its reply as a result."""
        return {"text": reply.text.strip(), "ended": reply.finish_reason == "stop"}

    @classmethod
    def told(cls, result: Any) -> Row:
        """A result for `--json`."""
        return dict(result)

    @classmethod
    @abstractmethod
    def lines(cls, text: str, result: Any, alone: bool) -> list[str]:
        """A result for the terminal; `alone` where it is the only one."""

    # -- without having learned it -----------------------------------------------------------------

    judges_untaught: ClassVar[bool] = False  # whether an untaught model can be judged by it

    # -- settings ----------------------------------------------------------------------------------

    @classmethod
    def check_settings(cls, settings: FinetuneSettings) -> None:
        """Raises `XinyeError` for a setting that has no effect on the task, or would do harm."""
        useless = (*(name for name in COLUMNS if name not in cls.columns), *cls.unused_settings)
        given = [
            name
            for name in useless
            if name in settings.model_fields_set and getattr(settings, name)
        ]
        if given:
            raise XinyeError(f"{given[0]} has no effect on the task {cls.verb}; leave it out")
        if odd := next((kind for kind in settings.augment if kind not in cls.augmentations), None):
            raise XinyeError(
                f"augment {odd} would separate answers from their questions; {cls.verb} "
                f"takes only {', '.join(cls.augmentations)}"
            )
        if settings.method == "head" and not cls.head:
            raise XinyeError(
                f"the task {cls.verb} has no new head that could be trained alone; choose another "
                f"method"
            )


# -- settings of a fine-tuning ---------------------------------------------------------------------


def task_settings(values: dict[str, Any], where: str) -> FinetuneSettings:
    """Settings of a fine-tuning from plain values, checked, too, for the task that they name."""
    settings = checked(FinetuneSettings, values, where)
    try:
        check_settings(settings)
    except XinyeError as error:
        raise XinyeError(f"{where}: {error}") from None
    return settings


def check_settings(settings: FinetuneSettings) -> None:
    """Raises `XinyeError` for a task that there is not, and for settings that have no effect on
    it."""
    find_task(settings.task).check_settings(settings)


def with_words(run: SavedRun) -> SavedRun:
    """A run with the words of its task, which runs of earlier versions do not keep."""
    if run.task in TASKS and not run.about.words:
        run.words = find_task(run.task).words
    return run
