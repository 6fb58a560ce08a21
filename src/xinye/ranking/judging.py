"""How well items are ranked: always among all items, never among a sample of them (Krichene &
Rendle 2020, "On sampled metrics for item recommendation")."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import logsumexp

from xinye.errors import XinyeError
from xinye.ranking.split import Case, targets_of

TOP = 10
SCORES_AT_ONCE = 8_000_000  # of a chunk of cases: 32 MB in float32


class Ranker(Protocol):
    """Anything that scores items."""

    @property
    def name(self) -> str: ...

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        """The scores (B, n) of all items after each history, in float32; higher is better."""


@dataclass(frozen=True)
class Spread:
    """A mean over users, and half of its 95 % interval, which is NaN for a single user."""

    mean: float
    interval: float

    @classmethod
    def of(cls, values: np.ndarray, users: np.ndarray | None = None) -> "Spread":
        """The spread of the values of cases. If a user may have several cases, give the user of
        each, (B,): cases of one user are alike, and only users are drawn independently."""
        if users is not None:
            _, groups = np.unique(users, return_inverse=True)
            sums = np.bincount(groups, values - values.mean())
            return cls(float(values.mean()), cls.of(sums).interval * len(sums) / len(values))
        if len(values) < 2:
            return cls(float(values.mean()), float("nan"))
        return cls(float(values.mean()), float(1.96 * values.std(ddof=1) / len(values) ** 0.5))

    def figures(self, mean: str, interval: str) -> dict[str, float]:
        """Both by these names; without an interval that nobody knows."""
        known = {} if np.isnan(self.interval) else {interval: self.interval}
        return {mean: self.mean} | known


@dataclass(frozen=True)
class Judged:
    """How a ranker did in each case."""

    ranks: np.ndarray  # (B,) of the targets, from 1; a tie takes the middle
    top: np.ndarray  # (B, 10) the items that would be recommended; -1 where none is left
    nats: np.ndarray  # (B,) the loss of each case, if the scores are logits
    item_count: int

    @property
    def ndcg(self) -> np.ndarray:
        """NDCG@10 of each case: there is one relevant item, so it is 1 / log2(1 + rank) within the
        first ten, else 0 (Järvelin & Kekäläinen 2002)."""
        return np.where(self.ranks <= TOP, 1 / np.log2(1 + self.ranks), 0.0)

    @property
    def hits(self) -> np.ndarray:
        """HR@10 of each case: 1 if the target is among the first ten."""
        return (self.ranks <= TOP).astype(float)

    @property
    def coverage(self) -> float:
        """The share of all items that are among somebody's first ten."""
        return len(np.unique(self.top[self.top >= 0])) / self.item_count

    def figures(self) -> dict[str, float]:
        """The figures by the names that results have."""
        return {
            **Spread.of(self.ndcg).figures("ndcg_at_10", "ndcg_interval"),
            "hit_rate_at_10": float(self.hits.mean()),
            "coverage_at_10": self.coverage,
        }


def difference(one: Judged, other: Judged) -> Spread:
    """By how much NDCG@10 of `one` is larger, paired by cases."""
    return Spread.of(one.ndcg - other.ndcg)


def in_chunks(cases: Sequence[Case], item_count: int) -> Iterator[Sequence[Case]]:
    """The cases in chunks whose scores fit in memory."""
    size = max(1, SCORES_AT_ONCE // max(1, item_count))
    for start in range(0, len(cases), size):
        yield cases[start : start + size]


def without_history(scores: np.ndarray, cases: Sequence[Case]) -> np.ndarray:
    """The scores in which items of the history are never recommended, in place."""
    for row, case in zip(scores, cases, strict=True):
        row[case.history] = -np.inf
    return scores


def judge(ranker: Ranker, cases: Sequence[Case], item_count: int) -> Judged:
    """How a ranker does in these cases, among all items but those of the history. Raises
    `XinyeError` for scores that are not finite."""
    ranks: list[np.ndarray] = []
    tops: list[np.ndarray] = []
    nats: list[np.ndarray] = []
    for some in in_chunks(cases, item_count):
        scores = without_history(finite(ranker.scores([case.history for case in some])), some)
        targets = targets_of(some)
        ranks.append(ranks_of(scores, targets))
        tops.append(top_of(scores, min(TOP, item_count)))
        nats.append(logsumexp(scores, axis=1) - scores[np.arange(len(some)), targets])
    return Judged(np.concatenate(ranks), np.concatenate(tops), np.concatenate(nats), item_count)


def finite(scores: np.ndarray) -> np.ndarray:
    """The same scores. Raises `XinyeError` if they are not finite."""
    if not np.isfinite(scores).all():
        raise XinyeError(
            "the recommender's scores are not finite: its training failed or its files are "
            "damaged; train the run again"
        )
    return scores


def ranks_of(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rank of each row's target, from 1. Among equal scores it is the one in the middle."""
    own = scores[np.arange(len(targets)), targets][:, None]
    return 1 + (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def top_of(scores: np.ndarray, count: int) -> np.ndarray:
    """The items with the highest scores in each row, the best first. Among equal scores the lower
    number comes first; -1 stands where the score is -inf."""
    if count < scores.shape[1]:
        found = np.sort(np.argpartition(-scores, count - 1, axis=1)[:, :count], axis=1)
    else:
        found = np.tile(np.arange(scores.shape[1]), (len(scores), 1))
    own = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-own, axis=1, kind="stable")
    return np.take_along_axis(np.where(own > -np.inf, found, -1), order, axis=1)
