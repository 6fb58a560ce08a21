"""The network: one GPT class, whose config selects the architecture. There are no subclasses.

Modules have Hugging Face's names, with separate q, k and v in every architecture, so that weights
and adapters work in other tools. Shapes: B batch, T tokens, S tokens including those in the cache,
C hidden size, H heads, K key-value heads, D head size, V vocabulary.

Weights are kept in fp32 and cast to `compute_dtype` where they are used. So training in bf16 is the
same code, with weights, gradients and optimizer state in fp32 (mixed precision, Micikevicius et al.
2018, arXiv:1710.03740).
"""

from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xinye.model import loss
from xinye.model.cache import KeyValueCache
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.kernels import (
    Pieces,
    attention,
    attention_in_pieces,
    gelu,
    gelu_adds,
    linear,
    rms_norm,
    rotate,
    swiglu,
    takes_pieces,
)
from xinye.model.rope import scaled_frequencies
from xinye.model.sharded import put


class Linear(nn.Linear):
    """A linear layer that casts its weights to the dtype of its input."""

    def forward(self, x: Tensor) -> Tensor:
        return linear(
            x, self.weight.to(x.dtype), None if self.bias is None else self.bias.to(x.dtype)
        )


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last dimension, with a learned scale."""

    def __init__(self, size: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps)


class LayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(
            x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps
        )


def norm(config: GPTConfig) -> nn.Module:
    """The normalisation layer of this architecture."""
    kind = RMSNorm if config.rotary else LayerNorm
    return kind(config.hidden_size, eps=config.norm_eps)


def rotary_tables(
    config: GPTConfig, positions: Tensor, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary position embedding (Su et al. 2021, arXiv:2104.09864) for
    positions (…, T), each (…, T, D).

    The first half of the sines is negated, so that `rotate` takes two products and a sum.
    """
    exponents = (
        torch.arange(0, config.head_dim, 2, device=positions.device, dtype=torch.float32)
        / config.head_dim
    )
    frequencies, grown = config.rope_theta**-exponents, None
    if config.rope_scaling is not None:
        frequencies, grown = scaled_frequencies(
            config.rope_scaling,
            config.rope_theta,
            config.head_dim,
            config.max_position_embeddings,
            positions,
        )
    angles = positions[..., None].float() * frequencies
    cosines, sines = angles.cos(), angles.sin()
    if grown is not None:
        cosines, sines = cosines * grown, sines * grown
    cosines, sines = cosines.to(dtype), sines.to(dtype)
    return torch.cat((cosines, cosines), dim=-1), torch.cat((-sines, sines), dim=-1)


class Attention(nn.Module):
    """Self-attention with grouped queries and a cache, as the config says."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.config, self.layer = config, layer
        # Prefix tuning puts learned keys and values before all others (adapter_layers.py).
        self.prefix: nn.Module | None = None
        queries, keys = (
            config.num_attention_heads * config.head_dim,
            config.num_key_value_heads * config.head_dim,
        )
        self.q_proj = Linear(config.hidden_size, queries, bias=config.attention_bias)
        self.k_proj = Linear(config.hidden_size, keys, bias=config.attention_bias)
        self.v_proj = Linear(config.hidden_size, keys, bias=config.attention_bias)
        output_bias = config.attention_bias and config.attention_output_bias
        self.o_proj = Linear(queries, config.hidden_size, bias=output_bias)
        # keeps the logits of attention bounded (arXiv:2302.05442)
        if config.architecture == "modern":
            self.q_norm = RMSNorm(config.head_dim, config.norm_eps)
            self.k_norm = RMSNorm(config.head_dim, config.norm_eps)

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Tensor | Pieces | None,
        cache: KeyValueCache | None,
    ) -> Tensor:
        config = self.config
        queries, keys, values = (
            projection(x).unflatten(-1, (-1, config.head_dim))
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )  # (B, T, H or K, D)
        if config.architecture == "modern":
            queries, keys = self.q_norm(queries), self.k_norm(keys)
        if rotary is not None:
            queries, keys = rotate(queries, rotary), rotate(keys, rotary)
        if isinstance(mask, Pieces):
            return self.o_proj(attention_in_pieces(queries, keys, values, mask).flatten(2))
        queries, keys, values = (
            tensor.transpose(1, 2) for tensor in (queries, keys, values)
        )  # (B, H or K, T, D)
        if cache is not None:
            keys, values = cache.append(self.layer, keys, values)
        if self.prefix is not None:
            keys, values = self.prefix(self.layer, keys, values)
        y = attention(queries, keys, values, mask, config.is_causal)  # (B, H, T, D)
        return self.o_proj(y.transpose(1, 2).flatten(2))  # (B, T, C)


class MLP(nn.Module):
    """The feed-forward layer: SwiGLU, or GELU in `gpt2`."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.gated = config.rotary
        if self.gated:
            self.gate_proj = Linear(
                config.hidden_size, config.intermediate_size, bias=config.mlp_bias
            )
        self.up_proj = Linear(config.hidden_size, config.intermediate_size, bias=config.mlp_bias)
        self.down_proj = Linear(config.intermediate_size, config.hidden_size, bias=config.mlp_bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            return self.down_proj(swiglu(self.gate_proj(x), self.up_proj(x)))
        up = self.up_proj
        if type(up) is Linear and gelu_adds(up.bias, x):
            return self.down_proj(gelu(linear(x, up.weight.to(x.dtype), None), up.bias))
        return self.down_proj(gelu(up(x)))


def document_mask(documents: Tensor | None) -> Tensor | None:
    """Which tokens may attend to which, (B, 1, T, T) of bool, so that documents in one row do not
    see each other. `documents` (B, T) has the number of each token's document."""
    if documents is None:
        return None
    return (documents[:, :, None] == documents[:, None, :]).tril()[:, None]


class Layer(nn.Module):
    """A transformer layer: attention and feed-forward, each after a norm and added to its input."""

    def __init__(self, config: GPTConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = norm(config)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = norm(config)
        self.mlp = MLP(config)
        self.dropout = config.dropout

    def forward(
        self,
        x: Tensor,
        rotary: tuple[Tensor, Tensor] | None,
        mask: Tensor | Pieces | None,
        cache: KeyValueCache | None,
    ) -> Tensor:
        attended = self.self_attn(self.input_layernorm(x), rotary, mask, cache)
        x = x + F.dropout(attended, self.dropout, self.training)
        return x + F.dropout(
            self.mlp(self.post_attention_layernorm(x)), self.dropout, self.training
        )


class Backbone(nn.Module):
    """The network without the output head: embeddings, layers and the final norm."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        if not config.rotary:
            self.embed_positions = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.layers = nn.ModuleList(
            Layer(config, layer) for layer in range(config.num_hidden_layers)
        )
        self.norm = norm(config)


class TokenModel(nn.Module):
    """The base of GPT and LSTM: computes logits and the loss from hidden states."""

    model: nn.Module
    config: GPTConfig | LSTMConfig

    def __init__(self, config: GPTConfig | LSTMConfig, model: nn.Module) -> None:
        super().__init__()
        self.config = config
        self.compute_dtype = torch.float32
        self.model = model
        self.lm_head = Linear(config.hidden_size, config.vocab_size, bias=False)
        self.tie()

    def tie(self) -> None:
        """Make embedding and output head one matrix if the config says so. Call this after weights
        were replaced."""
        if self.config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight  # type: ignore[union-attr, assignment]

    def untie(self) -> None:
        """Make embedding and output head two matrices with the same values, in place."""
        if self.config.tie_word_embeddings:
            self.config = replace(self.config, tie_word_embeddings=False)
            self.lm_head.weight = nn.Parameter(self.lm_head.weight.detach().clone())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def apart(self, documents: Tensor | None, borders: Tensor | None) -> Tensor | Pieces | None:
        """The `mask` with which tokens (B, T) see only their own document. `documents` and
        `borders` are those of `loss`."""
        return document_mask(documents)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Pieces | None = None,
        cache: Any = None,
    ) -> Tensor:
        """The logits (B, T, V) for tokens (B, T), in the compute dtype.

        `positions` (B, T) default to 0, 1, 2 …, continued from the cache. `mask` is boolean and
        broadcasts to (B, H, T, S), True where a token may attend; without it attention follows
        `config.is_causal`. `apart` makes the mask of packed documents. With a `cache` the keys and
        values of these tokens are appended to it; if a later call has several tokens, it needs a
        mask. An LSTM needs no mask, because a document begins wherever a position is 0.
        """
        return self.lm_head(self.hidden(tokens, positions, mask, cache))  # type: ignore[operator]

    def loss(
        self,
        tokens: Tensor,
        targets: Tensor,
        positions: Tensor | None = None,
        documents: Tensor | None = None,
        label_smoothing: float = 0.0,
        borders: Tensor | None = None,
    ) -> Tensor:
        """The sum of the cross-entropies in nats over all targets but -100; all tensors are (B, T).

        `documents` has the number of each token's document within its row; tokens see only their
        own document. A GPU also wants their `borders` (`kernels.Pieces`), which save it the mask.
        `label_smoothing` is the share of each target's probability that is spread
        over the whole vocabulary (Szegedy et al. 2016, arXiv:1512.00567).
        """
        states = self.hidden(tokens, positions, self.apart(documents, borders))  # type: ignore[operator]
        head, targets = self.lm_head, targets.flatten()
        if type(head) is Linear and loss.pays(head.weight, len(targets)):
            states = states.flatten(0, 1)
            return loss.cross_entropy_of_states(states, head.weight, targets, label_smoothing)
        logits = head(states).flatten(0, 1).float()
        return F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)


class GPT(TokenModel):
    """A decoder-only transformer: maps tokens to the logits of the next token.

    >>> config = GPTConfig("modern", 100, 32, 2, 4, 2, 8, 64, 128)
    >>> GPT(config)(torch.zeros(1, 5, dtype=torch.long)).shape
    torch.Size([1, 5, 100])
    """

    config: GPTConfig
    model: Backbone

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config, Backbone(config))
        self.prefix_length = 0
        # Training then keeps only the inputs of layers, and computes each layer again in the
        # backward pass (Chen et al. 2016, arXiv:1604.06174).
        self.activation_checkpointing = False
        self.free_memory: int | None = None  # in bytes, where several processes agreed on it

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Set random weights: normal with standard deviation 0.02 for embeddings (GPT-2) and
        1/√fan-in for matrices. The projections back into the residual stream start at zero, so that
        each layer starts as the identity (Zhang et al. 2019, arXiv:1901.09321; muP,
        arXiv:2203.03466)."""
        # The generator is on the CPU, and all values are drawn everywhere, so that all devices and
        # any number of processes get the same weights.
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if "norm" in name:
                weight.fill_(1.0 if name.endswith("weight") else 0.0)
            elif name.endswith("bias") or "o_proj" in name or "down_proj" in name:
                weight.zero_()
            else:
                table = "embed" in name or "lm_head" in name
                deviation = 0.02 if table else weight.shape[1] ** -0.5
                put(weight, torch.empty(weight.shape).normal_(0.0, deviation, generator=generator))

    def new_cache(self, batch: int, capacity: int | None = None) -> KeyValueCache:
        """An empty cache for `batch` sequences of `capacity` tokens each; None is the whole
        context."""
        capacity = capacity or self.config.max_position_embeddings
        return KeyValueCache(self.config, batch, capacity, self.compute_dtype, self.device)

    def apart(self, documents: Tensor | None, borders: Tensor | None) -> Tensor | Pieces | None:
        if (
            documents is not None
            and borders is not None
            and not self.prefix_length  # which every document sees
            and takes_pieces(borders.device, self.compute_dtype, self.config.head_dim)
        ):
            return Pieces(borders, documents.shape[1])
        return document_mask(documents)

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | Pieces | None = None,
        cache: KeyValueCache | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """The hidden states before the output head, (B, T, C). The arguments are those of
        `forward`. `rows` (n, C) are used instead of the embedding's own."""
        config, start = self.config, 0 if cache is None else cache.length
        if positions is None:
            positions = torch.arange(start, start + tokens.shape[1], device=tokens.device)[
                None
            ]  # (1, T)
        if mask is None and not config.is_causal:
            mask = torch.ones(1, 1, 1, tokens.shape[1], dtype=torch.bool, device=tokens.device)
        x = self.model.embed_tokens(tokens) if rows is None else F.embedding(tokens, rows)
        if self.prefix_length:  # all tokens come after the prefix and attend to it
            assert not isinstance(mask, Pieces)
            positions = positions + self.prefix_length
            if mask is None and tokens.shape[1] > 1:
                shape = tokens.shape[1], start + tokens.shape[1]
                mask = torch.ones(shape, dtype=torch.bool, device=tokens.device).tril(start)
            mask = None if mask is None else F.pad(mask, (self.prefix_length, 0), value=True)
        rotary = None
        if config.rotary:
            cosines, sines = rotary_tables(config, positions, self.compute_dtype)
            rotary = cosines[:, :, None], sines[:, :, None]  # (B or 1, T, 1, D)
        else:
            x = x + self.model.embed_positions(positions)
        x = F.dropout(x.to(self.compute_dtype), config.dropout, self.training)
        again = self.activation_checkpointing and torch.is_grad_enabled() and cache is None
        for layer in self.model.layers:
            if again:
                x = checkpoint(layer, x, rotary, mask, cache, use_reentrant=False)
            else:
                x = layer(x, rotary, mask, cache)
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.model.norm(x)


def gpt_in(network: nn.Module) -> GPT | None:
    """The GPT of a network, which may have a head; None if there is none."""
    return next((each for each in network.modules() if isinstance(each, GPT)), None)
