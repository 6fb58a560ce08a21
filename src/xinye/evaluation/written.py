"""Figures of written texts: how many are right, how much they repeat, and how long they are."""

from collections.abc import Iterable, Sequence
from operator import eq

from xinye.evaluation.rouge import tokens
from xinye.evaluation.summaries import size

N = 4  # tokens of an n-gram
LENGTH_KEPT = 0.2  # a text keeps its length if it is at most this share longer or shorter


def repetition(text: str) -> float:
    """The share of the 4-grams of a text that it has said before; a Han character or a word is a
    token.

    >>> repetition("好茶好水好茶好水")
    0.2
    """
    found = tokens(text)
    ngrams = [tuple(found[at : at + N]) for at in range(len(found) - N + 1)]
    return (len(ngrams) - len(set(ngrams))) / len(ngrams) if ngrams else 0.0


def exact_share(written: Sequence[str], right: Iterable[str]) -> float:
    """The share of the texts that equal the right ones."""
    return sum(map(eq, written, right)) / max(1, len(written))


def keeps_length(text: str, wanted: int) -> bool:
    """Whether a text is as long as wanted, in characters or words, give or take a fifth."""
    return abs(size(text.strip()) - wanted) <= LENGTH_KEPT * wanted
