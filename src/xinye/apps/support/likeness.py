"""Measures how well the known wordings of a FAQ fit a question."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import pairwise
from math import fsum, log1p

import numpy as np
from numpy.typing import NDArray

from xinye.apps.support.classes import Classes
from xinye.apps.support.wordings import Wordings, distinct_terms
from xinye.data.scripts import has_han
from xinye.libraries import need
from xinye.retrieval.index import Index, rarity_of

CANDIDATES = 10  # entries that are compared closely
VOTERS = 20  # wordings whose entries count as votes
LONGEST = 1000  # characters of a question that count, and of a wording
LEARNABLE, EACH = 10, 200  # wordings of an entry that a classifier learns, at least and at most
CLASSES = 200  # entries that it learns, at most; time grows with them
PARTS = 5  # of these entries; each is left out once, to calibrate
UNKNOWN = -1.0
OWN = (
    0.5  # the share of a question's own terms in what it means; the wordings learned have the rest
)
# Numbers that measure how well a wording fits; each also counts in comparison with other entries.
SCORES = (
    "bm25",  # of the whole question
    "asked",  # BM25 of the clauses that ask
    "sound",  # BM25 of syllables without tones, and of three letters of a word
    "meant",  # likelihood of the wording, with the customers' words translated
    "asked_meant",  # the same, of the clauses that ask
    "covered",  # share of the wording that is in the question, terms by rarity
    "asked_covered",  # share of the wording that is in the clauses that ask
    "covering",  # share of the clauses that ask that is in the wording
    "sounding",  # share of the wording's sounds that is in the question
    "told",  # BM25 of the whole question in the entry's answer
    "asked_told",  # the same, of the clauses that ask
    "classed",  # what a classifier of the entries with many wordings says
    "votes",  # share of the best wordings that are of the same entry
)
OTHERS = (
    "missing",  # rarity of the wording's rarest pair or word that the question lacks
    "run",  # the longest common run of characters, as a share of the wording
    "length",  # characters of the wording
    "question",  # characters of the question, logarithm
    "twin",  # likeness of the wording of another entry that also fits
)
FEATURES = (*SCORES, *(f"{name}_ahead" for name in SCORES), *OTHERS)

# A full stop ends a clause only before a space, not in "2.5".
_CLAUSE = re.compile(r"[^，。；！？,;!?\s](?:[^，。；！？,;!?.\n]|\.(?!\s|$))*[，。；！？,;!?.\n]*")
_ASKS = re.compile(
    r"[吗呢么嘛咋谁哪几?？]|怎|如何|多[少久长大]|何|能不能|可不可以|是否|是不是|有没有|请问|"
    r"\b(?:what|which|who|when|where|why|how|do|does|did|is|are|was|were|can|could|may)\b",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_MERGED = (("zh", "z"), ("ch", "c"), ("sh", "s"), ("ng", "n"))  # sounds that many do not tell apart

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A wording that may fit, and its features in the order of `FEATURES`."""

    wording: int
    entry: int
    features: tuple[float, ...]


class Likeness:
    """Compares questions with the wordings of a FAQ, of which each belongs to an entry."""

    def __init__(
        self,
        wordings: Sequence[str],
        entries: Sequence[int],
        learned: Wordings,
        answers: Mapping[int, str] | None = None,
    ) -> None:
        self.texts = [text[:LONGEST] for text in wordings]
        self.entries, self.learned = np.array(entries, np.int64), learned
        self.index = Index.of(self.texts)
        heard = [sounds(text) for text in self.texts]
        self.sounds = Index.of(heard)
        self.words = _Shares([distinct_terms(text) for text in self.texts], learned)
        self.heard = _Shares([distinct_terms(text) for text in heard], Wordings())
        self.answers = Index.of([text[:LONGEST] for text in answers.values()]) if answers else None
        order = {entry: at for at, entry in enumerate(answers or ())}
        self.answer_of = np.array([order.get(entry, len(order)) for entry in entries], np.int64)
        self.frequent = _frequent(self.texts, entries)

    @cached_property
    def classes(self) -> Classes | None:
        """What tells the entries with many wordings apart; None without such entries."""
        return next(self._learned([()]), None)

    def classes_without(self) -> dict[int, tuple[Collection[int], Classes]]:
        """For each entry that the classifier knows a few of these, and a classifier that has not
        seen them."""
        known = [*dict.fromkeys(entry for _, entry in self.frequent)]
        parts = [known[at::PARTS] for at in range(PARTS)] if len(known) >= 2 * PARTS else []
        return {
            entry: (part, classes)
            for part, classes in zip(parts, self._learned(parts), strict=True)
            for entry in part
        }

    def _learned(self, left_out: Sequence[Collection[int]]) -> Iterator[Classes]:
        if not self.frequent or not left_out:
            return iter(())
        texts = [text for text, _ in self.frequent]
        labels = [str(entry) for _, entry in self.frequent]
        return Classes.learn_without(texts, labels, [{*map(str, part)} for part in left_out])

    def candidates(
        self, question: str, hidden: Collection[int] = (), classes: Classes | None = None
    ) -> list[Candidate]:
        """The wordings that fit a question best, one of each entry, without hidden entries, which
        `classes` has not seen."""
        question = question[:LONGEST]
        scores = np.column_stack([self._scores(question), self._classed(question, classes)])
        possible = (scores[:, :4].max(1) > 0) & ~np.isin(self.entries, [*hidden])
        if not possible.any():
            return []
        spread = np.maximum(scores[possible].std(0), 1e-9)
        # Close comparison costs time, so these four choose whom to compare.
        total = (scores / spread)[:, :4] @ np.array([1, 0.5, 0.5, 1])
        total[~possible] = -np.inf
        order = np.argsort(-total, kind="stable")
        voters = self.entries[order[:VOTERS]]
        votes = (voters == self.entries[:, None]).mean(1)
        scores = np.column_stack([scores, votes])
        best: dict[int, int] = {}
        for number in order.tolist():
            if total[number] == -np.inf or len(best) == CANDIDATES:
                break
            best.setdefault(int(self.entries[number]), number)
        chosen = np.array([*best.values()])
        table = np.hstack([scores[chosen], _ahead(scores[chosen]), self._others(question, chosen)])
        return [
            Candidate(number, entry, tuple(row))
            for (entry, number), row in zip(best.items(), table.tolist(), strict=True)
        ]

    def _scores(self, question: str) -> Numbers:
        """The `SCORES` of all wordings but the last two, (wordings, 11)."""
        asking, heard = clauses(question), sounds(question)
        own, asked = distinct_terms(question), distinct_terms(asking)
        shared = self.words.shared(asked)
        columns = [
            self.index.scores(rarity_of(question, [self.index])),
            self.index.scores(rarity_of(asking, [self.index])),
            self.sounds.scores(rarity_of(heard, [self.sounds])),
            self._meant(own),
            self._meant(asked),
            self.words.shared(own) / self.words.mass,
            shared / self.words.mass,
            shared / (sum(map(self.words.rarity, asked)) or 1.0),
            self.heard.shared(distinct_terms(heard)) / self.heard.mass,
            self._told(question),
            self._told(asking),
        ]
        return np.column_stack(columns).astype(np.float64)

    def _classed(self, question: str, classes: Classes | None) -> Numbers:
        """What the classifier says to the entry of each wording; -1 if it does not know it."""
        classes = classes or self.classes
        if classes is None:
            return np.zeros(len(self.texts))
        known = dict(zip(map(int, classes.labels), classes.scores(question).tolist(), strict=True))
        return np.array([known.get(entry, UNKNOWN) for entry in self.entries.tolist()])

    def _told(self, question: str) -> Numbers:
        """The BM25 scores of the answers to each wording; 0 for an entry without one."""
        if self.answers is None:
            return np.zeros(len(self.texts))
        scores = self.answers.scores(rarity_of(question, [self.answers]))
        return np.append(scores, 0.0)[self.answer_of]

    def _meant(self, terms: Sequence[str]) -> Numbers:
        """The logarithm of how much likelier each wording's terms are after this question than
        after any, by the root of what it could be at most."""
        expected = {term: (1 - OWN) * value for term, value in self.learned.meant(terms).items()}
        for term in terms:
            expected[term] = expected.get(term, 0.0) + OWN
        return self.words.total(
            {term: log1p(value / self.words.often.get(term, 1)) for term, value in expected.items()}
        ) / np.sqrt(self.words.mass)

    def _others(self, question: str, chosen: NDArray[np.int64]) -> Numbers:
        """The `OTHERS` of some wordings, (chosen, 5)."""
        own = frozenset(distinct_terms(question))
        rows = []
        for number in chosen.tolist():
            text, terms = self.texts[number], self.words.terms[number]
            lacking = [self.words.rarity(term) for term in terms - own if len(term) > 1]
            twins = [self.words.cosine(number, other) for other in chosen if other != number]
            rows.append(
                (
                    max(lacking, default=0.0),
                    longest_run(question, text) / max(1, len(text)),
                    len(text),
                    log1p(len(question)),
                    max(twins, default=0.0),
                )
            )
        return np.array(rows, np.float64)


class _Shares:
    """How much the terms of texts count, by their rarity, and which text has them. Texts that were
    learned from count like these."""

    def __init__(self, terms: Sequence[Sequence[str]], learned: Wordings) -> None:
        self.terms = [frozenset(own) for own in terms]
        self.having: dict[str, list[int]] = {}
        for number, own in enumerate(self.terms):
            for term in own:
                self.having.setdefault(term, []).append(number)
        count = len(terms) + learned.pairs
        self.often = {
            term: (len(self.having.get(term, ())) + learned.counts.get(term, 0)) / count
            for term in self.having.keys() | learned.counts.keys()
        }
        self.rarest = log1p(count)
        # Sets have another order in each process, and an exact sum does not depend on it.
        self.mass = np.array([fsum(map(self.rarity, own)) or 1.0 for own in self.terms])

    def rarity(self, term: str) -> float:
        often = self.often.get(term)
        return log1p(1 / often) if often else self.rarest

    def total(self, values: Mapping[str, float]) -> Numbers:
        """For each text the sum of the values of its terms."""
        total = np.zeros(len(self.terms))
        for term, value in values.items():
            if term in self.having:
                total[self.having[term]] += value
        return total

    def shared(self, terms: Iterable[str]) -> Numbers:
        """The rarity of the terms that each text shares with these."""
        return self.total({term: self.rarity(term) for term in terms})

    def cosine(self, one: int, other: int) -> float:
        shared = fsum(map(self.rarity, self.terms[one] & self.terms[other]))
        return float(shared / np.sqrt(self.mass[one] * self.mass[other]))


def _frequent(texts: Sequence[str], entries: Sequence[int]) -> list[tuple[str, int]]:
    """The wordings, and their entries, that a classifier can learn from."""
    found: dict[int, list[str]] = {}
    for text, entry in zip(texts, entries, strict=True):
        found.setdefault(entry, []).append(text)
    frequent = [entry for entry in found if len(found[entry]) >= LEARNABLE]
    frequent = sorted(frequent, key=lambda entry: -len(found[entry]))[:CLASSES]
    if len(frequent) < 2:
        return []
    return [(text, entry) for entry in frequent for text in found[entry][:EACH]]


def _ahead(scores: Numbers) -> Numbers:
    """Each score minus the best one of the other rows."""
    if len(scores) == 1:
        return scores.copy()
    ordered = np.sort(scores, axis=0)
    return scores - np.where(scores == ordered[-1], ordered[-2], ordered[-1])


def clauses(question: str) -> str:
    """The last two clauses of a question that ask, or its last one if none does.

    >>> clauses("我上周买的，一直没到。怎么退货？谢谢！")
    '怎么退货？'
    """
    found = _CLAUSE.findall(question)
    asking = [clause for clause in found if _ASKS.search(clause)][-2:]
    return " ".join(asking or found[-1:])


def sounds(text: str) -> str:
    """A text in syllables without tones, so that characters typed for others of the same sound
    match; words of letters in pieces of three.

    >>> sounds("登录logn") == sounds("登陆logn")
    True
    """
    need("matching questions by their sound", "pypinyin")
    found: list[str] = []
    for run in _WORD.findall(text.casefold()):
        syllables = [_syllable(sign) for sign in run if has_han(sign)]
        found += syllables
        found += [one + two for one, two in pairwise(syllables)]
        for word in re.findall(r"[a-z0-9]+", run):
            found += [f"{word[at : at + 3]}0" for at in range(max(1, len(word) - 2))]
    return " ".join(found)


@cache
def _syllable(sign: str) -> str:
    from pypinyin import lazy_pinyin

    sound = str(lazy_pinyin(sign)[0])
    for told, merged in _MERGED:
        sound = sound.replace(told, merged)
    return sound


def longest_run(one: str, other: str) -> int:
    """How many characters the longest run has that both texts share. Each character of `other`
    takes one or two searches in `one`."""
    longest = 0
    for begin in range(len(other)):
        while other[begin : begin + longest + 1] in one and begin + longest < len(other):
            longest += 1
    return longest
