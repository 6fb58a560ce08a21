"""The settings of pretraining, with the same names on the command line, in Python and in YAML
files.

Whatever stays `None` or `auto` is derived from the data and the machine by `pretraining.py`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from xinye.data.cleaning import Cleaning
from xinye.errors import XinyeError, did_you_mean, refuse_first
from xinye.planning.task_mix import TaskMixes
from xinye.planning.units import parse_bytes, parse_count, parse_fold, parse_time

TRACKERS = ("tensorboard", "wandb", "mlflow")
BUDGETS = ("time", "tokens", "epochs", "steps", "total_steps")  # how long to train
BadBytes = Literal["refuse", "replace"]
BAD_BYTES_HELP = (
    "if bytes fit no encoding: refuse the file, or replace them with � and report how many"
)
PARSERS: dict[str, Callable[[str], object]] = {  # they check settings that are kept as text
    "size": parse_count,
    "tokens": parse_count,
    "time": parse_time,
    "fold": parse_fold,
    "shard_cache": parse_bytes,
}


def inherited_settings(base: str | None, teacher: str | None) -> tuple[str, ...]:
    """The names of the settings that a run takes from its base model or from its teacher."""
    vocabulary = ("tokenizer", "vocab_size") if base or teacher else ()
    shape = ("size", "architecture", "layers", "width", "heads", "key_value_heads") if base else ()
    return vocabulary + shape


def split_names(value: Any, known: Iterable[str], what: str) -> Any:
    """The names in one string or several, separated by commas, as a tuple. Raises `ValueError` for
    an unknown one."""
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        return value
    names = [name.strip() for part in parts for name in part.split(",") if name.strip()]
    for name in names:
        if name not in known:
            near = did_you_mean(name, known)
            raise ValueError(f"unknown {what} {name!r}; choose from {', '.join(known)}{near}")
    return tuple(dict.fromkeys(names))


refuse = partial(refuse_first, error=ValueError)  # pydantic adds the field to a `ValueError`


class TrainingSettings(BaseModel):
    """The settings that all trainings share."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    may_return: ClassVar[bool] = False  # whether such a run can return to its best model
    groups: ClassVar[Mapping[str, str]] = {  # the titles under which help lists the settings
        "data": "data task_mix validation validation_share fold field text_field label_field "
        "label_separator prompt_field answer_field assistant_name tag_names offsets "
        "items user_field item_field time_field event_field rating_field title_field tags_field "
        "events min_rating min_events new_items split "
        "document_separator sheet bad_records bad_bytes data_license tokenizer vocab_size",
        "model": "from_ size architecture context layers width heads key_value_heads method "
        "attention dropout",
        "training length": "time tokens epochs steps total_steps patience cooldown evaluations",
        "optimization": "optimizer learning_rate matrix_learning_rate schedule warmup decay "
        "weight_decay l1 label_smoothing clip batch_size seed",
        "distillation": "teacher temperature alpha",
        "augmentation": "augment control mask_tokens crop_tokens shuffle_texts",
        "machine": "dtype compile micro_batch_size activation_checkpointing parallel shard_cache",
        "output": "output keep_checkpoints prompt track",
    }

    seed: int = Field(
        0, ge=0, le=2**31, description=("random seed: the same seed gives the same run")
    )
    epochs: float | None = Field(
        None, gt=0, le=1e6, description="train on the data this many times"
    )
    steps: int | None = Field(None, ge=1, description="take this many optimizer steps")
    total_steps: tuple[tuple[int, int], ...] = Field(
        (),
        description="planned steps of an earlier run, copied from its plan.json: 0:189,4:160",
    )
    fold: str | None = Field(None, description="validate on part I of K, such as 2/5")
    bad_bytes: BadBytes = Field("refuse", description=BAD_BYTES_HELP)
    learning_rate: float | None = Field(None, gt=0, description="learning rate of AdamW or SGD")
    matrix_learning_rate: float | None = Field(None, gt=0, description="learning rate of Muon")
    schedule: Literal["wsd", "cosine"] = Field(
        "wsd", description="learning-rate schedule; wsd: warm-up, constant, linear decay"
    )
    warmup: int | None = Field(
        None, ge=0, description=("warm-up steps before the learning rate reaches its full value")
    )
    weight_decay: float | None = Field(None, ge=0, description="weight decay of the matrices")
    dropout: float | None = Field(
        None, ge=0, lt=1, description="share of activations that dropout sets to zero in training"
    )
    clip: float = Field(1.0, gt=0, description="clip the gradient to this norm")
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="precision of the computation; weights stay float32"
    )
    activation_checkpointing: bool = Field(
        False,
        description=(
            "keep only the input of each layer, and compute it again in the backward pass: less "
            "memory, a quarter slower, the same result"
        ),
    )
    parallel: Literal["auto", "ddp", "fsdp"] = Field(
        "auto",
        description=(
            "how several processes train together; ddp: each keeps the whole model; fsdp: each "
            "keeps a part of it; auto: ddp if the model fits"
        ),
    )
    patience: int | None = Field(
        None,
        ge=1,
        description=(
            "stop early after this many evaluations without improvement, and keep the best model"
        ),
    )
    keep_checkpoints: Annotated[int, Field(ge=2)] | Literal["all"] | None = Field(
        None, description="checkpoints to keep besides the best one: the last N (2), or all"
    )
    track: tuple[str, ...] = Field(
        (),
        description=(
            "also log the run to tensorboard, wandb or mlflow; separate several with commas"
        ),
    )

    @field_validator("track", mode="before")
    @classmethod
    def _trackers(cls, value: Any) -> Any:
        return split_names(value, TRACKERS, "tracker")

    @field_validator(*PARSERS, mode="before", check_fields=False)
    @classmethod
    def _parsed(cls, value: Any, field: ValidationInfo) -> Any:
        typed = str(value) if type(value) is int else value  # as YAML and Python write numbers
        if isinstance(typed, str):
            try:
                PARSERS[field.field_name or ""](typed)
            except XinyeError as error:
                raise ValueError(str(error)) from None
        return typed

    @field_validator("total_steps", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = [pair.split(":") for pair in value.split(",")]
        return value

    @field_validator("total_steps")
    @classmethod
    def _from_the_first_step_on(
        cls, value: tuple[tuple[int, int], ...]
    ) -> tuple[tuple[int, int], ...]:
        """Check pairs of a step and the total planned from there on. The steps must increase. Only
        a run that may return to its best model is planned anew when all of its steps are done."""
        steps, ends = [step for step, _ in value], [total for _, total in value]
        rising = steps[:1] == [0] and steps == sorted(set(steps))
        enough = all(step <= total for step, total in value) and ends[:1] != [0]
        left = 0 if cls.may_return else 1
        later = all(step + left <= total for total, step in zip(ends, steps[1:], strict=False))
        example = "starting at step 0, such as 0:189,4:160"
        wrong = value and not (rising and enough and later)
        refuse((wrong, (f"expected pairs of a step and the total number of steps, {example}")))
        return value


class PretrainSettings(TrainingSettings):
    """The settings of a pretraining, from scratch or from another model. In Python `from` is a
    reserved word, so use `from_`."""

    model_config = ConfigDict(validate_by_name=True, serialize_by_alias=True)
    recipe: ClassVar[str] = "pretrain"

    files: tuple[str, ...] = Field((), description="files, folders or globs of text")
    output: Path | None = Field(None, description="the run's folder")
    from_: str | None = Field(
        None,
        alias="from",
        description="continue training this model: a run, or any model's folder",
    )
    teacher: str | None = Field(
        None, description="also learn from this model's predictions (distillation)"
    )
    temperature: float | None = Field(
        None, gt=0, le=100, description="temperature that softens the teacher's predictions"
    )
    alpha: float | None = Field(
        None, ge=0, le=1, description="share of the teacher in the loss, from 0 to 1"
    )

    size: str = Field(
        "5M", description="number of parameters, such as 1M, 5M, 15M, 50M, 125M, 350M"
    )
    time: str | None = Field(
        None, description="train for about this long, such as 10min or 1h30min"
    )
    tokens: str | None = Field(None, description="train on this many tokens, such as 20M")
    architecture: Literal["modern", "llama", "gpt2", "lstm"] = Field(
        "modern",
        description=(
            "saved in the format of Qwen3, Llama or GPT-2; lstm is a "
            "recurrent network for comparison"
        ),
    )
    data_license: str | None = Field(
        None, description="licence of the text, for the model card, such as CC-BY-4.0"
    )
    tokenizer: str = Field(
        "bpe", description="train a tokenizer: bpe, char or bytes; or use the one in this folder"
    )

    field: str | None = Field(None, description="the column or key that holds the text")
    document_separator: str | None = Field(
        None, description=r"separator of the documents in a text file: '\n\n'"
    )
    cleaning: Cleaning = Cleaning()
    task_mix: TaskMixes = Field(
        (),
        description=(
            "mix the records of a task into the text, as summarize=FILE; with a share of the "
            "tokens, summarize=FILE:0.2; can be given several times"
        ),
    )
    validation: float = Field(
        0.1, gt=0, lt=0.5, description="share of the text held out for validation"
    )

    vocab_size: int | None = Field(None, ge=1, description="vocabulary size in tokens")
    context: int | None = Field(None, ge=8, le=65536, description="context length in tokens")
    layers: int | None = Field(None, ge=1, le=512, description="number of layers")
    width: int | None = Field(None, ge=8, le=65536, description="size of the hidden states")
    heads: int | None = Field(None, ge=1, description="number of attention heads")
    key_value_heads: int | None = Field(
        None, ge=1, description="number of key-value heads; groups of attention heads share one"
    )

    batch_size: int | None = Field(None, ge=1, description="windows of text per optimizer step")
    micro_batch_size: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        None,
        description=(
            "windows computed at once; the result stays the same; auto finds how many fit in memory"
        ),
    )
    optimizer: Literal["muon", "adamw", "sgd"] = Field(
        "muon", description="muon: Muon for matrices, AdamW for the rest"
    )
    decay: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of the steps in which wsd decays the learning rate to zero",
    )
    l1: float = Field(
        0.0,
        ge=0,
        lt=1,
        description=(
            "L1 penalty: shrink the matrices by learning rate × this, down to exact zeros"
        ),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the target probability that training spreads over all tokens",
    )
    compile: Literal["auto", "yes", "no"] = Field("auto", description="use torch.compile")
    shard_cache: str = Field(
        "20GB",
        description="room on this machine for shards of a corpus in an object store",
    )
    evaluations: int = Field(
        20, ge=1, description="how many times the run evaluates, saves and writes a sample"
    )
    prompt: str = Field("", description="prompt of the samples written during training")

    @model_validator(mode="after")
    def _nothing_without_effect(self) -> "PretrainSettings":
        given = [
            name
            for name in ("time", "tokens", "epochs", "steps")
            if getattr(self, name) is not None
        ]
        taken = self._given(*inherited_settings(self.from_, None))
        followed = self._given(*inherited_settings(None, self.teacher))
        softened = self._given("temperature", "alpha")
        heads = self._given("heads", "key_value_heads")
        refuse(
            (
                self.total_steps and given not in ([], ["time"]),
                (f"total_steps already sets the number of steps; leave {''.join(given[:1])} out"),
            ),
            (
                len(given) > 1,
                (
                    "give only one of --time, --tokens, --epochs and --steps, not "
                    f"{' and '.join(f'--{name}' for name in given)}"
                ),
            ),
            (
                self.vocab_size is not None and self.tokenizer not in ("bpe", "char"),
                ("vocab_size has no effect on a tokenizer that is not trained here; leave it out"),
            ),
            (taken, f"{taken} is taken from {self.from_}, the model to continue; leave it out"),
            (
                followed,
                f"{followed} is taken from the teacher {self.teacher}, whose "
                "tokens the student predicts; leave it out",
            ),
            (
                self.teacher is None and softened,
                f"{softened} has no effect without a teacher; leave it out",
            ),
            (
                self.architecture == "lstm" and heads,
                f"{heads} has no effect on an lstm, which has no attention; leave it out",
            ),
            (
                self.matrix_learning_rate is not None and self.optimizer != "muon",
                (
                    "matrix_learning_rate is for Muon only; leave it out, or choose "
                    "the optimizer muon"
                ),
            ),
        )
        return self

    @property
    def seconds(self) -> float | None:
        """The budget of time in seconds; None if the budget is of another kind."""
        others = self.tokens or self.epochs or self.steps or self.total_steps
        if self.time is None and others:
            return None
        return parse_time(self.time or "10min")

    def _given(self, *names: str) -> str | None:
        """The name of the first of these settings that the user gave; None if there is none."""
        given = (name for name in names if name in self.model_fields_set)
        return next((name for name in given if getattr(self, name) is not None), None)

    @field_validator("tokenizer")
    @classmethod
    def _kind_or_folder(cls, value: str) -> str:
        kinds = ("bpe", "char", "bytes")
        near = did_you_mean(value, kinds)
        odd = value not in kinds and not Path(value).is_dir()
        refuse((odd, f"{value!r} is neither bpe, char or bytes nor a folder{near}"))
        return value

    @field_validator("compile", mode="before")
    @classmethod
    def _words(cls, value: Any) -> Any:
        # YAML reads yes and no as truth values
        return ("no", "yes")[value] if isinstance(value, bool) else value
