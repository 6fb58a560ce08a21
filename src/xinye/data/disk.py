"""Files that survive a power failure."""

import os
from pathlib import Path


def flush(*paths: Path) -> None:
    """Have the operating system write files, or the names in a folder, to the disk."""
    for path in paths:
        if path.is_dir() and os.name == "nt":
            continue  # Windows cannot, and need not
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
