"""A GPT with a new head: for whole texts, for each token, or for a span of the tokens.

The networks are those of Hugging Face's `…ForSequenceClassification`, which reads the hidden state
of the last token, `…ForTokenClassification`, and `…ForQuestionAnswering`, whose head points to the
first and the last token of an answer.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model import crf
from xinye.model.config import GPTConfig, Shape
from xinye.model.gpt import GPT, Linear
from xinye.model.loss import IGNORED
from xinye.model.quantization import Quantized, QuantizedLinear

Kind = Literal["sequence", "token", "span"]
POINTERS = ("begin", "end")  # what the labels of a head for spans are called
EVERY_ANSWER = float("-inf")  # the threshold of a reader that never says "not in this passage"


@dataclass(frozen=True)
class HeadConfig(Shape):
    """The shape of a GPT with a new head. With `several`, a text may have any number of the labels,
    and each is predicted independently. The labels of a head for spans are `POINTERS`.

    `threshold` was learned by a head for spans: how much evidence an answer needs in its passage,
    in nats (`tasks/answer_spans.py`); `EVERY_ANSWER` if none is refused, None if nothing was
    learned. With `transitions`, a head for tokens learns the labels of a text as a chain
    (`crf.py`)."""

    backbone: GPTConfig
    kind: Kind
    labels: tuple[str, ...]
    several: bool = False
    threshold: float | None = None
    transitions: bool = False

    @property
    def head_parameters(self) -> int:
        of_each_label = self.backbone.hidden_size + self.of_tokens
        if self.transitions:
            of_each_label += len(self.labels) + 2
        return of_each_label * len(self.labels)

    @property
    def of_tokens(self) -> bool:
        """True if the head reads every token, and not only the last one of a text."""
        return self.kind != "sequence"

    @property
    def parameters(self) -> int:
        """The number of all weights, with those of the head."""
        return replace(self.backbone, tie_word_embeddings=True).parameters + self.head_parameters

    @property
    def matrix_parameters(self) -> int:
        """The number of weights that each token is multiplied by. The head of a sequence classifier
        does not count, because it reads only one token of each text."""
        head = self.backbone.hidden_size * len(self.labels) * self.of_tokens
        return self.backbone.layer_parameters + head

    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token forward, with this head instead of the
        language model's."""
        others = self.backbone.matrix_parameters - self.matrix_parameters
        return self.backbone.forward_flops_per_token(context) - 2 * others


@dataclass(frozen=True)
class Labelled:
    """A batch of texts with their labels: `tokens` (B, T), padded at the end, and `lengths` (B,).

    `targets` are (B,); with `several` labels (B, L) of 0.0 and 1.0; for tagging (B, T), where -100
    is not counted; for spans (B, 2), the first and the last token.
    """

    tokens: Tensor
    lengths: Tensor
    targets: Tensor

    @property
    def counted(self) -> int:
        """The number of predictions that the loss is summed over."""
        if self.targets.is_floating_point():
            return len(self.targets)
        return int((self.targets != IGNORED).sum())

    def to(self, device: str | torch.device) -> "Labelled":
        return Labelled(self.tokens.to(device), self.lengths.to(device), self.targets.to(device))


class Score(Linear):
    """The layer that maps a hidden state to logits. If the labels are a chain, it also has their
    transitions (L + 2, L), so that they are trained and saved wherever the head is."""

    transitions: nn.Parameter

    def __init__(self, config: HeadConfig) -> None:
        labels = len(config.labels)
        super().__init__(config.backbone.hidden_size, labels, bias=config.of_tokens)
        if config.transitions:
            self.transitions = nn.Parameter(torch.zeros(labels + 2, labels))


class Head(nn.Module):
    """A GPT backbone with a new head: maps tokens to the logits of the L labels."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        self.config = config
        self.gpt = GPT(replace(config.backbone, tie_word_embeddings=False))
        self.gpt.lm_head = nn.Identity()  # type: ignore[assignment]
        self.score = Score(config)

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.gpt.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.gpt.compute_dtype = dtype

    @classmethod
    def over(cls, base: GPT, config: HeadConfig) -> "Head":
        """A new head over the layers of a language model, which may be quantized. The head's
        weights start at zero, so that all labels are equally likely."""
        with torch.device("meta"):
            model = cls(config)
        layers = [
            (name, layer)
            for name, layer in base.model.named_modules(prefix="model")
            if isinstance(layer, Quantized)
        ]
        for name, layer in layers:
            shared, own = layer.shared(), model.gpt.get_submodule(name)
            if isinstance(shared, QuantizedLinear) and isinstance(own, Linear):
                shared.bias = own.bias
            model.gpt.set_submodule(name, shared)
        # The weights are copied. Those read from a file may have any alignment in memory, and the
        # last bits of matrix products depend on it.
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
        """The logits in float32, (B, L) for texts or (B, T, L) for their tokens; `tokens` are (B,
        T), `lengths` (B,). For spans those of the padding are -inf."""
        real = torch.arange(tokens.shape[1], device=tokens.device) < lengths[:, None]  # (B, T)
        # causal attention does not see the padding anyway
        mask = None if self.config.backbone.is_causal else real[:, None, None]  # (B,1,1,T)
        states = self.gpt.hidden(tokens, mask=mask)  # (B, T, C)
        if self.config.kind == "sequence":
            states = states[torch.arange(len(tokens), device=tokens.device), lengths - 1]  # (B, C)
        states = F.dropout(states, self.config.backbone.dropout, self.training)
        logits: Tensor = self.score(states).float()
        if self.config.kind == "span":
            logits = logits.masked_fill(~real[..., None], float("-inf"))
        return logits

    def loss(self, batch: Labelled) -> Tensor:
        """The sum of the losses in nats over all counted targets. With several labels the loss of a
        text is the mean over its labels. With transitions it is the loss of the whole sequence."""
        logits = self(batch.tokens, batch.lengths)
        if self.config.several:
            each = F.binary_cross_entropy_with_logits(logits, batch.targets, reduction="none")
            return each.mean(-1).sum()
        if self.config.transitions:
            real = batch.targets != IGNORED
            transitions = self.score.transitions
            return -crf.log_likelihood(logits, real, transitions, batch.targets).sum()
        if self.config.kind == "span":
            logits = logits.transpose(1, 2)  # (B, 2, T): which token is the first, and the last
        return F.cross_entropy(
            logits.flatten(0, -2), batch.targets.flatten(), reduction="sum", ignore_index=IGNORED
        )
