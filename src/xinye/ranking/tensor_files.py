"""Reads safetensors files as arrays, without trust in them."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from xinye.data.files import check_file
from xinye.errors import XinyeError

# what a reader can meet in a file that is damaged, or was made to do harm
DAMAGE = (LookupError, TypeError, ValueError, ArithmeticError, MemoryError, RecursionError)
LARGEST = 1e30  # of a number in a file


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All tensors of a file, by name. Raises `XinyeError` for a missing or damaged file, for NaN,
    infinity and what cannot be computed with in float32, and for numbers of a kind that numpy does
    not have, such as bfloat16."""
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        for name, numbers in found.items():
            # as Python's number, because LARGEST is infinity in float16
            if np.iscomplexobj(numbers) or not float(np.abs(numbers).max(initial=0)) <= LARGEST:
                raise ValueError(f"{name} holds NaN, infinity or other impossible numbers")
        return found
    except (SafetensorError, OSError, AttributeError, TypeError, ValueError) as error:
        raise XinyeError(f"{path}: damaged or cut short ({error}); train the run again") from None
