"""A trigram model of words with interpolated Kneser-Ney smoothing (Chen and Goodman 1999), for one
word at a time."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BEGIN, END = "<s>", "</s>"
DISCOUNT = 0.75


class Trigrams:
    """A model of the sentences it was made from."""

    def __init__(self, sentences: Iterable[Sequence[str]]) -> None:
        trigrams: Counter[tuple[str, str, str]] = Counter()
        for words in sentences:
            padded = [BEGIN, BEGIN, *words, END]
            trigrams.update(zip(padded, padded[1:], padded[2:], strict=False))
        bigrams = Counter(gram[1:] for gram in trigrams)
        singles = Counter(gram[1:] for gram in bigrams)
        self.singles = {word: count for (word,), count in singles.items()}
        self.all = sum(self.singles.values())
        self.pairs, self.triples = _Level(bigrams), _Level(trigrams)
        self.known: dict[tuple[str, str, str], float] = {}

    def log_probability(self, first: str, second: str, word: str) -> float:
        """The natural logarithm of the probability of a word after two others."""
        gram = (first, second, word)
        found = self.known.get(gram)
        if found is None:
            # a word that never occurred counts as one that occurred once
            alone = self.singles.get(word, 1) / (self.all + 1)
            found = self.triples.probability(gram, self.pairs.probability(gram[1:], alone))
            found = self.known[gram] = math.log(found)
        return found


class _Level:
    """The n-grams of one order."""

    def __init__(self, grams: Mapping[Any, int]) -> None:
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
