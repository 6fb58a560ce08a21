"""`Bands`: an index of keys, in which rows that have a key in common are found."""

from collections import Counter

import numpy as np

TAIL = 4096  # rows that are kept in a dictionary before they are sorted
MOST = 50  # rows of one key that are read, and rows that are returned


class Bands:
    """An index of rows 0, 1, 2, … of which each has several keys of 64 bits.

    The last rows are in a dictionary; older ones in arrays that are sorted by keys, each at least
    twice as long as the next one. Of two that are nearly as long, one is made (O'Neil et al. 1996,
    log-structured merge-trees). So a row takes 12 bytes for each key, and logarithmic time."""

    def __init__(self) -> None:
        self._count = 0
        self._sorted: list[tuple[np.ndarray, np.ndarray]] = []  # keys and their rows
        self._tail: dict[int, list[int]] = {}
        self._tail_keys: list[np.ndarray] = []

    def add(self, keys: np.ndarray) -> None:
        """Add rows, given as their keys [rows, keys]."""
        begin, self._count = self._count, self._count + len(keys)
        self._tail_keys.append(keys)
        if sum(map(len, self._tail_keys)) >= TAIL:
            self._sort()
            return
        for row, of_row in enumerate(keys.tolist(), begin):
            for key in of_row:
                self._tail.setdefault(key, []).append(row)

    def find(self, keys: np.ndarray) -> list[list[int]]:
        """For each row of keys [rows, keys], the rows of the index that have most keys in common
        with it, at most `MOST`."""
        shared: list[Counter[int]] = [Counter() for _ in keys]
        for sorted_keys, rows in self._sorted:
            lows = np.searchsorted(sorted_keys, keys, "left")
            highs = np.searchsorted(sorted_keys, keys, "right")
            for place, column in zip(*np.nonzero(lows < highs), strict=True):
                low, high = lows[place, column], highs[place, column]
                shared[place].update(rows[max(low, high - MOST) : high].tolist())
        for place, of_row in enumerate(keys.tolist()):
            for key in of_row:
                if found := self._tail.get(key):
                    shared[place].update(found[-MOST:])
        return [[row for row, _ in each.most_common(MOST)] for each in shared]

    def _sort(self) -> None:
        """Move the tail to the sorted arrays."""
        keys = np.concatenate(self._tail_keys)
        rows = np.repeat(
            np.arange(self._count - len(keys), self._count, dtype=np.int32), keys.shape[1]
        )
        keys = keys.ravel()
        while self._sorted and len(self._sorted[-1][0]) < 2 * len(keys):
            older_keys, older_rows = self._sorted.pop()
            keys, rows = np.concatenate([older_keys, keys]), np.concatenate([older_rows, rows])
        order = np.argsort(keys, kind="stable")
        self._sorted.append((keys[order], rows[order]))
        self._tail, self._tail_keys = {}, []
