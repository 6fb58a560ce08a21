"""A model by what a person calls it: a folder (its own or an adapter's), a GGUF file, or a
downloaded hub name."""

from pathlib import Path

import torch

from xinye import machine
from xinye.checkpoints.adapters import base_of, is_adapter, load_adapter
from xinye.checkpoints.folders import SETTINGS, check_weights
from xinye.checkpoints.gguf import load_gguf
from xinye.checkpoints.heads import head_config, is_head, load_head
from xinye.checkpoints.hub import find_downloaded, is_hub_name
from xinye.checkpoints.huggingface import PICKLED, refusal_of_pickle
from xinye.checkpoints.huggingface import load_model as load_folder
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.adapters import attached, merge
from xinye.model.build import LanguageModel, Network
from xinye.model.gpt import GPT
from xinye.model.heads import Head
from xinye.model.quantization import unpack


def load_model(
    path: str | Path, dtype: torch.dtype = torch.float32
) -> tuple[LanguageModel, Tokenizer]:
    """The model, its weights kept in `dtype`, and its tokenizer. Nothing is asked of the network.

    Raises `XinyeError` where there is none of that name, or it is damaged, or of a kind that is not
    known here.
    """
    folder = Path(path)
    if is_head(folder):
        raise XinyeError(
            f"{folder}: this model has learned to judge texts, not to write; take the one it began "
            f"with, {began_with(folder)}"
        )
    if is_adapter(folder):
        model, tokenizer = load_adapted(folder, dtype)
        assert not isinstance(model, Head)
        _merge_plain(model)
        return model, tokenizer
    if folder.is_dir():
        check_weights(folder)
        return load_folder(folder, dtype)
    if folder.suffix == ".gguf":
        return load_gguf(folder, dtype)
    if folder.is_file():
        if folder.suffix in PICKLED:
            raise XinyeError(refusal_of_pickle(folder, folder.parent))
        hint = (
            f"; give the folder it lies in, {folder.parent}"
            if folder.suffix == ".safetensors"
            else ""
        )
        raise XinyeError(f"{folder}: not a model's folder, nor a GGUF file{hint}")
    cached = find_downloaded(str(path))
    if cached is not None:
        return load_folder(cached, dtype)
    hint = (
        f", and no model of that name was downloaded: xinye download {path}"
        if is_hub_name(str(path))
        else ""
    )
    raise XinyeError(
        f"{path}: there is no such "
        f"folder{hint or '; give that of a run or of a Hugging Face model'}"
    )


def began_with(folder: Path) -> str:
    """What a fine-tuned model was made of, as its folder tells it; "MODEL" where it does not."""
    if is_adapter(folder):
        return base_of(folder)
    path = folder / SETTINGS
    return str(
        (read_json(path) if path.is_file() else {}).get("settings", {}).get("model") or "MODEL"
    )


def load_judge(folder: Path) -> tuple[Head, Tokenizer]:
    """The network with a head of a folder, whole or as an adapter, in fp32, or quantized; its
    tokenizer."""
    if not is_adapter(folder):
        check_weights(folder)
        return load_head(folder), Tokenizer.load(folder)
    model, tokenizer = load_adapted(folder)
    assert isinstance(model, Head)
    _merge_plain(model)
    return model, tokenizer


def load_adapted(
    folder: Path, dtype: torch.dtype = torch.float32, plain: bool = False
) -> tuple[Network, Tokenizer]:
    """The model of an adapter's folder: its base, with the head that the folder names, if any, and
    the adapter. A quantized base is unpacked where it is small, or `plain` weights are asked
    for."""
    check_weights(folder)
    base = base_of(folder)
    model: Network
    model, tokenizer = load_model(base, dtype)
    if plain or is_small(model, dtype):
        unpack(model, dtype)
    if is_head(folder):
        assert isinstance(model, GPT)
        model = Head.over(model, head_config(folder))
    load_adapter(folder, model, base)
    if (folder / "tokenizer.json").is_file():
        tokenizer = Tokenizer.load(folder)
    return model, tokenizer


def is_small(model: LanguageModel, dtype: torch.dtype = torch.float32) -> bool:
    """Whether all weights together take at most an eighth of the machine's memory: quantized ones
    beside an adapter are then better unpacked once than for each product."""
    return 8 * model.config.parameters * dtype.itemsize <= (
        machine.memory_limit() or machine.total_memory()
    )


def _merge_plain(model: Network) -> None:
    """Merge LoRA and AdaLoRA where the base's weights are plain, so that nothing is slower than the
    base alone."""
    settings, quantized = (
        attached(model),
        any(hasattr(module, "blocks") for module in model.modules()),
    )
    if settings is not None and settings.method in ("lora", "adalora") and not quantized:
        merge(model)
