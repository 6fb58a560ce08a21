"""The settings of an adapter. They have the names of `peft`, in the code, on the command line and
in files."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from xinye.errors import XinyeError

Method = Literal["lora", "adalora", "prefix", "adapter"]
_LOW_RANK = ("target_modules", "lora_alpha", "lora_dropout")
FIELDS: dict[str, tuple[str, ...]] = {  # the settings that each method uses
    "lora": (*_LOW_RANK, "r", "use_rslora"),
    "adalora": (
        *_LOW_RANK,
        "init_r",
        "target_r",
        "tinit",
        "tfinal",
        "deltaT",
        "beta1",
        "beta2",
        "orth_reg_weight",
        "total_step",
    ),
    "prefix": ("num_virtual_tokens",),
    "adapter": ("bottleneck_size",),
}


class AdapterSizes(BaseModel):
    """The sizes of an adapter, for all methods."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    r: int = Field(8, ge=1, description="lora: rank of the update")
    lora_alpha: int | float = Field(
        16, gt=0, description="lora, adalora: the update is scaled by this value / rank"
    )
    lora_dropout: float = Field(
        0.0, ge=0, lt=1, description="lora, adalora: dropout on the input of the adapter"
    )
    use_rslora: bool = Field(
        False, description="lora: scale by lora_alpha / √rank (arXiv:2312.03732)"
    )
    target_modules: tuple[str, ...] = Field(
        (), description="lora, adalora: adapt only these matrices, such as q_proj"
    )
    init_r: int = Field(12, ge=1, description="adalora: rank of each matrix at the start")
    target_r: int = Field(8, ge=1, description="adalora: mean rank at the end")
    tinit: int | None = Field(
        None, ge=0, description="adalora: steps before ranks are pruned (a tenth of all)"
    )
    tfinal: int | None = Field(
        None, ge=0, description="adalora: steps after the last rank is pruned (three tenths)"
    )
    deltaT: int = Field(1, ge=1, description="adalora: steps between two allocations of ranks")
    beta1: float = Field(
        0.85, gt=0, lt=1, description=("adalora: smoothing factor of the importance scores")
    )
    beta2: float = Field(
        0.85,
        gt=0,
        lt=1,
        description=("adalora: smoothing factor of the uncertainty of the importance scores"),
    )
    orth_reg_weight: float = Field(
        0.5, ge=0, description="adalora: weight of the penalty that keeps A and B orthogonal"
    )
    num_virtual_tokens: int = Field(
        20,
        ge=1,
        description=("prefix: number of trained keys and values put before those of each layer"),
    )
    bottleneck_size: int = Field(64, ge=1, description="adapter: width of the bottleneck")

    def check_for(self, method: str) -> None:
        """Raise `ValueError` for a size that has no effect on this method, or a value that it does
        not allow."""
        read = [name for name in FIELDS.get(method, ()) if name in AdapterSizes.model_fields]
        reads = f"it uses {', '.join(read)}" if read else "it trains no adapter"
        for name in sorted(self.model_fields_set.difference(read, ("method", "total_step"))):
            raise ValueError(f"{name} has no effect on {method}; {reads}")
        if method == "adalora" and self.target_r > self.init_r:
            raise ValueError(
                f"target_r ({self.target_r}) is larger than init_r ({self.init_r}"
                "), but ranks only shrink; lower target_r"
            )


class AdapterSettings(AdapterSizes):
    """The method of an adapter and its sizes. Sizes of another method are an error."""

    method: Method = Field("lora", description="how to fine-tune")
    total_step: int | None = Field(
        None, ge=1, description="adalora: total steps of the training, filled in when it starts"
    )

    @model_validator(mode="after")
    def _one_method(self) -> "AdapterSettings":
        self.check_for(self.method)
        return self

    @property
    def rank(self) -> int:
        """The rank of each matrix's change at the start of training."""
        return self.r if self.method == "lora" else self.init_r

    def scheduled(self, total_steps: int) -> "AdapterSettings":
        """The settings with the schedule of AdaLoRA filled in, in steps. Raises `XinyeError` if it
        leaves no step in which ranks can be pruned."""
        if self.total_step == total_steps and None not in (self.tinit, self.tfinal):
            return self
        tinit = total_steps // 10 if self.tinit is None else self.tinit
        tfinal = total_steps * 3 // 10 if self.tfinal is None else self.tfinal
        if tinit >= total_steps - tfinal:
            raise XinyeError(
                f"adalora: tinit {tinit} and tfinal {tfinal} leave none of the "
                f"{total_steps} steps to prune ranks; lower them"
            )
        return self.model_copy(update={"tinit": tinit, "tfinal": tfinal, "total_step": total_steps})
