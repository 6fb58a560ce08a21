"""What a person can set about fine-tuning: the same names on the command line and in Python.

Everything left at `None` or `auto` is derived from the data, the model and the machine by `finetune.py`.
"""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xinye.model.adapter_settings import AdapterSettings, AdapterSizes, Method
from xinye.recipes.settings import PretrainSettings

TaskName = Literal["classify", "tag"]


class FinetuneSettings(BaseModel):
    """Teach a model a task from records of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    recipe: ClassVar[str] = "finetune"

    model: str = Field("", description="a run's folder, or any Hugging Face folder")
    task: TaskName = Field("classify", description="what to learn")
    data: tuple[str, ...] = Field((), description="file of records; may be given several times")
    validation: tuple[str, ...] = Field((), description="file of records to judge on (else a part of the data)")
    validation_share: float = Field(0.1, gt=0, lt=0.5, description="part of the data kept to judge on")
    method: Literal["full", "head", Method] = Field(
        "full", description="train all weights, only the new head, or it and an adapter of this kind"
    )
    attention: Literal["auto", "causal", "both"] = Field(
        "auto", description="what a token sees: what stands before it, or the text in both directions"
    )
    output: Path | None = Field(None, description="the run's folder")

    text_field: str | None = Field(None, description="column of the text; two with a comma between are a pair")
    label_field: str | None = Field(None, description="column of the label")
    label_separator: str | None = Field(None, description="what stands between several labels of one text, such as |")

    seed: int = Field(0, ge=0, le=2**31, description="the same seed gives the same run")
    epochs: float | None = Field(None, gt=0, le=1e6, description="read the data this many times")
    context: int | None = Field(None, ge=8, le=65536, description="tokens of a record at most")
    batch_size: int | None = Field(None, ge=1, description="records per optimizer step")
    micro_batch_size: int | None = Field(None, ge=1, description="records computed at once; no effect on the result")
    optimizer: Literal["auto", "muon", "adamw", "sgd"] = Field(
        "auto", description="muon: Muon for matrices, AdamW for the rest; for adapters adamw"
    )
    learning_rate: float | None = Field(None, gt=0, description="of AdamW or SGD")
    matrix_learning_rate: float | None = Field(None, gt=0, description="of Muon")
    schedule: Literal["wsd", "cosine"] = Field("wsd", description="wsd: warm-up, stable, linear decay")
    warmup: int | None = Field(None, ge=0, description="steps until the full learning rate")
    decay: float = Field(1.0, gt=0, le=1, description="share of the steps over which wsd goes down to zero")
    weight_decay: float | None = Field(None, ge=0, description="pull of the matrices towards zero")
    dropout: float | None = Field(None, ge=0, lt=1, description="share of activations dropped in training")
    mask_tokens: float | None = Field(None, ge=0, lt=1, description="share of tokens blotted out in training")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="computing precision; weights stay float32"
    )
    evaluations: int = Field(4, ge=1, description="how often to validate and save during the run")
    patience: int | None = Field(
        None, ge=1, description="stop after so many evaluations without a better one, and keep the best model"
    )
    track: tuple[str, ...] = Field(
        (), description="tell tensorboard, wandb or mlflow of the run, too; several with commas between"
    )

    adapter: AdapterSizes = AdapterSizes()

    _trackers = PretrainSettings._trackers

    @property
    def adapter_settings(self) -> AdapterSettings | None:
        """The adapter that is trained, if one is."""
        if self.method in ("full", "head"):
            return None
        return AdapterSettings(method=self.method, **self.adapter.model_dump(exclude_unset=True))

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "FinetuneSettings":
        self.adapter.check_for(self.method)
        if self.optimizer == "muon" and self.method not in ("full", "head"):
            raise ValueError(
                f"muon makes whole matrices orthogonal, which those of {self.method} are not; choose adamw or sgd"
            )
        if self.matrix_learning_rate is not None and (
            self.optimizer not in ("auto", "muon") or self.method not in ("full", "head")
        ):
            raise ValueError("matrix_learning_rate is Muon's; leave it out, or choose the optimizer muon")
        if self.task == "tag":
            for name in ("text_field", "label_field", "label_separator"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} has no effect on the task tag, whose formats are known; leave it out")
        return self
