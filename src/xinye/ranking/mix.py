"""A mix of rankers: a weighted sum of their scores, with weights learned on validation cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from xinye.ranking.judging import Ranker, ranks_of, without_history
from xinye.ranking.split import Case, drawn, targets_of

CASES = 2_000  # validation cases that the weights are learned from
ITEMS = 300  # the best items of each ranker in a case, which are compared
STEPS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.45, 0.7, 1.0, 1.5, 2.2)  # weights that are tried
ROUNDS = 3


@dataclass(frozen=True)
class Mix:
    """Ranks items by the sum of some rankers' scores, each standardised for its history, times a
    weight that is never negative."""

    rankers: Sequence[Ranker]
    weights: np.ndarray  # (rankers,) they sum to 1
    name: str

    @classmethod
    def learn(cls, rankers: Sequence[Ranker], cases: Sequence[Case], name: str) -> Self:
        """The mix that ranks the targets of these cases best, by NDCG.

        The weights are found one by one, from each ranker alone as a start (coordinate ascent,
        Metzler & Croft 2007, "Linear feature-based models for information retrieval"). The
        likelihood of a softmax over items was tried, and ranks the first ten worse.
        """
        stack, targets = _compared(rankers, drawn(cases, CASES))
        found = [_ascended(stack, targets, start) for start in np.eye(len(rankers))]
        _, weights = max(found, key=lambda each: each[0])
        return cls(rankers, weights / weights.sum(), name)

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        mixed: np.ndarray = np.tensordot(
            self.weights.astype(np.float32), stacked(self.rankers, histories), axes=1
        )
        return mixed


def stacked(rankers: Sequence[Ranker], histories: Sequence[np.ndarray]) -> np.ndarray:
    """The scores of all rankers, (rankers, B, n), each standardised within its row."""
    return np.stack([standardised(ranker.scores(histories)) for ranker in rankers])


def standardised(scores: np.ndarray) -> np.ndarray:
    """The scores with mean 0 and deviation 1 in each row; 0 where all are equal."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    return centred / np.maximum(centred.std(axis=1, keepdims=True), 1e-6)


def beside(mixed: np.ndarray, gpt: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The scores of all items, (n + m,), if only the GPT knows the last m of them: each stands
    where the GPT alone puts it among the others. `mixed` (n,) are the scores of the known items,
    `gpt` (n + m,) those of the GPT, and `allowed` (n,) says which known items are candidates; if
    none is, all of them show the scale."""
    count = len(mixed)
    allowed = allowed if allowed.any() else np.ones(count, bool)
    new = np.interp(gpt[count:], np.sort(gpt[:count][allowed]), np.sort(mixed[allowed]))
    return np.concatenate((mixed, new.astype(mixed.dtype)))


def _compared(rankers: Sequence[Ranker], cases: Sequence[Case]) -> tuple[np.ndarray, np.ndarray]:
    """The scores (rankers, B, items) of the best items of each ranker, and the places (B,) of the
    targets among them. Rows with fewer items are filled up."""
    targets = targets_of(cases)
    kept: list[np.ndarray] = []
    for start in range(0, len(cases), 64):
        some = cases[start : start + 64]
        stack = stacked(rankers, [case.history for case in some])
        for row, case in enumerate(some):
            scores = without_history(stack[:, row], [case] * len(rankers))
            count = min(ITEMS, scores.shape[1])
            best = np.argpartition(-scores, count - 1, axis=1)[:, :count]
            items = np.setdiff1d(best.ravel(), [*case.history, case.target])
            kept.append(scores[:, [case.target, *items]])  # the target is at place 0
    width = max(scores.shape[1] for scores in kept)
    filled = np.full((len(rankers), len(cases), width), -1e9, np.float32)
    for row, scores in enumerate(kept):
        filled[:, row, : scores.shape[1]] = scores
    return filled, np.zeros(len(targets), np.int64)


def _ascended(
    stack: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[float, np.ndarray]:
    """The mean NDCG of the best weights that are found from a start, and these weights."""
    best = _ndcg(stack, targets, weights)
    for _ in range(ROUNDS):
        before = best
        for place in range(len(weights)):
            for step in STEPS:
                tried = weights.copy()
                tried[place] = step
                if tried.any() and (found := _ndcg(stack, targets, tried)) > best + 1e-6:
                    best, weights = found, tried
        if best == before:
            break
    return best, weights


def _ndcg(stack: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> float:
    """The mean NDCG without a limit of ten, which is less noisy on few cases."""
    scores = np.tensordot(weights.astype(np.float32), stack, axes=1)
    return float((1 / np.log2(1 + ranks_of(scores, targets))).mean())
