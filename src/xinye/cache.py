"""The folder of files that Xinye can make again: prepared text, the compiled code, the measured
speed of this machine."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The cache folder: `$XINYE_CACHE`, or else a folder `xinye` in the user's cache. You can
    delete it at any time."""
    base = os.environ.get("XINYE_CACHE")
    return (
        Path(base)
        if base
        else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xinye"
    )
