"""Downloaded models of the Hugging Face hub, found by name in the hub's own cache. This module does
not need torch."""

import re
from pathlib import Path


def is_hub_name(name: str) -> bool:
    """Whether a name could be a hub name: `gpt2`, or `owner/model`."""
    return re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", name, re.ASCII) is not None


def can_be_downloaded(name: str) -> bool:
    """Whether a model that is missing here may be on the hub. A name whose owner is a folder here,
    or `runs`, is a local path instead."""
    owner = Path(name).parts[:-1]
    return is_hub_name(name) and owner != ("runs",) and not (owner and Path(*owner).exists())


def find_downloaded(name: str, file: str = "config.json") -> Path | None:
    """The folder in the hub's cache that holds this file of a model; None if it was not
    downloaded."""
    if not is_hub_name(name):
        return None
    # Imported here because it is slow, and most models are given by a path.
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(name, file)
    except ValueError:  # the name is too long for the hub
        return None
    return Path(found).parent if isinstance(found, str) else None
