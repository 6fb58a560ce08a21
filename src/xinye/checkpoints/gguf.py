"""Models as GGUF files, the one quantized format: what llama.cpp and its kin run, read and written here.

The architectures are `qwen3` (ours: modern), `llama`, `qwen2` (a llama with biases on queries, keys and values) and
`gpt2`. Quantized matrices stay as they lie in the file, mapped and not copied, and are computed with by
`model/quantization.py`. Two things lie otherwise than with us: GPT-2's queries, keys and values are one matrix, and the
two halves of each llama head, which turn against each other, are shuffled together.
"""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xinye.checkpoints import gguf_tokenizer
from xinye.checkpoints.gguf_file import Outgoing, Stored, read_gguf, write_gguf
from xinye.checkpoints.huggingface import check_vocabulary
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, did_you_mean
from xinye.machine import memory_bytes
from xinye.model.build import LanguageModel
from xinye.model.config import Architecture, GPTConfig, LSTMConfig
from xinye.model.gpt import GPT
from xinye.model.quantization import (
    BLOCKS,
    COMPUTED,
    FLOATS,
    QuantizedEmbedding,
    QuantizedLinear,
    computable,
    dequantize,
    finite,
    quantize,
    swap_in,
)
from xinye.model.rope import RopeScaling, scaled_frequencies

KINDS = {
    "f32": 0,
    "f16": 1,
    "bf16": 32,
    "q8_0": 7,
    "q4_0": 2,
}  # that are written: the format's number for such a file
_ARCHITECTURES: dict[str, Architecture] = {
    "qwen3": "modern",
    "llama": "llama",
    "qwen2": "llama",
    "gpt2": "gpt2",
}
_NAMES = {  # ours: theirs
    "model.embed_tokens": "token_embd",
    "model.embed_positions": "position_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_FREQUENCIES = "rope_freqs.weight"  # what each pair's frequency is divided by: Llama 3's scaling


# -- in --------------------------------------------------------------------------------------------------------------


def load_gguf(
    path: str | Path, dtype: torch.dtype = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """The model and tokenizer of a file, on the CPU.

    Tensors of 16 or 32 bits become `dtype`; quantized matrices stay quantized (`quantization.computable` says which
    kinds are rounded). Raises `XinyeError` where the file is none, damaged, or of a kind that is not known here.
    """
    path = Path(path)
    metadata, tensors = read_gguf(path)
    try:
        if metadata.get("split.count", 0) not in (0, 1):
            raise XinyeError(
                "one part of several; join them with llama.cpp's llama-gguf-split --merge"
            )
        config = _config(metadata, tensors)
        shuffled = metadata["general.architecture"] == "llama"
        with torch.device("meta"):
            model = GPT(config)
        weights, matrices = _fill(model, tensors, shuffled, dtype)
        swap_in(model, matrices)
        model.load_state_dict(weights, strict=False, assign=True)
        if "model.embed_tokens" not in matrices:
            model.tie()
        model.compute_dtype = dtype
        tokenizer = gguf_tokenizer.from_metadata(metadata)
    except XinyeError as error:
        raise XinyeError(f"{path}: {error}") from None
    check_vocabulary(tokenizer, config, path)
    return model.requires_grad_(), tokenizer


def _config(metadata: dict[str, Any], tensors: dict[str, Stored]) -> GPTConfig:
    """The network's shape; the largest sizes are those of tensors, so that a lie allocates nothing."""
    architecture = metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        raise XinyeError(
            f"the architecture {str(architecture)[:40]!r} is not known here; known are {', '.join(_ARCHITECTURES)}"
        )

    def get(name: str, kind: Any = int, default: Any = None) -> Any:
        value = metadata.get(f"{architecture}.{name}", default)
        if value is None:
            raise XinyeError(f"{architecture}.{name} is missing")
        if type(value) is not kind:
            raise XinyeError(
                f"{architecture}.{name} is {str(value)[:40]!r}; it must be of type {kind.__name__}"
            )
        if kind in (int, float) and not 0 <= value < 2**31:
            raise XinyeError(f"{architecture}.{name} is {value}, which cannot be")
        return value

    def refuse(name: str, allowed: Any) -> None:
        if get(name, type(allowed), allowed) != allowed:
            raise XinyeError(
                f"{architecture}.{name} = {get(name, type(allowed))} is not supported here"
            )

    refuse("expert_count", 0)
    refuse("attention.causal", True)
    refuse("use_parallel_residual", True)
    embedding = tensors.get("token_embd.weight")
    if embedding is None or len(embedding.shape) != 2:
        raise XinyeError("there is no tensor token_embd.weight of two dimensions")
    layers, width, heads = get("block_count"), get("embedding_length"), get("attention.head_count")
    if layers > len(tensors) or width != embedding.shape[1] or not heads:
        raise XinyeError(
            f"{layers:,} layers of {heads} heads and {width:,} elements do not fit its tensors"
        )
    rotary = architecture != "gpt2"
    head_dim = get("attention.key_length", int, width // heads)
    if heads * head_dim >= 2**31:
        raise XinyeError(f"{heads:,} heads of {head_dim:,} elements do not fit its tensors")
    context = get("context_length")
    if rotary:
        refuse("attention.value_length", head_dim)
        refuse("rope.dimension_count", head_dim)
        if 0 < get("attention.sliding_window", int, 0) < context:
            raise XinyeError(
                f"{architecture}.attention.sliding_window: such attention is not supported here"
            )
    theta = get("rope.freq_base", float, 10_000.0)
    if not theta > 1:
        raise XinyeError(f"{architecture}.rope.freq_base is {theta}, which cannot be")
    biased = "blk.0.attn_q.bias" in tensors
    return GPTConfig(
        architecture=_ARCHITECTURES[architecture],
        vocab_size=embedding.shape[0],
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv", int, heads),
        head_dim=head_dim,
        intermediate_size=get("feed_forward_length"),
        max_position_embeddings=context,
        tie_word_embeddings="output.weight" not in tensors,
        attention_bias=biased,
        attention_output_bias="blk.0.attn_output.bias" in tensors or not biased,
        mlp_bias="blk.0.ffn_up.bias" in tensors,
        norm_eps=get(
            "attention.layer_norm_rms_epsilon" if rotary else "attention.layer_norm_epsilon", float
        ),
        rope_theta=theta,
        rope_scaling=_rope_scaling(get, theta, head_dim, tensors.get(_FREQUENCIES))
        if rotary
        else None,
    )


def _rope_scaling(
    get: Any, theta: float, head_dim: int, frequencies: Stored | None
) -> RopeScaling | None:
    """The scaling that metadata tell of by `get`, or that is worked into a tensor."""
    kind = get("rope.scaling.type", str, "none")
    if kind not in ("none", "linear", "yarn"):
        raise XinyeError(
            f"RoPE scaling of type {kind[:40]!r} is not supported here (none, linear and yarn are)"
        )
    for name in ("attn_factor", "yarn_log_multiplier", "yarn_ext_factor", "yarn_attn_factor"):
        if get(f"rope.scaling.{name}", float, 1.0) != 1.0:
            raise XinyeError(f"rope.scaling.{name} is not supported here")
    if frequencies is not None:
        if kind != "none":
            raise XinyeError(f"{_FREQUENCIES} and RoPE scaling of type {kind!r} do not go together")
        return _llama3_scaling(
            dequantize(frequencies.data, frequencies.kind).flatten(), theta, head_dim
        )
    if kind == "none":
        return None
    factor = get("rope.scaling.factor", float)
    if kind == "linear":
        return RopeScaling("linear", factor)
    fast, slow = (
        get(f"rope.scaling.yarn_beta_{name}", float, value)
        for name, value in (("fast", 32.0), ("slow", 1.0))
    )
    original = get("rope.scaling.original_context_length", int, int(get("context_length") / factor))
    return RopeScaling("yarn", factor, original, beta_fast=fast, beta_slow=slow)


def _llama3_scaling(divisors: Tensor, theta: float, head_dim: int) -> RopeScaling | None:
    """Llama 3's scaling from what it divides each frequency by.

    Between pairs that stay and pairs that are divided by the whole factor lies a ramp, straight over the frequencies.
    Two points give it, and any two of `low_freq_factor`, `high_freq_factor` and the original context then the third:
    the first is taken as 1, as it is in every Llama.
    """
    factor = float(f"{float(divisors.max()):.6g}")
    if factor == 1:
        return None
    frequencies = theta ** (-torch.arange(0, head_dim, 2) / head_dim)
    if divisors.shape != frequencies.shape or not 1 < factor < math.inf:
        raise XinyeError(f"{_FREQUENCIES} does not fit the heads")
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
            f"{_FREQUENCIES} is not Llama 3's RoPE scaling; others are not supported here"
        )
    return scaling


def _fill(
    model: GPT, tensors: dict[str, Stored], shuffled: bool, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, str]]]:
    """The model's weights by name, and its quantized matrices; `model` is empty and tells names and shapes."""
    weights: dict[str, Tensor] = {}
    matrices: dict[str, tuple[Tensor, str]] = {}
    config = model.config
    wanted = {name: tensor.shape for name, tensor in _parameters(model)}
    theirs = {name: _their_name(name, config.architecture) for name in wanted}
    for kind, odd in (
        ("lacks", set(theirs.values()) - tensors.keys()),
        ("has an unknown", tensors.keys() - theirs.values() - {_FREQUENCIES}),
    ):
        if odd:
            more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
            raise XinyeError(f"{kind} tensor {min(odd)[:60]!r}{more}; it does not fit its metadata")
    for name, shape in wanted.items():
        stored = tensors[theirs[name]]
        fused = 3 if ".attn_qkv." in theirs[name] else 1
        if stored.shape != (fused * shape[0], *shape[1:]):
            expected = [fused * shape[0], *shape[1:]]
            raise XinyeError(
                f"tensor {theirs[name]} has shape {list(stored.shape)}, not {expected}"
            )
    _check_memory(tensors, dtype)
    for name, shape in wanted.items():
        stored = tensors[theirs[name]]
        data, kind = stored.data, stored.kind
        if (
            len(shape) == 1
        ):  # a vector is one row: as many rows of one value here, so that all below is the same
            data, kind = dequantize(data, kind).view(-1, 1).view(torch.uint8), "f32"
        if ".attn_qkv." in theirs[name]:
            data = data.chunk(3)["qkv".index(name.split("self_attn.")[1][0])]
        if kind not in FLOATS:
            data, kind = computable(data, kind)
        if not finite(data, kind):
            raise XinyeError(f"tensor {theirs[name]} holds NaN or infinity")
        if shuffled and (heads := _turned_heads(name, config)):
            data = data.view(heads, -1, 2, data.shape[1]).transpose(1, 2).reshape(data.shape)
        if kind in FLOATS:
            weights[name] = data.view(FLOATS[kind]).view(shape).to(dtype, copy=True)
        else:
            matrices[name.removesuffix(".weight")] = data, kind
    if config.tie_word_embeddings and "model.embed_tokens" in matrices:
        matrices["lm_head"] = matrices["model.embed_tokens"]
    return weights, matrices


def _check_memory(tensors: dict[str, Stored], dtype: torch.dtype) -> None:
    """Only what is not mapped takes memory: floats, and quantized matrices that are rearranged."""
    needed = sum(
        stored.data.numel() // BLOCKS[stored.kind][1] * dtype.itemsize
        if stored.kind in FLOATS
        else stored.data.numel()
        for stored in tensors.values()
        if stored.kind not in COMPUTED
    )
    free = memory_bytes(torch.device("cpu"))
    if needed > free:
        raise XinyeError(
            f"takes {needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free"
        )


def _parameters(model: GPT) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of an ordinary model, a tied head left out."""
    for name, tensor in model.state_dict().items():
        if name != "lm_head.weight" or not model.config.tie_word_embeddings:
            yield name, tensor


def _their_name(name: str, architecture: str) -> str:
    if architecture == "gpt2":
        for part in "qkv":
            name = name.replace(f"self_attn.{part}_proj", "attn_qkv")
    for ours, theirs in _NAMES.items():
        name = name.replace(ours, theirs)
    return name


def _turned_heads(name: str, config: GPTConfig) -> int:
    """The number of heads in a weight or bias of queries or keys, else 0."""
    if ".q_proj." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if ".k_proj." in name else 0


# -- out -------------------------------------------------------------------------------------------------------------


def save_gguf(
    path: str | Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    kind: str = "f32",
    metadata: dict[str, str] | None = None,
) -> list[str]:
    """Write a model as a GGUF file: its matrices as `kind` (f32, f16, bf16, q8_0 or q4_0), the rest as f32.

    As in llama.cpp's own files the output head is q8_0 where the others are q4_0, and learned positions are f32. A
    matrix whose rows a block does not divide is written as f16; returns the names of those. `metadata` are further
    texts, such as `general.license`. One tensor at a time is in memory. Raises `XinyeError` for what the format, or
    llama.cpp, has no place for.
    """
    path = Path(path)
    if kind not in KINDS:
        raise XinyeError(
            f"unknown kind of weights {kind!r}{did_you_mean(kind, KINDS)}; there are {', '.join(KINDS)}"
        )
    if isinstance(model.config, LSTMConfig):
        raise XinyeError(
            "an lstm cannot be written as GGUF: llama.cpp and its kin have no such architecture"
        )
    config = model.config
    values = _to_metadata(config) | {
        "general.type": "model",
        "general.name": path.stem,
        "general.file_type": KINDS[kind],
        "general.quantization_version": 2,
        **(metadata or {}),
        **gguf_tokenizer.to_metadata(tokenizer, config.vocab_size),
    }
    shuffled = values["general.architecture"] == "llama"
    with torch.device("meta"):
        empty = GPT(config)
    head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    tensors: dict[str, Outgoing] = {}
    fallen_back = []
    for name, tensor in _parameters(empty):
        theirs = _their_name(name, config.architecture)
        fused = ".attn_qkv." in theirs
        shape = (3 * tensor.shape[0], *tensor.shape[1:]) if fused else tuple(tensor.shape)
        written = "f32" if tensor.ndim == 1 or "position" in name else kind
        if written == "q4_0" and name == head:
            written = "q8_0"
        if shape[-1] % BLOCKS[written][0]:
            written = "f16"
            fallen_back.append(theirs)
        parts = [name.replace(".q_proj.", f".{part}_proj.") for part in "qkv"] if fused else [name]
        heads = _turned_heads(name, config) if shuffled else 0
        tensors.setdefault(
            theirs, Outgoing(theirs, shape, written, partial(_blocks, model, parts, heads, written))
        )
    if config.rope_scaling is not None and config.rope_scaling.rope_type == "llama3":
        tensors[_FREQUENCIES] = Outgoing(
            _FREQUENCIES, (config.head_dim // 2,), "f32", partial(_divisors, config)
        )
    write_gguf(path, values, tensors.values())
    return sorted(set(fallen_back))


def _to_metadata(config: GPTConfig) -> dict[str, Any]:
    """What a file says of a network's shape; refuses what llama.cpp does not compute."""
    architecture = next(
        theirs for theirs, ours in _ARCHITECTURES.items() if ours == config.architecture
    )
    if (
        config.architecture == "llama"
        and config.attention_bias
        and not config.attention_output_bias
    ):
        architecture = "qwen2"
    if {"qwen3": config.attention_bias, "qwen2": config.mlp_bias}.get(architecture):
        raise XinyeError(f"GGUF: llama.cpp computes {architecture} without these biases")
    values: dict[str, Any] = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "vocab_size": config.vocab_size,
    }
    if config.rotary:
        values |= {
            "attention.head_count_kv": config.num_key_value_heads,
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
            "attention.layer_norm_rms_epsilon": config.norm_eps,
            "rope.dimension_count": config.head_dim,
            "rope.freq_base": config.rope_theta,
        }
    else:
        values["attention.layer_norm_epsilon"] = config.norm_eps
    scaling = config.rope_scaling
    if scaling is not None and scaling.rope_type != "llama3":
        if scaling.rope_type == "dynamic" or scaling.attention_factor is not None:
            raise XinyeError(f"GGUF: llama.cpp has no such RoPE scaling ({scaling.rope_type})")
        values |= {"rope.scaling.type": scaling.rope_type, "rope.scaling.factor": scaling.factor}
        if scaling.rope_type == "yarn":
            values |= {
                "rope.scaling.original_context_length": scaling.original_max_position_embeddings,
                "rope.scaling.yarn_beta_fast": scaling.beta_fast,
                "rope.scaling.yarn_beta_slow": scaling.beta_slow,
            }
    elif scaling is not None and architecture != "llama":
        raise XinyeError(f"GGUF: llama.cpp computes {architecture} without Llama 3's RoPE scaling")
    return {"general.architecture": architecture} | {
        f"{architecture}.{name}": value for name, value in values.items()
    }


def _divisors(config: GPTConfig) -> Tensor:
    """What Llama 3's scaling divides each pair's frequency by, as a row of blocks."""
    assert config.rope_scaling is not None
    frequencies = config.rope_theta ** (-torch.arange(0, config.head_dim, 2) / config.head_dim)
    original = config.max_position_embeddings
    scaled, _ = scaled_frequencies(
        config.rope_scaling, config.rope_theta, config.head_dim, original, torch.zeros(1)
    )
    return quantize((frequencies / scaled)[None], "f32")


def _blocks(model: LanguageModel, names: list[str], heads: int, kind: str) -> Tensor:
    """Weights of the model, one below the other, as rows of blocks."""
    x = torch.cat([_values(model, name) for name in names])
    x = x.view(len(x), -1)
    if heads:
        x = x.view(heads, 2, -1, x.shape[1]).transpose(1, 2).reshape(x.shape)
    blocks = quantize(x, kind)
    if not finite(blocks, kind):
        raise XinyeError(
            f"GGUF: {names[0]} holds NaN, infinity, or numbers too large for {kind}", exit_code=1
        )
    return blocks


def _values(model: LanguageModel, name: str) -> Tensor:
    """A weight or bias in fp32 on the CPU, also where its layer is quantized."""
    owner, _, attribute = name.rpartition(".")
    layer = model.get_submodule(owner)
    if attribute == "weight" and isinstance(layer, QuantizedLinear | QuantizedEmbedding):
        return dequantize(layer.blocks.cpu(), layer.kind)
    return getattr(layer, attribute).detach().cpu().float()
