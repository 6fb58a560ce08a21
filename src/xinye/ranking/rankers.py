"""Rankers that only count: most popular, popular of late, similar items, items that follow.

They are the baselines of a recommender, and a part of what it recommends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from xinye.ranking.histories import Histories

EASE_ITEMS = 5_000  # the most used items, for which EASE inverts a matrix
EASE_PENALTY = 200.0  # of MovieLens; EASE is fitted by the best of `PENALTIES` on validation
PENALTIES = (5.0, 20.0, 50.0, 200.0, 800.0)
NEIGHBOURS = 100
WINDOW = 10  # earlier items that count for the next one
DECAY = 0.8
LATE = 0.05  # share of the whole time after which an event counts half


def matrix(histories: Histories) -> sparse.csr_matrix:
    """Which user used which item, (U, n) of 0 and 1."""
    ones = np.ones(histories.event_count, np.float32)
    shape = (len(histories), histories.item_count)
    return sparse.csr_matrix((ones, histories.items, histories.starts), shape)


def rows_of(histories: Sequence[np.ndarray], count: int, decay: float = 1.0) -> sparse.csr_matrix:
    """Histories as rows (B, n), with weight 1 for the last item and `decay` times as much for each
    earlier one."""
    lengths = [len(history) for history in histories]
    starts = np.concatenate(([0], np.cumsum(lengths)))
    items = np.concatenate([*histories, np.empty(0, np.int64)]).astype(np.int64)
    ages = np.repeat(starts[1:], lengths) - 1 - np.arange(len(items))
    return sparse.csr_matrix(
        (decay ** ages.astype(np.float32), items, starts), (len(lengths), count)
    )


@dataclass(frozen=True)
class Popular:
    """Ranks items by the number of their users, whatever the history."""

    counts: np.ndarray  # (n,) float32
    name = "most popular"

    @classmethod
    def fit(cls, histories: Histories) -> Self:
        return cls(histories.counts().astype(np.float32))

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return np.tile(np.log1p(self.counts), (len(histories), 1))


@dataclass(frozen=True)
class Recent(Popular):
    """Ranks items by the number of their users of late: an event counts half after `LATE` of the
    whole time, or without times, ten items before the end of its user's history."""

    name = "popular of late"

    @classmethod
    def fit(cls, histories: Histories) -> Self:
        if histories.times is None:
            ends = np.repeat(histories.starts[1:], np.diff(histories.starts))
            ages = (ends - 1 - np.arange(histories.event_count)) / WINDOW
        else:
            newest, oldest = histories.times.max(), histories.times.min()
            ages = (newest - histories.times) / max(1e-9, (newest - oldest) * LATE)
        weights = np.bincount(histories.items, 0.5**ages, minlength=histories.item_count)
        return cls(weights.astype(np.float32))


@dataclass(frozen=True)
class ItemMatrix:
    """Ranks items by sums of a matrix's rows (n, n), one row for each item of the history."""

    weights: sparse.csr_matrix
    name = ""
    decay = 1.0
    window = 0  # items of the history that count; 0 for all

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        read = [history[-self.window :] for history in histories]
        rows = rows_of(read, self.weights.shape[0], self.decay)
        return np.asarray((rows @ self.weights).todense(), np.float32)


@dataclass(frozen=True)
class ItemKNN(ItemMatrix):
    """Ranks items by their cosine similarity to those of the history (Sarwar et al. 2001,
    "Item-based collaborative filtering recommendation algorithms"); each has `NEIGHBOURS`."""

    name = "item-kNN"

    @classmethod
    def fit(cls, histories: Histories) -> Self:
        used = matrix(histories)
        length = np.sqrt(np.maximum(histories.counts(), 1)).astype(np.float32)
        columns = (used @ sparse.diags(1 / length)).tocsc()
        kept = [
            nearest(columns[:, start : start + 256].T @ columns, start)
            for start in range(0, histories.item_count, 256)
        ]
        return cls(sparse.vstack(kept).tocsr())


def nearest(similar: sparse.spmatrix, first: int) -> sparse.csr_matrix:
    """The largest `NEIGHBOURS` numbers of each row, without the item itself. Row 0 is that of item
    `first`."""
    dense = np.asarray(similar.todense(), np.float32)
    dense[np.arange(len(dense)), first + np.arange(len(dense))] = 0
    if dense.shape[1] > NEIGHBOURS:
        least = -np.partition(-dense, NEIGHBOURS - 1, axis=1)[:, NEIGHBOURS - 1 : NEIGHBOURS]
        dense[dense < least] = 0
    return sparse.csr_matrix(dense)


@dataclass(frozen=True)
class ItemMarkov(ItemMatrix):
    """Ranks items by how often they followed those of the history.

    An item that comes k places after another one, within `WINDOW`, counts `DECAY`^(k - 1). The same
    decay weighs the items of a history by their distance from its end.
    """

    name = "item-Markov"
    decay = DECAY
    window = WINDOW

    @classmethod
    def fit(cls, histories: Histories) -> Self:
        count, users = histories.item_count, histories.users
        followed = sparse.csr_matrix((count, count), dtype=np.float32)
        for distance in range(1, WINDOW + 1):
            same = users[distance:] == users[:-distance]
            before, after = histories.items[:-distance][same], histories.items[distance:][same]
            weights = np.full(len(before), DECAY ** (distance - 1), np.float32)
            followed += sparse.coo_matrix((weights, (before, after)), (count, count)).tocsr()
        often = np.maximum(histories.counts(), 1).astype(np.float32)
        return cls((sparse.diags(1 / often**0.5) @ followed).tocsr())


def inverse_of(positive: np.ndarray) -> np.ndarray:
    """The inverse of a symmetric positive definite matrix, by its Cholesky factor: half the work of
    a general inverse. The matrix is overwritten."""
    factor, _ = lapack.dpotrf(positive.T, lower=True, overwrite_a=True)
    half, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
    half = np.tril(half)
    return half + np.tril(half, -1).T


@dataclass(frozen=True)
class EASE:
    """Ranks items by a linear model of all items on all others, whose diagonal is zero (Steck 2019,
    arXiv:1905.03375). It covers the most used items, at most `EASE_ITEMS`."""

    weights: np.ndarray  # (m, m) float32
    items: np.ndarray  # (m,) the items that it covers
    item_count: int
    name = "EASE"

    @classmethod
    def fit(cls, histories: Histories, penalty: float = EASE_PENALTY) -> Self:
        counts = histories.counts()
        items = np.sort(np.argsort(-counts, kind="stable")[:EASE_ITEMS])
        used = matrix(histories)[:, items]
        gram = np.asarray((used.T @ used).todense(), np.float64)
        gram[np.diag_indices(len(gram))] += penalty
        inverse = inverse_of(gram)
        weights = (-inverse / np.diag(inverse)).astype(np.float32)
        np.fill_diagonal(weights, 0)
        return cls(weights, items, histories.item_count)

    @cached_property
    def _place(self) -> np.ndarray:
        """The place of each item in `items`, -1 for those that are not covered."""
        places = np.full(self.item_count, -1)
        places[self.items] = np.arange(len(self.items))
        return places

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        found = np.zeros((len(histories), self.item_count), np.float32)
        for row, history in zip(found, histories, strict=True):
            places = self._place[history]
            row[self.items] = self.weights[places[places >= 0]].sum(axis=0)
        return found
