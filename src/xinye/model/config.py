"""The shape of a network, in Hugging Face's names, and what that shape costs.

There are three architectures of a GPT, each one established in the field, and a recurrent network
to compare them with:

- `modern`: rotary positions, RMSNorm, SwiGLU, grouped-query attention, normalised queries and keys
  (saved as Qwen3)
- `llama`: the same without the normalised queries and keys (saved as Llama; with `attention_bias`
  but without `attention_output_bias` as Qwen2)
- `gpt2`: learned positions, LayerNorm, GELU, biases everywhere (saved as GPT-2)
- `lstm`: `LSTMConfig`, a stack of LSTM layers (saved under Xinye's own model type)
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields, replace
from typing import Literal

from xinye.errors import XinyeError, refuse_first
from xinye.model.rope import RopeScaling, RopeType

Architecture = Literal["modern", "llama", "gpt2"]
LONGEST_CONTEXT = 2**25  # tokens, three times as many as any model has; more is a mistake


class Shape(ABC):
    """The base of all configs: it checks that sizes are at least 1, and computes what they cost.

    Raises `XinyeError` for a size below 1.
    """

    def __post_init__(self) -> None:
        for field in fields(self):  # type: ignore[arg-type]
            if field.type is int and getattr(self, field.name) < 1:
                raise XinyeError(
                    f"model shape: {field.name} is {getattr(self, field.name)}; it must be at "
                    "least 1"
                )

    @abstractmethod
    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token forward, as a mean over a context of this
        many tokens."""

    def flops_per_token(self, context: int) -> float:
        """Floating-point operations to train all weights on one token. The backward pass takes
        twice as many as the forward pass."""
        return 3 * self.forward_flops_per_token(context)


@dataclass(frozen=True)
class GPTConfig(Shape):
    """The shape of a GPT. Sizes count elements, and `max_position_embeddings` is the context in
    tokens. `head_dim` need not be `hidden_size / num_attention_heads`.

    Raises `XinyeError` for sizes that do not fit each other.
    """

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
    # whether the output projection has a bias, too, if `attention_bias` is set
    attention_output_bias: bool = True
    mlp_bias: bool = False
    norm_eps: float = 1e-6
    rope_theta: float = 10_000.0
    rope_scaling: RopeScaling | None = None
    dropout: float = 0.0
    # False lets tokens attend to later ones, too, as in models that do not generate text.
    is_causal: bool = True

    def __post_init__(self) -> None:
        if self.architecture == "gpt2":
            object.__setattr__(self, "attention_bias", True)
            object.__setattr__(self, "mlp_bias", True)
        super().__post_init__()
        heads, shared = self.num_attention_heads, self.num_key_value_heads
        plain = heads == shared and heads * self.head_dim == self.hidden_size
        refuse_first(
            (
                self.max_position_embeddings > LONGEST_CONTEXT,
                f"model shape: max_position_embeddings is {self.max_position_embeddings}; it must "
                f"be at most {LONGEST_CONTEXT}",
            ),
            (
                heads % shared,
                f"model shape: {heads} attention heads cannot share {shared} key-value heads; the "
                "first must be a multiple of the second",
            ),
            (
                self.rotary and self.head_dim % 2,
                f"model shape: head_dim is {self.head_dim}; rotary positions need an even number",
            ),
            (
                not self.rotary and self.rope_scaling is not None,
                f"RoPE scaling: {self.architecture} has learned positions, which cannot be scaled",
            ),
            (
                self.architecture == "gpt2" and not plain,
                "model shape: gpt2 needs hidden_size = heads × head_dim and as many key-value "
                "heads as heads",
            ),
        )

    @property
    def rotary(self) -> bool:
        """Whether positions are rotary; otherwise they are learned."""
        return self.architecture != "gpt2"

    @property
    def dynamic(self) -> bool:
        """Whether the rotation of all keys depends on the number of tokens read (dynamic RoPE
        scaling)."""
        return self.rope_scaling is not None and self.rope_scaling.rope_type == "dynamic"

    def extended(self, rope_type: RopeType, factor: float) -> "GPTConfig":
        """The config of the same network for `factor` times the context, by RoPE scaling.

        Raises `XinyeError` if the positions are learned or already scaled.
        """
        if self.rope_scaling is not None:
            raise XinyeError(
                "RoPE scaling: the positions of this model are scaled already "
                f"({self.rope_scaling.rope_type})"
            )
        context = self.max_position_embeddings
        original = context if rope_type in ("yarn", "llama3") else None
        scaling = RopeScaling(rope_type, factor, original)
        if rope_type != "dynamic":  # it compares lengths with the original context
            context = int(context * factor)
        return replace(self, max_position_embeddings=context, rope_scaling=scaling)

    @property
    def layer_parameters(self) -> int:
        """The number of weights in the matrices of the layers."""
        heads = 2 * self.num_attention_heads + 2 * self.num_key_value_heads
        attention = self.hidden_size * heads * self.head_dim
        mlp = self.hidden_size * self.intermediate_size * (3 if self.rotary else 2)
        return self.num_hidden_layers * (attention + mlp)

    @property
    def matrix_parameters(self) -> int:
        """The number of weights that each token is multiplied by: the layers' matrices and the
        output head."""
        return self.layer_parameters + self.hidden_size * self.vocab_size

    @property
    def parameters(self) -> int:
        """The number of all weights, with biases and norms. A tied head counts once."""
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
        """Floating-point operations to compute one token forward, in matrix products only.

        Two for each matrix weight (Kaplan et al. 2020, arXiv:2001.08361), plus four for each layer,
        head element and position of attention over `context` tokens (PaLM, arXiv:2204.02311).
        Causal attention takes half of the latter.
        """
        attention = 4 * self.num_hidden_layers * self.num_attention_heads * self.head_dim * context
        return 2 * self.matrix_parameters + (attention / 2 if self.is_causal else attention)

    def cache_bytes_per_token(self, bytes_per_element: int = 4) -> int:
        """The bytes that one token takes in the key-value cache."""
        return (
            2
            * self.num_hidden_layers
            * self.num_key_value_heads
            * self.head_dim
            * bytes_per_element
        )


@dataclass(frozen=True)
class LSTMConfig(Shape):
    """The shape of a recurrent network. `max_position_embeddings` is the number of tokens in the
    windows that it is trained on."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    max_position_embeddings: int
    tie_word_embeddings: bool = True
    dropout: float = 0.0
    architecture: Literal["lstm"] = "lstm"

    @property
    def matrix_parameters(self) -> int:
        """The number of weights that each token is multiplied by: in each layer four gates from
        input and state, and the output head."""
        return self.num_hidden_layers * 8 * self.hidden_size**2 + self.hidden_size * self.vocab_size

    @property
    def parameters(self) -> int:
        """The number of all weights. A tied head counts once."""
        embedding = 0 if self.tie_word_embeddings else self.vocab_size * self.hidden_size
        return self.matrix_parameters + embedding + self.num_hidden_layers * 4 * self.hidden_size

    def forward_flops_per_token(self, context: int) -> float:
        """Floating-point operations to compute one token forward: two for each matrix weight,
        whatever the context is."""
        return 2 * self.matrix_parameters
