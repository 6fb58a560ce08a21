"""A model by what a person calls it: a folder (its own or an adapter's), a GGUF file, or a downloaded hub name."""

import re
from functools import partial
from pathlib import Path

import torch

from xinye.checkpoints.adapters import is_adapter, load_adapted
from xinye.checkpoints.huggingface import PICKLED, refusal_of_pickle
from xinye.checkpoints.huggingface import load_model as load_folder
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.build import LanguageModel


def load_model(path: str | Path, dtype: torch.dtype = torch.float32) -> tuple[LanguageModel, Tokenizer]:
    """The model, its weights kept in `dtype`, and its tokenizer. Nothing is asked of the network.

    Raises `XinyeError` where there is none of that name, or it is damaged, or of a kind that is not known here.
    """
    folder = Path(path)
    if is_adapter(folder):
        return load_adapted(folder, partial(load_model, dtype=dtype))
    if folder.is_dir():
        return load_folder(folder, dtype)
    if folder.suffix == ".gguf":
        from xinye.checkpoints.gguf import load_gguf

        return load_gguf(folder, dtype)
    if folder.is_file():
        if folder.suffix in PICKLED:
            raise XinyeError(refusal_of_pickle(folder, folder.parent))
        hint = f"; give the folder it lies in, {folder.parent}" if folder.suffix == ".safetensors" else ""
        raise XinyeError(f"{folder}: not a model's folder, nor a GGUF file{hint}")
    cached = find_downloaded(str(path))
    if cached is not None:
        return load_folder(cached, dtype)
    hint = f", and no model of that name was downloaded: xinye download {path}" if is_hub_name(str(path)) else ""
    raise XinyeError(f"{path}: there is no such folder{hint or '; give that of a run or of a Hugging Face model'}")


def is_hub_name(name: str) -> bool:
    """Whether a name could be one of the hub's: `gpt2`, or `owner/model`."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII) is not None


def find_downloaded(name: str) -> Path | None:
    """The folder of a hub name in the hub's cache, where `xinye download` or another tool has put it."""
    if not is_hub_name(name):
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        config = try_to_load_from_cache(name, "config.json")
    except ValueError:  # longer than the hub's names are
        return None
    return Path(config).parent if isinstance(config, str) else None
