"""Loads a model from whatever the user names: the folder of a model or an adapter, a GGUF file, or
the hub name of a downloaded model."""

from dataclasses import replace
from pathlib import Path

import torch

from xinye import machine
from xinye.checkpoints.adapter_tensors import read_adapter
from xinye.checkpoints.adapters import WEIGHTS, load_adapter
from xinye.checkpoints.bases import base_of, find_base, is_adapter, place_of
from xinye.checkpoints.families import adapter_kind, check_judges, is_head, read_config
from xinye.checkpoints.folders import SETTINGS, check_weights, is_item_folder, near_run
from xinye.checkpoints.gguf import load_gguf
from xinye.checkpoints.hub import can_be_downloaded
from xinye.checkpoints.huggingface import (
    PICKLED,
    check_vocabulary,
    load_weights,
    refusal_of_pickle,
)
from xinye.checkpoints.huggingface import load_model as load_folder
from xinye.checkpoints.layout import shape_of
from xinye.data.files import SUFFIXES, read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import HEADS, attached, merge
from xinye.model.build import LanguageModel, Network
from xinye.model.gpt import GPT
from xinye.model.heads import POINTERS, Head, HeadConfig
from xinye.model.quantization import unpack


def load_model(
    path: str | Path, dtype: torch.dtype | None = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """A language model with its weights in `dtype`, on the CPU, and its tokenizer. Nothing is
    downloaded. With None the weights of a folder stay as they are stored (see `load_weights`).

    Raises `XinyeError` if the model does not exist, is damaged or unsupported, or is a classifier.
    """
    folder = place_of(path)
    if is_head(folder):
        raise XinyeError(
            f"{folder}: this model classifies text and cannot generate it; use the model that it "
            f"was fine-tuned from, {began_with(folder)}"
        )
    if is_item_folder(folder):
        raise XinyeError(
            f"{folder}: this model recommends items and writes no text; use xinye recommend, "
            "or xinye.Recommender in Python"
        )
    if is_adapter(folder):
        model, tokenizer = load_adapted(folder, dtype or torch.float32)
        assert not isinstance(model, Head)
        return model, tokenizer
    if folder.is_dir():
        check_weights(folder)
        return load_folder(folder, dtype)
    if folder.suffix == ".gguf":
        return load_gguf(folder, dtype or torch.float32)
    if folder.is_file():
        if folder.suffix in PICKLED:
            raise XinyeError(refusal_of_pickle(folder, folder.parent))
        hint = f"; give the folder of the file, {folder.parent}" * (folder.suffix == ".safetensors")
        raise XinyeError(f"{folder}: neither a model's folder nor a GGUF file{hint}")
    hint = "; give the folder of a run or of a Hugging Face model"
    if near := near_run(folder):
        hint = near
    elif can_be_downloaded(str(path)) and Path(path).suffix not in SUFFIXES:
        hint = f"; if it is a model of the hub, download it first: xinye download {path}"
    raise XinyeError(f"{path}: there is no such folder{hint}")


def began_with(folder: Path) -> str:
    """The name of the model that a fine-tuned model was trained from; "MODEL" if its folder does
    not say so."""
    if is_adapter(folder):
        return base_of(folder)
    path = folder / SETTINGS
    return str(
        (read_json(path) if path.is_file() else {}).get("settings", {}).get("model") or "MODEL"
    )


def load_judge(folder: Path) -> tuple[Head, Tokenizer]:
    """The network with a head in a folder, whole or as an adapter, and its tokenizer. The weights
    are fp32 or quantized."""
    if is_adapter(folder):
        model, tokenizer = load_adapted(folder)
    else:
        check_weights(folder)
        model, tokenizer = load_weights(folder), Tokenizer.load(folder)
    assert isinstance(model, Head)
    return model, tokenizer


def load_any(path: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Network, Tokenizer]:
    """A language model in `dtype`, or a network with a head in fp32, and its tokenizer."""
    folder = place_of(path)
    return load_judge(folder) if is_head(folder) else load_model(path, dtype)


def load_adapted(
    folder: Path, dtype: torch.dtype = torch.float32, plain: bool = False
) -> tuple[Network, Tokenizer]:
    """The model of an adapter's folder, and its tokenizer: the base, the head if the folder has
    one, and the adapter, which is merged if possible so that it costs no time.

    A small quantized base is unpacked first. With `plain` any quantized base is unpacked, and the
    adapter is not merged.
    """
    check_weights(folder)
    base = find_base(folder)
    model: Network
    model, tokenizer = load_any(base, dtype)
    if plain or is_small(model, dtype):
        unpack(model.gpt if isinstance(model, Head) else model, dtype)
    if is_head(folder):
        model = _with_head(folder, model)
    load_adapter(folder, model, base)
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.load(folder)
    check_vocabulary(tokenizer, shape_of(model), folder)
    settings = attached(model)
    quantized = any(hasattr(module, "blocks") for module in model.modules())
    if settings and settings.method in ("lora", "adalora") and not plain and not quantized:
        merge(model)
    return model, tokenizer


def _with_head(folder: Path, base: Network) -> Head:
    """The base with the head that an adapter was trained with.

    The labels are those in the adapter's folder. If it has none, they are those of the base, if
    their number fits, or else numbered names.
    """
    saved_config = read_config(folder) if (folder / "config.json").is_file() else None
    old = base if isinstance(base, Head) else None
    gpt = old.gpt if old else base
    if not isinstance(gpt, GPT):
        raise XinyeError(
            f"{folder}: its base model is an LSTM, which cannot have a classification head"
        )
    if isinstance(saved_config, HeadConfig):
        config = saved_config
    else:
        heads = (f"{name}.weight" for name in HEADS)
        count = read_adapter(folder / WEIGHTS).rows(*heads)
        if old and count in (None, len(old.config.labels)):
            return old
        kind = adapter_kind(folder) or (old.config.kind if old else "sequence")
        check_judges(folder, kind, count or 0)
        names = POINTERS if kind == "span" else tuple(f"LABEL_{n}" for n in range(count or 0))
        config = HeadConfig(gpt.config, kind, names)
    backbone = replace(gpt.config, is_causal=config.backbone.is_causal)
    model = Head.over(gpt, replace(config, backbone=backbone))
    if old and old.score.weight.shape == model.score.weight.shape:
        model.score.load_state_dict(old.score.state_dict())
    return model


def is_small(model: Network, dtype: torch.dtype = torch.float32) -> bool:
    """Whether all weights in `dtype` take at most an eighth of the machine's memory. Quantized
    weights with an adapter are then unpacked once instead of for each product."""
    return 8 * model.config.parameters * dtype.itemsize <= (
        machine.memory_limit() or machine.total_memory()
    )
