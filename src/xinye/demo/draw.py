"""`Draw`: draws by lot for generated texts."""

import math
import random
import re
from collections.abc import Mapping, Sequence
from typing import TypeVar

_SLOT = re.compile(r"\{(\w+)\}")
_CHOICE = re.compile(r"\[([^]]*)\]")
Row = TypeVar("Row")


class Draw:
    """Draws by lot, the same on every machine: of Python's generators only the sequence of `random`
    is guaranteed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed).random

    def share(self) -> float:
        """A number from 0 up to, but not including, 1."""
        return self._random()

    def below(self, count: int) -> int:
        """A number from 0 up to one less than `count`."""
        return int(self._random() * count)

    def happens(self, share: float) -> bool:
        """True in this share of the calls."""
        return self._random() < share

    def one(self, rows: Sequence[Row]) -> Row:
        """One of these, each as likely as the others."""
        return rows[self.below(len(rows))]

    def weighted(self, weights: Mapping[Row, float]) -> Row:
        """One of the keys, by their weights."""
        left = self._random() * sum(weights.values())
        for row, weight in weights.items():
            left -= weight
            if left < 0:
                return row
        return row

    def count(self, mean: float) -> int:
        """A number of events of which so many are expected (Poisson, by Knuth's method)."""
        left, number = self._random(), 0
        while left > math.exp(-mean):
            left *= self._random()
            number += 1
        return number

    def shuffled(self, rows: Sequence[Row]) -> list[Row]:
        """The rows in a random order."""
        keyed = [(self._random(), place) for place in range(len(rows))]
        return [rows[place] for _, place in sorted(keyed)]

    def filled(self, text: str, slots: Mapping[str, Sequence[str]]) -> str:
        """A text with a word for each slot, {cup}."""
        return _SLOT.sub(lambda slot: self.one(slots[slot[1]]), text)

    def chosen(self, text: str) -> str:
        """A text with one of the wordings in each choice, [hot|cold]."""
        return _CHOICE.sub(lambda choice: self.one(choice[1].split("|")), text)
