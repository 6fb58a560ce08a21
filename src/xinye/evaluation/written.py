"""Figures of a text that was written freely: how much it repeats itself, and how long it is."""

from xinye.evaluation.rouge import tokens
from xinye.evaluation.summaries import size

RUN = 4  # tokens
LENGTH_KEPT = 0.2  # a text keeps its length if it is at most this share longer or shorter


def repetition(text: str) -> float:
    """The share of the runs of four tokens that a text has said before; a Han character or a word
    is a token.

    >>> repetition("好茶好水好茶好水")
    0.2
    """
    found = tokens(text)
    runs = [tuple(found[at : at + RUN]) for at in range(len(found) - RUN + 1)]
    return (len(runs) - len(set(runs))) / len(runs) if runs else 0.0


def keeps_length(text: str, wanted: int) -> bool:
    """Whether a text is as long as wanted, in characters or words, give or take a fifth."""
    return abs(size(text.strip()) - wanted) <= LENGTH_KEPT * wanted
