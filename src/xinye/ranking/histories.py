"""Who used which items, in which order.

Items are numbered 0 … n-1 and users 0 … U-1; their own ids are kept elsewhere, so that ten million
events fit into a few arrays.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Histories:
    """The distinct items of each user, oldest first.

    >>> histories = Histories.of([[2, 0], [1]], item_count=3)
    >>> histories[0].tolist(), len(histories), histories.counts().tolist()
    ([2, 0], 2, [1, 1, 1])
    """

    starts: np.ndarray  # (U + 1,) int64: the events of user u are starts[u] to starts[u + 1]
    items: np.ndarray  # (E,) int32
    item_count: int
    times: np.ndarray | None = None  # (E,) float64, seconds since 1970; None without times

    @classmethod
    def of(
        cls,
        histories: Sequence[Sequence[int] | np.ndarray],
        item_count: int,
        times: np.ndarray | None = None,
    ) -> Self:
        """The histories of users, given one by one."""
        lengths = [len(history) for history in histories]
        starts = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
        joined = [np.asarray(history, np.int32) for history in histories]
        items = np.concatenate(joined) if joined else np.empty(0, np.int32)
        return cls(starts.astype(np.int64), items, item_count, times)

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, user: int) -> np.ndarray:
        """The items of a user, oldest first; a view."""
        return self.items[self.starts[user] : self.starts[user + 1]]

    @property
    def event_count(self) -> int:
        return len(self.items)

    @property
    def users(self) -> np.ndarray:
        """The user of each event, (E,) int32."""
        return np.repeat(np.arange(len(self), dtype=np.int32), np.diff(self.starts))

    def counts(self) -> np.ndarray:
        """How many users used each item, (n,) int64."""
        return np.bincount(self.items, minlength=self.item_count)

    def kept(self, events: np.ndarray) -> Self:
        """The same users with only some of the events, a mask (E,). Users may become empty."""
        ends = np.concatenate(([0], np.cumsum(events)))[self.starts]
        times = None if self.times is None else self.times[events]
        return type(self)(ends.astype(np.int64), self.items[events], self.item_count, times)
