"""Which of many texts about a subject are typical."""

from collections import Counter
from collections.abc import Sequence
from math import sqrt

from xinye.retrieval.terms import terms

READ = 400  # characters of each text


def most_typical(texts: Sequence[str]) -> list[int]:
    """The places of the texts, the most typical first: those that share most of their words, and of
    their pairs of Chinese characters, with the others (cosine with the mean of all). Takes linear
    time."""
    bags = [{term for term in terms(text[:READ]) if len(term) > 1} for text in texts]
    shared = Counter(term for bag in bags for term in bag)

    def likeness(place: int) -> float:
        bag = bags[place]
        return sum(shared[term] - 1 for term in bag) / sqrt(len(bag)) if bag else 0.0

    return sorted(range(len(texts)), key=lambda place: (-likeness(place), place))
