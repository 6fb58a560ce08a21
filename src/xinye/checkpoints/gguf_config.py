"""Converts between a config and the metadata of a GGUF file, in llama.cpp's names.

The architectures are `qwen3` (Xinye's modern), `llama`, `qwen2` (a llama with biases on queries,
keys and values) and `gpt2`.
"""

import math
from typing import Any

import torch
from torch import Tensor

from xinye.checkpoints.families import FAMILIES, family_of
from xinye.checkpoints.gguf_file import Metadata, Stored, value_of
from xinye.errors import XinyeError
from xinye.model.config import GPTConfig
from xinye.model.quantization import dequantize, quantize
from xinye.model.rope import RopeScaling, scaled_frequencies

FREQUENCIES = "rope_freqs.weight"  # the divisor of each pair's frequency, for Llama 3's scaling
_ARCHITECTURES = ("qwen3", "llama", "qwen2", "gpt2")
_KEYS = {  # Xinye's field, and its key
    "max_position_embeddings": "context_length",
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "intermediate_size": "feed_forward_length",
    "num_attention_heads": "attention.head_count",
}
_GPT2_KEYS = _KEYS | {"norm_eps": "attention.layer_norm_epsilon"}
_ROTARY_KEYS = _KEYS | {
    "num_key_value_heads": "attention.head_count_kv",
    "head_dim": "attention.key_length",
    "norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}


class _Described:
    """The metadata of a network. A value that is not supported raises an error that names it."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata, self.architecture = metadata, str(metadata.get("general.architecture"))
        if self.architecture not in _ARCHITECTURES:
            raise XinyeError(
                f"the architecture {self.architecture[:40]!r} is not supported; Xinye reads "
                f"{', '.join(_ARCHITECTURES)}"
            )

    def get(self, name: str, kind: type = int, default: Any = None) -> Any:
        return value_of(self.metadata, f"{self.architecture}.{name}", kind, default)

    def refuse(self, allowed: Metadata) -> None:
        """Raise `XinyeError` if a value is present and is not the allowed one."""
        for name, only in allowed.items():
            value = self.get(name, type(only), only)
            if value != only:
                raise XinyeError(f"{self.architecture}.{name} = {value} is not supported")


def from_metadata(metadata: Metadata, tensors: dict[str, Stored]) -> GPTConfig:
    """The config of the network. The largest sizes come from the tensors, so that false metadata
    cannot allocate memory."""
    described = _Described(metadata)
    described.refuse({"expert_count": 0, "attention.causal": True, "use_parallel_residual": True})
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise XinyeError("the file has no two-dimensional tensor token_embd.weight")
    values = {name: described.get(key) for name, key in _KEYS.items()}
    layers, width, heads = (
        values["num_hidden_layers"],
        values["hidden_size"],
        values["num_attention_heads"],
    )
    if layers > len(tensors) or width != embedding.shape[1] or not heads:
        raise XinyeError(
            f"{layers:,} layers of {heads} heads and {width:,} elements do not fit the file's "
            "tensors"
        )
    head_dim = described.get("attention.key_length", default=width // heads)
    if heads * head_dim >= 2**31:
        raise XinyeError(f"{heads:,} heads of {head_dim:,} elements do not fit the file's tensors")
    biased = "blk.0.attn_q.bias" in tensors
    keys = _GPT2_KEYS
    if described.architecture != "gpt2":
        keys = _ROTARY_KEYS
        values |= _positions(described, head_dim, tensors.get(FREQUENCIES))
    return GPTConfig(
        **values,
        architecture=FAMILIES[described.architecture].architecture,  # type: ignore[arg-type]
        vocab_size=embedding.shape[0],
        num_key_value_heads=described.get("attention.head_count_kv", default=heads),
        head_dim=head_dim,
        tie_word_embeddings="output.weight" not in tensors,
        attention_bias=biased,
        attention_output_bias="blk.0.attn_output.bias" in tensors or not biased,
        mlp_bias="blk.0.ffn_up.bias" in tensors,
        norm_eps=described.get(keys["norm_eps"], float),
    )


def _positions(described: _Described, head_dim: int, frequencies: Stored | None) -> Metadata:
    described.refuse({"attention.value_length": head_dim, "rope.dimension_count": head_dim})
    if 0 < described.get("attention.sliding_window", default=0) < described.get("context_length"):
        raise XinyeError(
            f"{described.architecture}.attention.sliding_window: sliding-window attention is not "
            "supported"
        )
    theta = described.get("rope.freq_base", float, 10_000.0)
    if not theta > 1:
        raise XinyeError(
            f"{described.architecture}.rope.freq_base is {theta}; it must be greater than 1"
        )
    return {
        "rope_theta": theta,
        "rope_scaling": _rope_scaling(described, theta, head_dim, frequencies),
    }


def _rope_scaling(
    described: _Described, theta: float, head_dim: int, frequencies: Stored | None
) -> RopeScaling | None:
    """The RoPE scaling that the metadata name or that a tensor of divisors contains; None without
    scaling."""
    get = described.get
    kind = get("rope.scaling.type", str, "none")
    if kind not in ("none", "linear", "yarn"):
        raise XinyeError(
            f"RoPE scaling of type {kind[:40]!r} is not supported; Xinye reads none, linear, yarn"
        )
    unscaled = ("attn_factor", "yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor")
    described.refuse({f"rope.scaling.{name}": 1.0 for name in unscaled})
    if frequencies is not None:
        if kind != "none":
            raise XinyeError(f"{FREQUENCIES} cannot be combined with RoPE scaling of type {kind!r}")
        return _llama3_scaling(
            dequantize(frequencies.data, frequencies.kind).flatten(), theta, head_dim
        )
    if kind == "none":
        return None
    factor = get("rope.scaling.factor", float)
    if kind == "linear":
        return RopeScaling("linear", factor)
    return RopeScaling(
        "yarn",
        factor,
        get("rope.scaling.original_context_length", int, int(get("context_length") / factor)),
        beta_fast=get("rope.scaling.yarn_beta_fast", float, 32.0),
        beta_slow=get("rope.scaling.yarn_beta_slow", float, 1.0),
    )


def _llama3_scaling(divisors: Tensor, theta: float, head_dim: int) -> RopeScaling | None:
    """Llama 3's scaling, computed from the divisors (D / 2,) of the frequencies.

    Between the pairs that stay and those that are divided by the whole factor there is a linear
    ramp over the frequencies. Two points determine the ramp, but not all of `low_freq_factor`,
    `high_freq_factor` and the original context. So the first is taken as 1, as in every Llama, and
    the others follow.
    """
    factor = float(f"{float(divisors.max()):.6g}")
    if factor == 1:
        return None
    frequencies = theta ** (-torch.arange(0, head_dim, 2) / head_dim)
    if divisors.shape != frequencies.shape or not 1 < factor < math.inf:
        raise XinyeError(f"{FREQUENCIES} does not fit the size of the attention heads")
    kept = 1 - (1 - 1 / divisors) / (1 - 1 / factor)
    ramp = torch.nonzero((kept > 1e-3) & (kept < 1 - 1e-3)).flatten()
    width, original = 3.0, 8192
    if len(ramp) > 1:
        first, last = ramp[0], ramp[-1]
        slope = float((kept[first] - kept[last]) / (frequencies[first] - frequencies[last]))
        width = 1 / max(1e-6, slope * float(frequencies[first]) - float(kept[first]))
        original = round(slope * 2 * math.pi * width)
    scaling = RopeScaling(
        "llama3",
        factor,
        max(1, original),
        low_freq_factor=1.0,
        high_freq_factor=1 + round(width, 3),
    )
    again = frequencies / scaled_frequencies(scaling, theta, head_dim, original, torch.zeros(1))[0]
    if not torch.allclose(again, divisors, rtol=1e-3):
        raise XinyeError(
            f"{FREQUENCIES} is not Llama 3's RoPE scaling, the only one that Xinye reads from a "
            "tensor"
        )
    return scaling


def to_metadata(config: GPTConfig) -> Metadata:
    """The metadata of a network. Raises `XinyeError` for what llama.cpp does not support."""
    architecture = family_of(config)
    if {"qwen3": config.attention_bias, "qwen2": config.mlp_bias}.get(architecture):
        raise XinyeError(f"GGUF: llama.cpp does not support these biases in {architecture}")
    keys = _ROTARY_KEYS if config.rotary else _GPT2_KEYS
    values = {key: getattr(config, name) for name, key in keys.items()} | {
        "vocab_size": config.vocab_size
    }
    if config.rotary:
        values |= {
            "attention.value_length": config.head_dim,
            "rope.dimension_count": config.head_dim,
        }
    scaling = config.rope_scaling
    if scaling is not None and scaling.rope_type == "llama3":
        if architecture != "llama":
            raise XinyeError(
                f"GGUF: llama.cpp does not support Llama 3's RoPE scaling in {architecture}"
            )
    elif scaling is not None:
        if scaling.rope_type == "dynamic" or scaling.attention_factor is not None:
            raise XinyeError(
                f"GGUF: llama.cpp does not support this RoPE scaling ({scaling.rope_type})"
            )
        values |= {"rope.scaling.type": scaling.rope_type, "rope.scaling.factor": scaling.factor}
        if scaling.rope_type == "yarn":
            values |= {
                "rope.scaling.original_context_length": scaling.original_max_position_embeddings,
                "rope.scaling.yarn_beta_fast": scaling.beta_fast,
                "rope.scaling.yarn_beta_slow": scaling.beta_slow,
            }
    return {"general.architecture": architecture} | {
        f"{architecture}.{name}": value for name, value in values.items()
    }


def frequency_divisors(config: GPTConfig) -> Tensor:
    """The divisor of each pair's frequency in Llama 3's scaling, as a row of f32 blocks."""
    assert config.rope_scaling is not None
    frequencies = config.rope_theta ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
    scaled, _ = scaled_frequencies(
        config.rope_scaling,
        config.rope_theta,
        config.head_dim,
        config.max_position_embeddings,
        torch.zeros(1),
    )
    return quantize((frequencies / scaled)[None], "f32")
