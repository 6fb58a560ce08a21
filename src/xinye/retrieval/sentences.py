"""The sentence that answers a question best, without any model: the extract of written answers, and
the baseline of the task `answer`."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from xinye.data.sentences import sentences
from xinye.retrieval.index import inverse_frequency
from xinye.retrieval.terms import content, terms


@dataclass(frozen=True)
class Sentence:
    """A sentence of a passage: `start` is its first character there, and `passage` the index of the
    passage."""

    text: str
    start: int
    passage: int


@dataclass(frozen=True)
class Scored(Sentence):
    """A sentence with the share of a question's terms that it has, from 0 to 1, each term counting
    more the fewer sentences of all passages have it; `alone`, the fewer of its own passage."""

    share: float
    alone: float


def scored_sentences(question: str, passages: Sequence[str]) -> list[Scored]:
    """The sentences of passages in order, with how much of the question each has (Robertson and
    Zaragoza 2009). Words that ask, such as "how many", do not count."""
    found = [
        Sentence(passage[begin:end], begin, number)
        for number, passage in enumerate(passages)
        for begin, end in sentences(passage)
    ]
    having = [set(terms(sentence.text)) for sentence in found]
    counts = Counter(term for own in having for term in own)
    asked = sorted(set(terms(content(question))))
    rarity = {term: inverse_frequency(len(found), counts[term]) for term in asked}
    whole = sum(rarity.values()) or 1.0
    shares = [sum(rarity[term] for term in asked if term in own) / whole for own in having]
    alone = shares
    if len(passages) > 1:
        by_passage = (scored_sentences(question, [passage]) for passage in passages)
        alone = [each.share for own in by_passage for each in own]
    return [
        Scored(**vars(sentence), share=share, alone=own)
        for sentence, share, own in zip(found, shares, alone, strict=True)
    ]


def best_sentence(question: str, passages: Sequence[str]) -> Sentence | None:
    """The sentence that has the most of the question's terms, the first of equal ones; None if no
    passage has a sentence.

    The order of the passages does not count: give only the best one if they are ranked.

    >>> best_sentence("茶几度泡？", ["茶是叶子。绿茶用八十度的水泡。"]).text
    '绿茶用八十度的水泡。'
    """
    return max(scored_sentences(question, passages), key=lambda each: each.share, default=None)
