"""Joins several rankings of the same passages into one."""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import TypeVar

K = 60  # as in the paper: the larger, the less the first places of one ranking decide alone

Item = TypeVar("Item", bound=Hashable)


def fused(rankings: Sequence[Sequence[Item]]) -> list[Item]:
    """The items of all rankings, the best first, by reciprocal rank: place n of a ranking counts
    1/(60 + n). Of equal items that of the earlier ranking is first. (Cormack, Clarke and Büttcher
    2009, "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods".)

    >>> fused([["a", "b", "c"], ["c", "a", "d"]])
    ['a', 'c', 'b', 'd']
    """
    scores: dict[Item, float] = defaultdict(float)
    for ranking in rankings:
        for place, item in enumerate(ranking, 1):
            scores[item] += 1 / (K + place)
    return sorted(scores, key=lambda item: -scores[item])
