"""The sentence that answers a question best, without any model: the extract of written answers, and
the baseline of the task `answer`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xinye.data.sentences import sentences
from xinye.retrieval.index import inverse_frequency
from xinye.retrieval.terms import terms


@dataclass(frozen=True)
class Sentence:
    """A sentence of a passage: `start` is its first character there, and `passage` the index of the
    passage."""

    text: str
    start: int
    passage: int


def best_sentence(question: str, passages: Sequence[str]) -> Sentence | None:
    """The sentence that has the most of the question's terms, the first of equal ones; None if no
    passage has a sentence.

    A term counts more, the fewer sentences of these passages have it (Robertson and Zaragoza 2009).
    The order of the passages does not count: give only the best one if they are ranked.

    >>> best_sentence("茶几度泡？", ["茶是叶子。绿茶用八十度的水泡。"]).text
    '绿茶用八十度的水泡。'
    """
    found = [
        Sentence(passage[begin:end], begin, number)
        for number, passage in enumerate(passages)
        for begin, end in sentences(passage)
    ]
    if not found:
        return None
    having = [set(terms(sentence.text)) for sentence in found]
    counts = Counter(term for own in having for term in own)
    asked = sorted(set(terms(question)))
    rarity = {term: inverse_frequency(len(found), counts[term]) for term in asked}
    scores = [sum(rarity[term] for term in asked if term in own) for own in having]
    return found[scores.index(max(scores))]
