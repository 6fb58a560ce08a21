"""Where Xinye keeps what it can make again: prepared text, the compiled decoder, this machine's
speeds."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$XINYE_CACHE`, else a folder in the user's cache. It can be deleted at any time."""
    base = os.environ.get("XINYE_CACHE")
    return (
        Path(base)
        if base
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xinye"
    )
