"""Reads and writes models as GGUF files: the format of llama.cpp, and Xinye's only quantized one.

Quantized matrices are mapped, not copied, and computed with in the file's own layout by
`model/quantization.py`. Two things differ from Xinye's layout: GPT-2's queries, keys and values are
one matrix, and in llama files the two halves of each head that rotary positions pair up are
interleaved.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from xinye.checkpoints import gguf_tokenizer
from xinye.checkpoints.gguf_config import (
    FREQUENCIES,
    frequency_divisors,
    from_metadata,
    to_metadata,
)
from xinye.checkpoints.gguf_file import Outgoing, Stored, read_gguf, write_gguf
from xinye.checkpoints.huggingface import check_vocabulary
from xinye.checkpoints.layout import check_memory, check_shapes, names_in_file, renamed
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, did_you_mean
from xinye.model.build import LanguageModel
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.quantization import (
    BLOCKS,
    COMPUTED,
    FLOATS,
    Quantized,
    computable,
    dequantize,
    finite,
    quantize,
    swap_in,
)

# the kinds that are written, and the format's number for such a file
KINDS = {
    "f32": 0,
    "f16": 1,
    "bf16": 32,
    "q8_0": 7,
    "q4_0": 2,
}

_NAMES = {  # Xinye's names, and those of GGUF files
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
_GPT2_NAMES = _NAMES | dict.fromkeys(
    ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "attn_qkv"
)


def _layout(model: GPT) -> tuple[dict[str, list[str]], dict[str, tuple[int, ...]]]:
    """For each name in a file the model's tensors that it holds, and the shape of each tensor in
    the file."""
    names = _GPT2_NAMES if model.config.architecture == "gpt2" else _NAMES
    layout = names_in_file(model, lambda name: renamed(name, names))
    sizes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    shapes = {
        theirs: (sizes[ours[0]][0] * len(ours), *sizes[ours[0]][1:])
        for theirs, ours in layout.items()
    }
    return layout, shapes


# -- loading ---------------------------------------------------------------------------------------


def load_gguf(path: Path, dtype: torch.dtype = torch.float32) -> tuple[LanguageModel, Tokenizer]:
    """The model and tokenizer of a file, on the CPU.

    Tensors of 16 or 32 bits become `dtype`. Quantized matrices stay quantized
    (`quantization.computable` says which kinds are rounded). Raises `XinyeError` if the file is not
    GGUF, damaged or unsupported.
    """
    metadata, tensors = read_gguf(path)
    try:
        if metadata.get("split.count", 0) not in (0, 1):
            raise XinyeError(
                "the file is one part of several; join them with llama.cpp's llama-gguf-split "
                "--merge"
            )
        config = from_metadata(metadata, tensors)
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


def _fill(
    model: GPT, tensors: dict[str, Stored], shuffled: bool, dtype: torch.dtype
) -> tuple[dict[str, Tensor], dict[str, tuple[Tensor, str]]]:
    """The weights by name, and the quantized matrices. `model` has no weights yet; it gives names
    and shapes."""
    weights: dict[str, Tensor] = {}
    matrices: dict[str, tuple[Tensor, str]] = {}
    empty = model.state_dict()
    layout, wanted = _layout(model)
    found = {theirs: stored.shape for theirs, stored in tensors.items() if theirs != FREQUENCIES}
    check_shapes(found, wanted, "", "metadata")
    _check_memory(tensors, dtype)
    for theirs, names in layout.items():
        data, kind = tensors[theirs].data, tensors[theirs].kind
        # A vector is one row in the file. As a column it can be handled like a matrix below.
        if len(wanted[theirs]) == 1:
            data, kind = dequantize(data, kind).view(-1, 1).view(torch.uint8), "f32"
        if kind not in FLOATS:
            data, kind = computable(data, kind)
        if not finite(data, kind):
            raise XinyeError(f"tensor {theirs} holds NaN or infinity")
        for name, part in zip(names, data.chunk(len(names)), strict=True):
            if shuffled and (heads := _turned_heads(name, model.config)):
                part = part.view(heads, -1, 2, part.shape[1]).transpose(1, 2).reshape(part.shape)
            if kind in FLOATS:
                weights[name] = part.view(FLOATS[kind]).view(empty[name].shape).to(dtype, copy=True)
            else:
                matrices[name.removesuffix(".weight")] = part, kind
    if model.config.tie_word_embeddings and "model.embed_tokens" in matrices:
        matrices["lm_head"] = matrices["model.embed_tokens"]
    return weights, matrices


def _check_memory(tensors: dict[str, Stored], dtype: torch.dtype) -> None:
    """Raise `XinyeError` if the weights need too much memory: floats, and matrices that are
    rearranged. Mapped ones need none."""
    sizes = {kind: dtype.itemsize / BLOCKS[kind][1] for kind in FLOATS} | dict.fromkeys(COMPUTED, 0)
    needed = sum(each.data.numel() * sizes.get(each.kind, 1) for each in tensors.values())
    check_memory(needed, dtype)


def _turned_heads(name: str, config: GPTConfig) -> int:
    """The number of heads in a weight or bias of queries or keys, 0 for other tensors."""
    if ".q_proj." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if ".k_proj." in name else 0


# -- saving ----------------------------------------------------------------------------------------


def save_gguf(
    path: Path,
    model: LanguageModel,
    tokenizer: Tokenizer,
    kind: str = "f32",
    metadata: dict[str, str] | None = None,
) -> list[str]:
    """Write a model as a GGUF file: its matrices as `kind` (f32, f16, bf16, q8_0 or q4_0), the rest
    as f32. Returns the names of tensors that had to be written as f16.

    As in llama.cpp's own files the output head is q8_0 if the others are q4_0, and learned
    positions are f32. A matrix whose row length is not a multiple of the block is written as f16.
    `metadata` has further texts, such as `general.license`. Only one tensor at a time is in memory.
    Raises `XinyeError` for what the format or llama.cpp does not support.
    """
    if kind not in KINDS:
        raise XinyeError(
            f"unknown weight format {kind!r}; choose one of {', '.join(KINDS)}"
            f"{did_you_mean(kind, KINDS)}"
        )
    if not isinstance(model, GPT):
        raise XinyeError(
            "an LSTM cannot be written as GGUF: llama.cpp does not support this architecture"
        )
    config = model.config
    values = to_metadata(config) | {
        "general.type": "model",
        "general.name": path.stem,
        "general.file_type": KINDS[kind],
        "general.quantization_version": 2,
        **(metadata or {}),
        **gguf_tokenizer.to_metadata(tokenizer, config.vocab_size),
    }
    shuffled = values["general.architecture"] == "llama"
    head = "model.embed_tokens.weight" if config.tie_word_embeddings else "lm_head.weight"
    tensors: list[Outgoing] = []
    with torch.device("meta"):
        layout, shapes = _layout(GPT(config))
    for theirs, names in layout.items():
        shape = shapes[theirs]
        written = "f32" if len(shape) == 1 or "position" in theirs else kind
        if written == "q4_0" and names == [head]:
            written = "q8_0"
        if shape[-1] % BLOCKS[written][0]:
            written = "f16"
        heads = _turned_heads(names[0], config) if shuffled else 0
        tensors.append(
            Outgoing(theirs, shape, written, partial(_blocks, model, names, heads, written))
        )
    if config.rope_scaling is not None and config.rope_scaling.rope_type == "llama3":
        divisors = partial(frequency_divisors, config)
        tensors.append(Outgoing(FREQUENCIES, (config.head_dim // 2,), "f32", divisors))
    write_gguf(path, values, tensors)
    return sorted(tensor.name for tensor in tensors if tensor.kind == "f16" and kind != "f16")


def _blocks(model: LanguageModel, names: list[str], heads: int, kind: str) -> Tensor:
    """Weights of the model, stacked, as rows of blocks."""
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
    """A weight or bias in fp32 on the CPU; a quantized one is unpacked."""
    owner, _, attribute = name.rpartition(".")
    layer = model.get_submodule(owner)
    if attribute == "weight" and isinstance(layer, Quantized):
        return layer.dequantized().cpu()
    return getattr(layer, attribute).detach().cpu().float()
