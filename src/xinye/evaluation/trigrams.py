"""Interpolated trigram models of words with absolute discounting (Ney et al. 1994), or with
Kneser-Ney smoothing (Chen and Goodman 1999)."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BEGIN, END = "<s>", "</s>"
DISCOUNT = 0.75
REMEMBERED = 1 << 18  # probabilities that are kept in memory


class Trigrams:
    """A model of the sentences it was made from.

    With `kneser_ney` a shorter n-gram counts in how many contexts it occurs, and single words are
    not discounted; otherwise it counts how often it occurs."""

    def __init__(self, sentences: Iterable[Sequence[str]], kneser_ney: bool = False) -> None:
        self.kneser_ney = kneser_ney
        trigrams: Counter[tuple[str, ...]] = Counter()
        for words in sentences:
            padded = [BEGIN, BEGIN, *words, END]
            trigrams.update(zip(padded, padded[1:], padded[2:], strict=False))
        self.triples = _Level(trigrams)
        self.pairs = _Level(self._shorter(trigrams))
        self.singles = _Level(self._shorter(self.pairs.grams))
        self.known: dict[tuple[str, str, str], float] = {}

    def _shorter(self, grams: Mapping[tuple[str, ...], int]) -> Counter[tuple[str, ...]]:
        """The n-grams without their first words."""
        counts: Counter[tuple[str, ...]] = Counter()
        for gram, count in grams.items():
            counts[gram[1:]] += 1 if self.kneser_ney else count
        return counts

    def log_probability(self, first: str, second: str, word: str) -> float:
        """The natural logarithm of the probability of a word after two others."""
        gram = (first, second, word)
        found = self.known.get(gram)
        if found is None:
            found = self.triples.probability(gram, self.pairs.probability(gram[1:], self._of(word)))
            if len(self.known) == REMEMBERED:
                self.known.clear()
            found = self.known[gram] = math.log(found)
        return found

    def _of(self, word: str) -> float:
        """The probability of a word whatever stands before it."""
        if not self.kneser_ney:
            return self.singles.probability((word,), 1 / (1 + len(self.singles.grams)))
        # a word that never occurred counts as one that occurred once
        return self.singles.grams.get((word,), 1) / (self.singles.total[()] + 1)


class _Level:
    """The n-grams of one order."""

    def __init__(self, grams: Mapping[tuple[str, ...], int]) -> None:
        self.grams = grams
        self.total: Counter[Any] = Counter()
        self.kinds: Counter[Any] = Counter()
        for gram, count in grams.items():
            self.total[gram[:-1]] += count
            self.kinds[gram[:-1]] += 1

    def probability(self, gram: tuple[str, ...], shorter: float) -> float:
        """The probability of the last word of an n-gram, given its probability after fewer
        words."""
        total = self.total.get(gram[:-1])
        if not total:
            return shorter
        own = max(self.grams.get(gram, 0) - DISCOUNT, 0)
        return (own + DISCOUNT * self.kinds[gram[:-1]] * shorter) / total
