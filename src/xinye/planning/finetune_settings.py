"""The settings of fine-tuning, with the same names on the command line and in Python.

Whatever stays `None` or `auto` is derived from the data, the model and the machine by
`finetuning.py`. `tasks.settings.task_settings` checks that the settings fit the task.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from xinye.errors import checked
from xinye.model.adapter_settings import AdapterSettings, AdapterSizes, Method
from xinye.planning.column_settings import RecordSettings
from xinye.planning.item_settings import ITEM_SETTINGS, ItemSettings
from xinye.planning.settings import PretrainSettings, TrainingSettings, refuse, split_names

AUGMENTATIONS = {  # for each kind the setting that says how much, and its usual value
    "mask": ("mask_tokens", 0.1),
    "crop": ("crop_tokens", 0.3),
    "shuffle": ("shuffle_texts", 0.5),
}
# settings of single tasks, which the others refuse
SPECIAL = ("cloze", "other_passages", "mix_baseline", *ITEM_SETTINGS)
TASK = "classify"  # the default task


class FinetuneSettings(TrainingSettings, RecordSettings, ItemSettings):
    """The settings of a fine-tuning on the records of a task."""

    recipe: ClassVar[str] = "finetune"
    may_return: ClassVar[bool] = True

    model: str = Field("", description="a run's folder, or any Hugging Face folder")
    task: str = Field(TASK, description="the task to learn")
    data: tuple[str, ...] = Field((), description="file of records; can be given several times")
    validation: tuple[str, ...] = Field(
        (), description="file of records to evaluate on (otherwise a part of the data)"
    )
    validation_share: float = Field(
        0.1, gt=0, lt=0.5, description="share of the data held out for evaluation"
    )
    method: Literal["full", "head", Method] = Field(
        "full",
        description=(
            "train all weights (full), only the new head, or the head and an adapter of this kind"
        ),
    )
    attention: Literal["auto", "causal", "both"] = Field(
        "auto",
        description=(
            "what a token attends to: only the tokens before it (causal), or both directions"
        ),
    )
    output: Path | None = Field(None, description="the run's folder")

    augment: tuple[str, ...] = Field(
        (),
        description="change the training texts in every epoch: mask, crop, "
        "shuffle (sentences); separate several with commas; a second "
        "run without it measures the gain",
    )
    control: bool = Field(True, description="with augment, also train the second run without it")
    mask_tokens: float | None = Field(
        None, gt=0, lt=1, description="augment mask: share of tokens that are masked (0.1)"
    )
    crop_tokens: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="augment crop: largest share of a text to cut off at its ends (0.3)",
    )
    shuffle_texts: float | None = Field(
        None,
        gt=0,
        le=1,
        description="augment shuffle: share of texts whose sentences are shuffled (0.5)",
    )

    cloze: int = Field(
        0, ge=0, le=100, description="task answer: questions that are made from each passage"
    )
    other_passages: float = Field(
        0.0,
        ge=0,
        le=1,
        description="task answer: share of questions also asked about a passage without the answer",
    )

    mix_baseline: bool = Field(
        True,
        description="tasks classify and tag: mix the model with a linear one (word counts, or a "
        "linear tagger), with weights learned on the validation records",
    )

    context: int | None = Field(
        None,
        ge=8,
        le=65536,
        description=("context length: read at most this many tokens of a record"),
    )
    batch_size: int | None = Field(None, ge=1, description="records per optimizer step")
    micro_batch_size: int | None = Field(
        None, ge=1, description="records computed at once; the result stays the same"
    )
    optimizer: Literal["auto", "muon", "adamw", "sgd"] = Field(
        "auto", description="muon: Muon for matrices, AdamW for the rest; adapters use adamw"
    )
    decay: float = Field(
        1.0,
        gt=0,
        le=1,
        description="share of the steps in which wsd decays the learning rate to zero",
    )
    evaluations: int | None = Field(
        None, ge=1, description="how many times the run evaluates and saves (4, or once per epoch)"
    )
    cooldown: int | None = Field(
        None,
        ge=0,
        description="after a worse evaluation (with a new head, two in a row), return to the best "
        "model and decay the learning rate to zero in this many steps (0: do not return)",
    )

    adapter: AdapterSizes = AdapterSizes()

    @field_validator("augment", mode="before")
    @classmethod
    def _augmentations(cls, value: Any) -> Any:
        return split_names(value, AUGMENTATIONS, "augmentation")

    @property
    def shares(self) -> dict[str, float]:
        """How much of the training texts each augmentation changes, from 0 to 1, by the name of its
        setting."""
        chosen = dict(AUGMENTATIONS[kind] for kind in self.augment)
        return {name: getattr(self, name) or usual for name, usual in chosen.items()}

    @property
    def adapter_settings(self) -> AdapterSettings | None:
        """The settings of the adapter to train; None for the methods without one."""
        if self.method in ("full", "head"):
            return None
        return AdapterSettings(method=self.method, **self.adapter.model_dump(exclude_unset=True))

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "FinetuneSettings":
        self.adapter.check_for(self.method)
        adapted = self.method not in ("full", "head")
        refuse(
            (
                self.optimizer == "muon" and adapted,
                f"muon works on full matrices, which {self.method} does not train; choose "
                "adamw or sgd",
            ),
            (
                self.matrix_learning_rate is not None
                and (adapted or self.optimizer not in ("auto", "muon")),
                (
                    "matrix_learning_rate is for Muon only; leave it out, or choose "
                    "the optimizer muon"
                ),
            ),
            *(
                (
                    getattr(self, name) is not None and kind not in self.augment,
                    f"{name} has no effect without --augment {kind}; add that, or leave it out",
                )
                for kind, (name, _) in AUGMENTATIONS.items()
            ),
            (
                not (self.control or self.augment),
                "control has an effect only with augment; leave it out",
            ),
            (
                sum(map(bool, (self.epochs, self.steps, self.total_steps))) > 1,
                "give only one of --epochs, --steps and --total-steps",
            ),
            (
                self.fold and self.validation,
                "fold already evaluates on a part of the data; leave validation out",
            ),
        )
        return self

    def as_pretraining(self) -> PretrainSettings:
        """The settings of the pretraining that these stand for, if the task is to continue with
        more text."""
        values = {
            name: getattr(self, name)
            for name in self.model_fields_set & PretrainSettings.model_fields.keys()
        }
        values.pop("validation", None)
        if values.get("optimizer") == "auto":
            del values["optimizer"]
        theirs = {
            "files": "data",
            "from": "model",
            "field": "text_field",
            "validation": "validation_share",
        }
        for name, ours in theirs.items():
            if getattr(self, ours) and ours in self.model_fields_set:
                values[name] = getattr(self, ours)
        return checked(PretrainSettings, values, "finetune")


Settings = PretrainSettings | FinetuneSettings  # the settings of any training
