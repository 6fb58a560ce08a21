"""What every task has: its names, its figures, and the settings that it takes."""

from collections.abc import Sequence
from typing import ClassVar

from xinye.errors import XinyeError
from xinye.evaluation.classification import Figures
from xinye.model.heads import Kind
from xinye.planning.column_settings import COLUMNS
from xinye.planning.finetune_settings import AUGMENTATIONS, SPECIAL, FinetuneSettings
from xinye.runs.words import LOSS, Figure, TaskWords


class BaseTask:
    """What a model can be trained for. `Task` is the base of the tasks that learn from texts."""

    verb: ClassVar[str]  # the task's name, and its command
    words: TaskWords  # words for tables, report and model card
    figures: ClassVar[tuple[str, ...]]  # the main metrics of a run, `loss` first
    better: ClassVar[str]  # the metric that chooses the best checkpoint; it is described in `words`
    writes: ClassVar[bool] = False  # True if the language model itself writes the answer
    # True if the task trains on text instead of records, as in pretraining
    continues_text: ClassVar[bool] = False
    # True if it learns from events, in which users used items
    learns_from_events: ClassVar[bool] = False
    needs_model: ClassVar[bool] = True  # False if it can be learned from nothing
    head: ClassVar[Kind | None] = None  # the kind of the new head, or None

    # The column settings (text_field, label_field …) that the task uses.
    columns: ClassVar[tuple[str, ...]] = ()
    # settings that are only for this task
    special_settings: ClassVar[tuple[str, ...]] = ()
    unused_settings: ClassVar[tuple[str, ...]] = ()  # other settings without effect on the task
    # augmentations that keep records correct
    augmentations: ClassVar[tuple[str, ...]] = tuple(AUGMENTATIONS)

    @classmethod
    def deciding(cls) -> Figure:
        """The metric named by `better`. If `words` do not describe it, larger is better."""
        known = (*cls.words.figures, LOSS, Figure(cls.better, cls.better))
        return next(figure for figure in known if figure.name == cls.better)

    @property
    def lower_replaced(self) -> bool:
        """True if a lower value of the deciding metric is better."""
        return self.deciding().lower_replaced

    @classmethod
    def notes_on_figures(cls, measured: Figures) -> Sequence[str]:
        """What a person should know about measured figures, besides the table of them."""
        return ()

    @classmethod
    def check_settings(cls, settings: FinetuneSettings) -> None:
        """Raises `XinyeError` for a setting that has no effect on the task, or would harm it."""
        known = (*cls.columns, *cls.special_settings)
        useless = [name for name in (*COLUMNS, *SPECIAL) if name not in known]
        useless += cls.unused_settings
        given = [
            name
            for name in useless
            if name in settings.model_fields_set
            and getattr(settings, name) not in (None, type(settings).model_fields[name].default)
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
