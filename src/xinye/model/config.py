"""The shape of a network, in Hugging Face's words, and what that shape costs.

Three architectures of a GPT, each a stock one of the field, and a recurrent network to compare them
with:

- `modern`: rotary positions, RMSNorm, SwiGLU, grouped-query attention, normalised queries and keys
  (saved as Qwen3)
- `llama`: the same without the normalised queries and keys (saved as Llama; with `attention_bias`
  but without `attention_output_bias` as Qwen2)
- `gpt2`: learned positions, LayerNorm, GELU, biases everywhere (saved as GPT-2)
- `lstm`: `LSTMConfig`, a stack of LSTM layers (saved under a model type of our own)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Literal

from xinye.errors import XinyeError
from xinye.model.rope import RopeScaling, RopeType

Architecture = Literal["modern", "llama", "gpt2"]


class Shape(ABC):
    """What all networks' shapes have: sizes of at least 1, and what they cost."""

    def check_sizes(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            if field.type is int and getattr(self, field.name) < 1:
                raise XinyeError(
                    f"model shape: {field.name} is {getattr(self, field.name)}; it must be at "
                    "least 1"
                )

    @abstractmethod
    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to read one token, on average over a context."""

    def flops_per_token(self, context: int) -> float:
        """Floating-point operations to train all weights on one token: forward, and twice that
        backward."""
        return 3 * self.forward_flops_per_token(context)


@dataclass(frozen=True)
class GPTConfig(Shape):
    """The shape of a network. Sizes count elements; `head_dim` need not be `hidden_size /
    num_attention_heads`."""

    architecture: Architecture
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    intermediate_size: int
    max_position_embeddings: int
    tie_word_embeddings: bool = True
    attention_bias: bool = False
    # whether, with `attention_bias`, the output projection has one, too
    attention_output_bias: bool = True
    mlp_bias: bool = False
    norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    dropout: float = 0.0
    # False: tokens see those behind them, too, which only a model that writes nothing may
    is_causal: bool = True

    def __post_init__(self) -> None:
        if self.architecture == "gpt2":
            object.__setattr__(self, "attention_bias", True)
            object.__setattr__(self, "mlp_bias", True)
        self.check_sizes()
        if self.num_attention_heads % self.num_key_value_heads:
            raise XinyeError(
                f"model shape: {self.num_attention_heads} attention heads cannot share "
                f"{self.num_key_value_heads} key-value heads; the first must be a multiple of the "
                "second"
            )
        if self.rotary and self.head_dim % 2:
            raise XinyeError(
                f"model shape: head_dim is {self.head_dim}; rotary positions need an even number"
            )
        if not self.rotary and self.rope_scaling is not None:
            raise XinyeError(
                f"RoPE scaling: {self.architecture} has learned positions, which end with its "
                "context"
            )
        if self.architecture == "gpt2" and (
            self.num_attention_heads * self.head_dim != self.hidden_size
            or self.num_key_value_heads != self.num_attention_heads
        ):
            raise XinyeError(
                "model shape: gpt2 needs hidden_size = heads × head_dim and as many key-value "
                "heads as heads"
            )

    @property
    def rotary(self) -> bool:
        return self.architecture != "gpt2"

    def extended(self, rope_type: RopeType, factor: float) -> "GPTConfig":
        """The same network and weights for `factor` times the context, by RoPE scaling.

        Raises `XinyeError` where positions are learned or scaled already.
        """
        if self.rope_scaling is not None:
            raise XinyeError(
                "RoPE scaling: this model's positions are scaled already "
                f"({self.rope_scaling.rope_type})"
            )
        context = self.max_position_embeddings
        if rope_type == "dynamic":  # lengths are measured by the context, so it stays
            return replace(self, rope_scaling=RopeScaling(rope_type, factor))
        original = None if rope_type == "linear" else context
        scaling = RopeScaling(rope_type, factor, original)
        return replace(self, max_position_embeddings=int(context * factor), rope_scaling=scaling)

    @property
    def layer_parameters(self) -> int:
        """Weights of the layers' matrices."""
        queries, keys = (
            self.num_attention_heads * self.head_dim,
            self.num_key_value_heads * self.head_dim,
        )
        attention = self.hidden_size * (2 * queries + 2 * keys)
        mlp = self.hidden_size * self.intermediate_size * (3 if self.rotary else 2)
        return self.num_hidden_layers * (attention + mlp)

    @property
    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied by: the layers' matrices and the output head."""
        return self.layer_parameters + self.hidden_size * self.vocab_size

    @property
    def parameters(self) -> int:
        """All weights, a tied head counted once (biases and norms included)."""
        width, queries = self.hidden_size, self.num_attention_heads * self.head_dim
        keys = self.num_key_value_heads * self.head_dim
        norm = width if self.rotary else 2 * width
        per_layer = 2 * norm + (2 * self.head_dim if self.architecture == "modern" else 0)
        per_layer += (queries + 2 * keys + width * self.attention_output_bias) * self.attention_bias
        per_layer += ((2 if self.rotary else 1) * self.intermediate_size + width) * self.mlp_bias
        extra = norm + (0 if self.rotary else self.max_position_embeddings * width)
        embedding = 0 if self.tie_word_embeddings else self.vocab_size * width
        return self.matrix_parameters + embedding + self.num_hidden_layers * per_layer + extra

    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token, matrix products only; to train on it
        takes three times that.

        Two per matrix weight (Kaplan et al. 2020, arXiv:2001.08361) and, for attention over
        `context` tokens, four per layer, head element and position (PaLM, arXiv:2204.02311), where
        it is causal half of that.
        """
        attention = 4 * self.num_hidden_layers * self.num_attention_heads * self.head_dim * context
        return 2 * self.matrix_parameters + (attention / 2 if self.is_causal else attention)

    def cache_bytes_per_token(self, bytes_per_element: int = 4) -> int:
        """Memory that one token takes in the key-value cache."""
        return (
            2
            * self.num_hidden_layers
            * self.num_key_value_heads
            * self.head_dim
            * bytes_per_element
        )


@dataclass(frozen=True)
class LSTMConfig(Shape):
    """The shape of a recurrent network. `max_position_embeddings` is the length of the windows it
    is trained on."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    max_position_embeddings: int
    tie_word_embeddings: bool = True
    dropout: float = 0.0
    architecture: Literal["lstm"] = "lstm"

    def __post_init__(self) -> None:
        self.check_sizes()

    @property
    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied by: four gates from input and state in each layer,
        and the head."""
        return self.num_hidden_layers * 8 * self.hidden_size**2 + self.hidden_size * self.vocab_size

    @property
    def parameters(self) -> int:
        """All weights, a tied head counted once."""
        embedding = 0 if self.tie_word_embeddings else self.vocab_size * self.hidden_size
        return self.matrix_parameters + embedding + self.num_hidden_layers * 4 * self.hidden_size

    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token: two per matrix weight, however long the
        context is."""
        return 2 * self.matrix_parameters

    def flops_per_token(self, context: int) -> float:
        """Floating-point operations to train on one token: forward, and twice that backward."""
        return 3 * self.forward_flops_per_token(context)
