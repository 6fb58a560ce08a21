"""What a figure on few texts is worth: between what it would likely lie on many, and how likely
luck alone makes one model as much better than another."""

from collections.abc import Callable, Sequence
from math import sqrt

import numpy as np
from numpy.typing import NDArray

NORMAL = 1.959964  # standard deviations within which 95% of a normal distribution lie
DRAWS = 1000
AT_ONCE = 50  # draws that are in memory together

Counts = NDArray[np.float64]


def likely_share(share: float, count: float) -> tuple[float, float]:
    """Between what a share that was seen in so many cases lies among many more, with a confidence
    of 95% (Wilson 1927).

    >>> [round(each, 2) for each in likely_share(1, 17)]
    [0.82, 1.0]
    """
    square = NORMAL**2 / count
    middle = (share + square / 2) / (1 + square)
    half = NORMAL * sqrt(share * (1 - share) / count + square / (4 * count)) / (1 + square)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def likely_mean(mean: float, counts: Sequence[int]) -> tuple[float, float]:
    """The same for the mean of several shares, each seen in so many cases. It is worth as much as
    one share of fewer cases, because the rarest decides most. F1 counts as a share here, which is
    nearly right."""
    found = [count for count in counts if count]
    return likely_share(mean, len(found) ** 2 / sum(1 / count for count in found))


def luck(old: Counts, new: Counts, score: Callable[[Counts], Counts]) -> float:
    """How likely `new` is so much better than `old` by luck alone: if for each text it were chance
    which of both gave which answer (approximate randomization, Noreen 1989).

    `old` and `new` have the counts of each text, (texts, counts); `score` makes scores of their
    sums, (draws, counts) to (draws,)."""
    gain = score(new.sum(0)[None]) - score(old.sum(0)[None])
    random, as_good = np.random.default_rng(0), 0
    for begin in range(0, DRAWS, AT_ONCE):
        swapped = random.random((min(AT_ONCE, DRAWS - begin), len(old))) < 0.5
        moved = swapped @ (new - old)  # what goes from the new one to the old one
        gains = score(new.sum(0) - moved) - score(old.sum(0) + moved)
        as_good += int((gains >= gain - 1e-9).sum())
    return (1 + as_good) / (1 + DRAWS)
