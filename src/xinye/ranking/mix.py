"""A mix of rankers: a weighted sum of their scores, with weights learned on validation cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize

from xinye.errors import XinyeError
from xinye.ranking.judging import Ranker, without_history
from xinye.ranking.split import Case

CASES = 2_000  # validation cases that the weights are learned from
ITEMS = 2_000  # items of a case that are compared: the best of each ranker, and the target
PENALTY = 1e-3  # on squared weights


@dataclass(frozen=True)
class Mix:
    """Ranks items by the sum of some rankers' scores, each standardised for its history, times a
    weight that is never negative."""

    rankers: Sequence[Ranker]
    weights: np.ndarray  # (rankers,)
    name: str = "the mix"

    @classmethod
    def learn(cls, rankers: Sequence[Ranker], cases: Sequence[Case], name: str) -> Self:
        """The mix under which the targets of these cases are most likely, if a user chooses an item
        with a probability that grows with its score (the conditional logit of McFadden 1974)."""
        blocks = []
        for start in range(0, min(len(cases), CASES), 64):
            some = cases[start : min(start + 64, CASES)]
            blocks += _compared(stacked(rankers, [case.history for case in some]), some)

        def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
            total, gradient = 0.0, np.zeros(len(weights))
            for scores, place in blocks:
                logits = scores @ weights
                chances = np.exp(logits - logits.max())
                chances /= chances.sum()
                total -= np.log(max(chances[place], 1e-30))
                gradient += chances @ scores - scores[place]
            count = len(blocks)
            penalised = total / count + PENALTY * float(weights @ weights)
            return penalised, gradient / count + 2 * PENALTY * weights

        begin, bounds = np.full(len(rankers), 0.1), [(0.0, None)] * len(rankers)
        found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=bounds)
        if not np.isfinite(found.x).all():
            raise XinyeError("the mix cannot be learned: a ranker's scores are not finite")
        return cls(rankers, found.x, name)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        stack = stacked(self.rankers, histories)
        mixed: np.ndarray = np.tensordot(self.weights.astype(np.float32), stack, axes=1)
        return mixed

    def named_weights(self) -> Mapping[str, float]:
        """The weights by the names of the rankers."""
        pairs = zip(self.rankers, self.weights, strict=True)
        return {ranker.name: float(weight) for ranker, weight in pairs}


def stacked(rankers: Sequence[Ranker], histories: Sequence[np.ndarray]) -> np.ndarray:
    """The scores of all rankers, (rankers, B, n), each standardised within its row."""
    return np.stack([standardised(ranker.scores(histories)) for ranker in rankers])


def standardised(scores: np.ndarray) -> np.ndarray:
    """The scores with mean 0 and deviation 1 in each row; 0 where all are equal."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6)


def _compared(stack: np.ndarray, cases: Sequence[Case]) -> list[tuple[np.ndarray, int]]:
    """For each case the scores (items, rankers) of the items that are compared, and the place of
    the target among them."""
    found = []
    for row, case in enumerate(cases):
        scores = stack[:, row].T.astype(np.float64)  # (n, rankers)
        allowed = np.ones(len(scores), bool)
        allowed[case.history] = False
        allowed[case.target] = True
        items = np.flatnonzero(allowed)
        if len(items) > ITEMS:
            best = np.argsort(-scores[items].max(axis=1), kind="stable")[:ITEMS]
            items = np.union1d(items[best], [case.target])
        found.append((scores[items], int(np.searchsorted(items, case.target))))
    return found
