"""A hash function for numbers, from which random choices are computed without any state."""

import numpy as np


def mix(x: np.ndarray) -> np.ndarray:
    """A well-mixed 64-bit hash of each 64-bit number (the finalizer of SplitMix64; Steele et al.
    2014).
    """
    with np.errstate(over="ignore"):
        x = (x + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
