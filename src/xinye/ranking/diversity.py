"""Chooses the best items, and if wished those that are not alike."""

import numpy as np
import torch
from torch import Tensor

from xinye.ranking.suggestions import Asked

NEVER = -np.inf  # the score of items that must not be recommended
COMPARED = 100  # of the best items at least, when diverse ones are chosen


def cosines(one: Tensor, other: Tensor) -> np.ndarray:
    """The cosine similarities of rows, (N, M)."""
    normal = torch.nn.functional.normalize
    found: np.ndarray = (normal(one, dim=1) @ normal(other, dim=1).T).numpy()
    return found


def best(total: np.ndarray, asked: Asked, rows: Tensor) -> list[int]:
    """The numbers of the best items, the best first.

    With diversity d, each next item is the one with the largest (1 - d) · score - d · similarity to
    the most similar item that was chosen before (maximal marginal relevance, Carbonell & Goldstein
    1998). Scores are taken from 0 to 1 among those that are compared.
    """
    count = min(asked.k, int((total > NEVER).sum()))
    if not count:
        return []
    size = min(max(COMPARED, 5 * count) if asked.diversity else count, int((total > NEVER).sum()))
    pool = np.argpartition(-total, size - 1)[:size]
    pool = pool[np.argsort(-total[pool], kind="stable")]
    if not asked.diversity:
        return [int(item) for item in pool]
    scores = total[pool]
    relevant = (scores - scores.min()) / max(float(scores.max() - scores.min()), 1e-9)
    similar = cosines(rows[pool], rows[pool])
    closest = np.zeros(size)
    left = np.ones(size, bool)
    chosen: list[int] = []
    while len(chosen) < count:
        gain = (1 - asked.diversity) * relevant - asked.diversity * closest
        at = int(np.where(left, gain, NEVER).argmax())
        chosen.append(int(pool[at]))
        left[at] = False
        closest = np.maximum(closest, similar[at])
    return chosen
