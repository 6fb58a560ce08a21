"""The phrase table of a statistical translator (Koehn et al. 2003, "Statistical Phrase-Based
Translation"): which short runs of words translate each other, and how likely."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import log
from typing import NamedTuple

from xinye.evaluation.translation_alignment import Links, Pairs, align

LONGEST = {"en": 4, "zh": 6}  # words of a phrase
KEPT = 12  # translations of a phrase
DISCOUNT = 0.6  # taken from each count, so that what occurs once does not look certain
UNALIGNED = ""  # stands for the other word of a word that is aligned with none

Phrase = tuple[str, ...]
Span = tuple[int, int]  # from a place in a sentence to another


class Option(NamedTuple):
    """A translation of a phrase, and the weighted logarithm of its probabilities."""

    phrase: Phrase
    score: float


Table = dict[Phrase, list[Option]]


def phrase_table(pairs: Pairs, longest: tuple[int, int], weights: Sequence[float]) -> Table:
    """The translations of each phrase of the first sentences, the most likely first.

    `longest` is the length of the longest phrases of both sides. `weights` belong to the logarithms
    of four probabilities: of the translation given the phrase, of the phrase given the translation,
    and of both word by word.
    """
    links = align(pairs)
    words = _WordTable(pairs, links)
    counts: Counter[tuple[Phrase, Phrase]] = Counter()
    within: dict[tuple[Phrase, Phrase], Links] = {}  # as aligned where the phrases first occur
    for (one, other), linked in zip(pairs, links, strict=True):
        for (a, b), (c, d) in _consistent(len(one), len(other), linked, longest):
            both = (tuple(one[a:b]), tuple(other[c:d]))
            counts[both] += 1
            if both not in within:
                within[both] = [(i - a, j - c) for i, j in linked if a <= i < b and c <= j < d]

    of_one: Counter[Phrase] = Counter()
    of_other: Counter[Phrase] = Counter()
    for (first, second), count in counts.items():
        of_one[first] += count
        of_other[second] += count

    table: defaultdict[Phrase, list[Option]] = defaultdict(list)
    for (first, second), count in counts.items():
        there = log((count - DISCOUNT) / of_one[first])
        back = log((count - DISCOUNT) / of_other[second])
        logs = (there, back, *words.log_probabilities(first, second, within[first, second]))
        score = sum(weight * each for weight, each in zip(weights, logs, strict=True))
        table[first].append(Option(second, score))
    for options in table.values():
        options.sort(key=lambda option: -option.score)
        del options[KEPT:]
    return dict(table)


def _consistent(
    rows: int, columns: int, links: Links, longest: tuple[int, int]
) -> Iterator[tuple[Span, Span]]:
    """The spans of two sentences whose words are aligned with words of the other span only, at
    least one with another. Words beside them that are aligned with none may belong to the second.
    """
    of_row: list[list[int]] = [[] for _ in range(rows)]
    of_column: list[list[int]] = [[] for _ in range(columns)]
    for row, column in links:
        of_row[row].append(column)
        of_column[column].append(row)
    for begin in range(rows):
        low, high = columns, -1
        for end in range(begin + 1, min(rows, begin + longest[0]) + 1):
            for column in of_row[end - 1]:
                low, high = min(low, column), max(high, column)
            if high < 0 or high - low >= longest[1]:
                continue
            if all(begin <= row < end for at in range(low, high + 1) for row in of_column[at]):
                for span in _widened(low, high + 1, of_column, longest[1]):
                    yield (begin, end), span


def _widened(begin: int, end: int, aligned: Sequence[list[int]], longest: int) -> Iterator[Span]:
    """The span, and those with words on both sides of it that are not aligned."""
    first = begin
    while first > 0 and not aligned[first - 1]:
        first -= 1
    last = end
    while last < len(aligned) and not aligned[last]:
        last += 1
    for start in range(max(first, end - longest), begin + 1):
        for stop in range(end, min(last, start + longest) + 1):
            yield start, stop


class _WordTable:
    """How likely words translate each other, by how often they are aligned."""

    def __init__(self, pairs: Pairs, links: Sequence[Links]) -> None:
        self.both: Counter[tuple[str, str]] = Counter()
        for (one, other), linked in zip(pairs, links, strict=True):
            rows, columns = {row for row, _ in linked}, {column for _, column in linked}
            self.both.update((one[row], other[column]) for row, column in linked)
            self.both.update(
                (word, UNALIGNED) for place, word in enumerate(one) if place not in rows
            )
            self.both.update(
                (UNALIGNED, word) for place, word in enumerate(other) if place not in columns
            )
        self.one: Counter[str] = Counter()
        self.other: Counter[str] = Counter()
        for (first, second), count in self.both.items():
            self.one[first] += count
            self.other[second] += count

    def log_probabilities(self, one: Phrase, other: Phrase, links: Links) -> tuple[float, float]:
        """The logarithms of the probabilities of `other` given `one`, and of `one` given `other`.
        That of a word is the mean over the words that it is aligned with."""
        of_row: defaultdict[int, list[str]] = defaultdict(list)
        of_column: defaultdict[int, list[str]] = defaultdict(list)
        for row, column in links:
            of_row[row].append(other[column])
            of_column[column].append(one[row])
        there = back = 0.0
        for column, word in enumerate(other):
            given = of_column.get(column, [UNALIGNED])
            there += log(sum(self.both[each, word] / self.one[each] for each in given) / len(given))
        for row, word in enumerate(one):
            given = of_row.get(row, [UNALIGNED])
            back += log(
                sum(self.both[word, each] / self.other[each] for each in given) / len(given)
            )
        return there, back
