"""Which words of two sentences translate each other: the first model of Brown et al. (1993, "The
Mathematics of Statistical Machine Translation") in both directions, which have to agree (Liang et
al. 2006, "Alignment by Agreement").

As in `fast_align` (Dyer et al. 2013, "A Simple, Fast, and Effective Reparameterization of IBM Model
2"), words at about the same place of both sentences are more likely to translate each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROUNDS = 5  # of expectation and maximization
UNALIGNED = 0.1  # the probability that a word translates no word of the other sentence
TENSION = 3.0  # how strongly words at the same place belong together
AGREED = 0.15  # two words are aligned from this product of both directions' probabilities

Pairs = Sequence[tuple[Sequence[str], Sequence[str]]]  # the words of two sentences
Links = list[tuple[int, int]]  # the places of words that translate each other


@dataclass(frozen=True)
class _Side:
    """One sentence of each pair, as seen from the cells of all pairs."""

    word: np.ndarray  # the number of the word of each cell
    place: np.ndarray  # its place in its sentence
    token: np.ndarray  # its place among the words of all sentences
    words: int  # how many different words there are


def align(pairs: Pairs) -> list[Links]:
    """For each pair of sentences, the places of the words that translate each other. Takes time and
    memory for each cell, a pair of a word of one sentence and a word of the other."""
    lengths = np.array([(len(one), len(other)) for one, other in pairs])
    size = lengths[:, 0] * lengths[:, 1]
    pair = np.repeat(np.arange(len(pairs)), size)
    cell = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    row, column = np.divmod(cell, lengths[pair, 1])
    one = _side([words for words, _ in pairs], row, pair)
    other = _side([words for _, words in pairs], column, pair)

    apart = np.abs((row + 0.5) / lengths[pair, 0] - (column + 0.5) / lengths[pair, 1])
    near = np.exp(-TENSION * apart)
    agreed = _probability(one, other, near) * _probability(other, one, near)

    found: list[Links] = [[] for _ in pairs]
    for at in np.flatnonzero(agreed >= AGREED).tolist():
        found[pair[at]].append((int(row[at]), int(column[at])))
    return found


def _side(sentences: list[Sequence[str]], place: np.ndarray, pair: np.ndarray) -> _Side:
    """The side of the cells at these places of these sentences."""
    numbers: dict[str, int] = {}
    ids = np.array(
        [numbers.setdefault(word, len(numbers)) for words in sentences for word in words]
    )
    lengths = np.array([len(words) for words in sentences])
    token = (np.cumsum(lengths) - lengths)[pair] + place
    return _Side(ids[token], place, token, len(numbers))


def _probability(side: _Side, other: _Side, near: np.ndarray) -> np.ndarray:
    """For each cell, the probability that its word of `side` translates its word of `other`."""
    kinds, kind = np.unique(side.word * other.words + other.word, return_inverse=True)
    given = kinds % other.words
    # the probability of a word, if it translates the other one
    translates = np.ones(len(kinds))
    near = near / np.bincount(side.token, near)[side.token]
    alone = UNALIGNED / side.words
    for _ in range(ROUNDS):
        weight = (1 - UNALIGNED) * translates[kind] * near
        probability = weight / (np.bincount(side.token, weight) + alone)[side.token]
        counts = np.bincount(kind, probability)
        translates = counts / np.bincount(given, counts, minlength=other.words)[given]
    return probability
