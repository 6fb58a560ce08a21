"""Reads safetensors files as arrays, without trust in them."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from xinye.data.files import check_file
from xinye.errors import XinyeError


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a file, by name. Raises `XinyeError` for a missing or damaged file, and for
    numbers of a kind that numpy does not have, such as bfloat16."""
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error})") from None
