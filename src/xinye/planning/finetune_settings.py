"""What a person can set about fine-tuning: the same names on the command line and in Python.

Everything left at `None` or `auto` is derived from the data, the model and the machine by
`finetuning.py`. What a task makes of them is checked where tasks are known, by
`tasks.task.task_settings`.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from xinye.errors import checked
from xinye.model.adapter_settings import AdapterSettings, AdapterSizes, Method
from xinye.planning.column_settings import RecordSettings
from xinye.planning.settings import PretrainSettings, TrainingSettings, refuse, split_names

AUGMENTATIONS = {  # the setting that says how much, and how much is usual
    "mask": ("mask_tokens", 0.1),
    "crop": ("crop_tokens", 0.3),
    "shuffle": ("shuffle_texts", 0.5),
}
TASK = "classify"  # that is learned where none is named


class FinetuneSettings(TrainingSettings, RecordSettings):
    """Teach a model a task from records of it."""

    recipe: ClassVar[str] = "finetune"

    model: str = Field("", description="a run's folder, or any Hugging Face folder")
    task: str = Field(TASK, description="what to learn")
    data: tuple[str, ...] = Field((), description="file of records; may be given several times")
    validation: tuple[str, ...] = Field(
        (), description="file of records to judge on (else a part of the data)"
    )
    validation_share: float = Field(
        0.1, gt=0, lt=0.5, description="part of the data kept to judge on"
    )
    method: Literal["full", "head", Method] = Field(
        "full",
        description="train all weights, only the new head, or it and an adapter of this kind",
    )
    attention: Literal["auto", "causal", "both"] = Field(
        "auto",
        description="what a token sees: what stands before it, or the text in both directions",
    )
    output: Path | None = Field(None, description="the run's folder")

    augment: tuple[str, ...] = Field(
        (),
        description="change training texts anew each time they are read: mask, crop, shuffle "
        "(sentences), several with commas between; what that was worth is told by a "
        "second run without it",
    )
    control: bool = Field(True, description="of a run with augment, do that second run")
    mask_tokens: float | None = Field(
        None, gt=0, lt=1, description="augment mask: share of tokens blotted out (0.1)"
    )
    crop_tokens: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="augment crop: largest share of a text that is left out at its ends (0.3)",
    )
    shuffle_texts: float | None = Field(
        None,
        gt=0,
        le=1,
        description="augment shuffle: share of texts whose sentences change places (0.5)",
    )

    context: int | None = Field(None, ge=8, le=65536, description="tokens of a record at most")
    batch_size: int | None = Field(None, ge=1, description="records per optimizer step")
    micro_batch_size: int | None = Field(
        None, ge=1, description="records computed at once; no effect on the result"
    )
    optimizer: Literal["auto", "muon", "adamw", "sgd"] = Field(
        "auto", description="muon: Muon for matrices, AdamW for the rest; for adapters adamw"
    )
    decay: float = Field(
        1.0, gt=0, le=1, description="share of the steps over which wsd goes down to zero"
    )
    evaluations: int = Field(4, ge=1, description="how often to validate and save during the run")

    adapter: AdapterSizes = AdapterSizes()

    @field_validator("augment", mode="before")
    @classmethod
    def _augmentations(cls, value: Any) -> Any:
        return split_names(value, AUGMENTATIONS, "augmentation")

    @property
    def shares(self) -> dict[str, float]:
        """How much of training texts is changed, by the name of the setting that says so."""
        chosen = dict(AUGMENTATIONS[kind] for kind in self.augment)
        return {name: getattr(self, name) or usual for name, usual in chosen.items()}

    @property
    def adapter_settings(self) -> AdapterSettings | None:
        """The adapter that is trained, if one is."""
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
                f"muon makes whole matrices orthogonal, which those of {self.method} are not; "
                "choose adamw or sgd",
            ),
            (
                self.matrix_learning_rate is not None
                and (adapted or self.optimizer not in ("auto", "muon")),
                "matrix_learning_rate is Muon's; leave it out, or choose the optimizer muon",
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
                "control is the second run of one with augment; without that, leave it out",
            ),
            (
                sum(map(bool, (self.epochs, self.steps, self.total_steps))) > 1,
                "give one of --epochs, --steps and --total-steps",
            ),
            (
                self.fold and self.validation,
                "fold judges on a part of the data; leave validation out",
            ),
        )
        return self

    def as_pretraining(self) -> PretrainSettings:
        """What was asked for, as going on with pretraining: its text, windows and figures."""
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


Settings = PretrainSettings | FinetuneSettings  # of any training
