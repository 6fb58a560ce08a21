"""Converts between Xinye's weights and Hugging Face's names and layout, and checks tensors of all
file formats.

`modern` and `llama` have Hugging Face's names already. In GPT-2 files q, k and v are one matrix,
matrices are transposed, and the head for tokens has a different name.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from xinye.errors import XinyeError
from xinye.machine import memory_bytes
from xinye.model.build import Network
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.model.heads import Head, HeadConfig

# Xinye's names and those of Hugging Face's GPT-2, where queries, keys and values are one matrix.
_GPT2_NAMES = {
    "model.embed_tokens": "transformer.wte",
    "model.embed_positions": "transformer.wpe",
    "model.norm": "transformer.ln_f",
    "model.layers": "transformer.h",
    "input_layernorm": "ln_1",
    "post_attention_layernorm": "ln_2",
    **dict.fromkeys(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "attn.c_attn"),
    "self_attn.c_attn": "attn.c_attn",  # the site of an adapter
    "self_attn.o_proj": "attn.c_proj",
    "mlp.up_proj": "mlp.c_fc",
    "mlp.down_proj": "mlp.c_proj",
}
# `Qwen3ForQuestionAnswering` and `LlamaForQuestionAnswering` call their layers `transformer`.
_ANSWERING_NAMES = {"model.": "transformer."}
_GPT2_MATRICES = ("attn.c_attn.weight", "c_proj.weight", "mlp.c_fc.weight")  # stored as (in, out)


# parts that compiling and sharding add to the names of weights
WRAPPERS = re.compile(r"_orig_mod\.|_fsdp_wrapped_module\.|_checkpoint_wrapped_module\.")


def renamed(name: str, names: Mapping[str, str]) -> str:
    for ours, theirs in names.items():
        name = name.replace(ours, theirs)
    return name


def shape_of(model: Network) -> GPTConfig | LSTMConfig:
    """The config of the backbone, for a network with or without a head."""
    return model.config.backbone if isinstance(model.config, HeadConfig) else model.config


def their_name(name: str, model: Network) -> str:
    """Hugging Face's name of a tensor or matrix of the model."""
    name = name.removeprefix("gpt.")
    gpt2 = shape_of(model).architecture == "gpt2"
    kind = model.config.kind if isinstance(model, Head) else None
    if kind == "span":
        name = name.replace("score.", "qa_outputs.")
        return renamed(name, _GPT2_NAMES) if gpt2 else renamed(name, _ANSWERING_NAMES)
    if kind == "token" and gpt2:
        name = name.replace("score.", "classifier.")
    return renamed(name, _GPT2_NAMES) if gpt2 else name


def names_in_file(model: Network, rename: Callable[[str], str]) -> dict[str, list[str]]:
    """For each name in a file, the model's tensors that it holds: several if queries, keys and
    values are one there. A tied head is left out. `rename` maps a name of ours to that in the
    file."""
    tied = not isinstance(model, Head) and model.config.tie_word_embeddings
    found: dict[str, list[str]] = defaultdict(list)
    for name in model.state_dict():
        if not (tied and name == "lm_head.weight"):
            found[rename(name)].append(name)
    return found


def _layout(model: Network) -> dict[str, list[str]]:
    return names_in_file(model, lambda name: their_name(name, model))


def _lies_transposed(theirs: str, model: Network) -> bool:
    return shape_of(model).architecture == "gpt2" and theirs.endswith(_GPT2_MATRICES)


def to_tensors(model: Network) -> dict[str, Tensor]:
    """The weights with Hugging Face's names and layout, on the CPU. A tied head is left out."""
    state = {name: x if x.is_meta else x.cpu() for name, x in model.state_dict().items()}
    tensors = {}
    for theirs, ours in _layout(model).items():
        tensor = torch.cat([state[name] for name in ours]) if len(ours) > 1 else state[ours[0]]
        tensors[theirs] = (tensor.T if _lies_transposed(theirs, model) else tensor).contiguous()
    return tensors


def from_tensors(tensors: Mapping[str, Tensor], model: Network) -> dict[str, Tensor]:
    """Hugging Face's tensors with the model's names and layout, for `load_state_dict`."""
    state: dict[str, Tensor] = {}
    for theirs, ours in _layout(model).items():
        tensor = tensors[theirs].T if _lies_transposed(theirs, model) else tensors[theirs]
        state |= zip(ours, tensor.chunk(len(ours)), strict=True)
    if shape_of(model).architecture != "gpt2":
        return state
    return {name: tensor.contiguous().clone() for name, tensor in state.items()}


def file_shapes(model: Network) -> dict[str, tuple[int, ...]]:
    """The shapes of a model's weights in Hugging Face's layout, by Hugging Face's names."""
    sizes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    shapes = {}
    for theirs, ours in _layout(model).items():
        first, *others = sizes[ours[0]]
        shape = (first + sum(sizes[name][0] for name in ours[1:]), *others)
        shapes[theirs] = shape[::-1] if _lies_transposed(theirs, model) else shape
    return shapes


def put_tensors(tensors: Mapping[str, Tensor], model: Network) -> None:
    """Copy Hugging Face's tensors, some or all of a model, into its weights in place."""
    layout = _layout(model)
    for theirs, tensor in tensors.items():
        names = layout[theirs]
        rows = tensor.T if _lies_transposed(theirs, model) else tensor
        sizes = [len(model.get_parameter(name)) for name in names]
        for name, part in zip(names, rows.split(sizes), strict=True):
            model.get_parameter(name).data.copy_(part)


# -- files of tensors ------------------------------------------------------------------------------


def check_shapes(
    found: Mapping[str, Sequence[int]],
    wanted: Mapping[str, Sequence[int]],
    where: str,
    of: str = "config.json",
) -> None:
    """Raise `XinyeError` if the names or shapes of a file's tensors are not those that its config
    implies."""
    lacking = wanted.keys() - found.keys()
    if odd := lacking or found.keys() - wanted.keys():
        name = min(odd)[:100]
        if len(odd) > 1:
            name = f"{name} and {len(odd) - 1:,} others"
        raise XinyeError(
            f"{where}{'lacks' if lacking else 'has an unknown'} tensor {name}; it does not fit its "
            f"{of}"
        )
    for name, shape in wanted.items():
        if tuple(found[name]) != tuple(shape):
            raise XinyeError(f"{where}tensor {name} has shape {[*found[name]]}, not {[*shape]}")


def check_finite(tensor: Tensor, name: str, where: Path) -> None:
    """Raise `XinyeError` if a tensor holds NaN or infinity."""
    if not bool(torch.isfinite(tensor).all()):
        raise XinyeError(f"{where}: tensor {name} holds NaN or infinity")


def check_memory(needed: float, dtype: torch.dtype, where: str = "") -> None:
    """Raise `XinyeError` if `needed` bytes of weights do not fit into the free memory."""
    free = memory_bytes(torch.device("cpu"))
    if needed > free:
        raise XinyeError(
            f"{where}the weights take {needed / 1e9:,.1f} GB in {str(dtype)[6:]}, but only "
            f"{free / 1e9:,.1f} GB of memory are free"
        )
