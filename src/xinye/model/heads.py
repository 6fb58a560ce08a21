"""A GPT that judges instead of writing: its layers with a small head, for whole texts or for each
token.

The same networks as Hugging Face's `…ForSequenceClassification`, which reads the state of a text's
last token, and `…ForTokenClassification`.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model.config import GPTConfig, Shape
from xinye.model.gpt import GPT, Linear
from xinye.model.quantization import swap_in

Kind = Literal["sequence", "token"]
IGNORED = -100


@dataclass(frozen=True)
class HeadConfig(Shape):
    """The shape of a network with a head. `several`: a text may have any number of the labels, each
    judged alone."""

    backbone: GPTConfig
    kind: Kind
    labels: tuple[str, ...]
    several: bool = False

    @property
    def head_parameters(self) -> int:
        return (self.backbone.hidden_size + (self.kind == "token")) * len(self.labels)

    @property
    def parameters(self) -> int:
        """All weights."""
        return replace(self.backbone, tie_word_embeddings=True).parameters + self.head_parameters

    @property
    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied by; a head that judges whole texts sees one token
        of each."""
        return self.backbone.layer_parameters + self.backbone.hidden_size * len(self.labels) * (
            self.kind == "token"
        )

    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token, as a language model's without its head,
        but with this one."""
        others = self.backbone.matrix_parameters - self.matrix_parameters
        return self.backbone.forward_flops_per_token(context) - 2 * others


@dataclass(frozen=True)
class Labelled:
    """Texts with what is right: tokens (B, T), padded behind; lengths (B,); targets (B,), with
    `several` labels (B, L) of 0 and 1, or for each token (B, T), where -100 does not count."""

    tokens: Tensor
    lengths: Tensor
    targets: Tensor

    @property
    def counted(self) -> int:
        """How many judgements the loss is summed over."""
        if self.targets.is_floating_point():
            return len(self.targets)
        return int((self.targets != IGNORED).sum())

    def to(self, device: str | torch.device) -> "Labelled":
        return Labelled(self.tokens.to(device), self.lengths.to(device), self.targets.to(device))


class Head(nn.Module):
    """Layers and a head: tokens in, the labels' logits out."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.gpt = GPT(replace(config.backbone, tie_word_embeddings=False))
        self.gpt.lm_head = nn.Identity()  # type: ignore[assignment]
        self.score = Linear(
            config.backbone.hidden_size, len(config.labels), bias=config.kind == "token"
        )

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.gpt.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.gpt.compute_dtype = dtype

    @classmethod
    def over(cls, base: GPT, config: HeadConfig) -> "Head":
        """The layers of a language model, quantized ones too, under a new head. It starts at zero,
        so that all labels are equally likely."""
        with torch.device("meta"):
            model = cls(config)
        layers = [
            each for each in base.model.named_modules(prefix="model") if hasattr(each[1], "blocks")
        ]
        swap_in(model.gpt, {name: (layer.blocks, layer.kind) for name, layer in layers})
        # Copies: what was read from a file lies at any address, and sums of products depend on that
        # in their last bits.
        weights = {
            name: tensor if name.endswith("blocks") else tensor.clone()
            for name, tensor in base.model.state_dict().items()
        }
        model.gpt.model.load_state_dict(weights, assign=True)
        model.score.to_empty(device=base.device)
        for parameter in model.score.parameters():
            nn.init.zeros_(parameter)
        return model

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Logits in float32: (B, L) of the texts, or (B, T, L) of their tokens; tokens (B, T),
        lengths (B,)."""
        mask = None
        if not self.config.backbone.is_causal:  # causal attention does not see what stands behind
            mask = (torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None])[
                :, None, None
            ]  # (B,1,1,T)
        states = self.gpt.hidden(tokens, mask=mask)  # (B, T, C)
        if self.config.kind == "sequence":
            states = states[torch.arange(len(tokens), device=tokens.device), lengths - 1]  # (B, C)
        return self.score(F.dropout(states, self.config.backbone.dropout, self.training)).float()

    def loss(self, batch: Labelled) -> Tensor:
        """Sum of the losses in nats over what counts; with several labels a text's loss is the mean
        over them."""
        logits = self(batch.tokens, batch.lengths)
        if self.config.several:
            each = F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none")
            return each.mean(-1).sum()
        return F.cross_entropy(
            logits.flatten(0, -2), batch.targets.flatten(), reduction="sum", ignore_index=IGNORED
        )
