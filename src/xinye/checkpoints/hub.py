"""Models of the Hugging Face hub that were downloaded: by their names, in the hub's own cache.
Needs no torch."""

import re
from pathlib import Path


def is_hub_name(name: str) -> bool:
    """Whether a name could be one of the hub's: `gpt2`, or `owner/model`."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII) is not None


def can_be_downloaded(name: str) -> bool:
    """Whether what is missing by this name may be on the hub: it is not where a folder stands here,
    nor among our runs."""
    owner = Path(name).parts[:-1]
    return is_hub_name(name) and owner != ("runs",) and not (owner and Path(*owner).exists())


def find_downloaded(name: str, file: str = "config.json") -> Path | None:
    """The folder of a hub name in the hub's cache, where `xinye download` or another tool has put
    this file of it."""
    if not is_hub_name(name):
        return None
    # the client takes a moment; few models are named so
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, file)
    except ValueError:  # longer than the hub's names are
        return None
    return Path(found).parent if isinstance(found, str) else None
