"""Summaries without a language model: the first sentence, the first N characters, and a learned
choice among the clauses of a text. They are the baselines of the task `summarize`, which uses the
learned choice to quote, too.

Lengths are in characters for Chinese texts, and in words for others, as `Unit` counts them.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from statistics import fmean
from typing import Annotated, Any, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from xinye.data.sentences import NO_END, sentences
from xinye.errors import XinyeError
from xinye.evaluation.rouge import rouge_l, tokens
from xinye.evaluation.tokenizers import count_words
from xinye.libraries import need

# A mark of ASCII ends a clause only where no letter or digit follows at once: not in 3.5 or a.txt.
_CLAUSE_END = re.compile(rf"[，。；！？：\n]|(?:[,;!?]|{NO_END}\.)(?![A-Za-z0-9])")
_MARKS = " \t\r\n，。；！？：、,;.!?:"
_WORD = re.compile(r"\S+")
MOST_CLAUSES = 400  # of a text, the first ones; of joined clauses as many again
JOINED = 3  # clauses at most
MANY = 1000  # clauses, of which words and phrases of fewer than `RARE` clauses are no features
RARE = 5
LEARNED = 200_000  # clauses, joined ones included, that a picker learns from at most
RIDGE = 3.0  # the penalty on the weights
TOLERANCE = 1e-6  # of the weights; at the usual 1e-4, ROUGE-L varies by 0.3 with the last digits
WEIGHT = 3.0  # of the features beside words and phrases, to which the penalty is less strict
SMALL = 1e-6  # added to deviations, so that features that never differ weigh next to nothing
NUMBERS = 11  # features beside words and phrases
PHRASES = 10_000  # that a picker keeps: 240 kB, and at most 0.1 ROUGE-L is lost on CSL and FinNA

Place = tuple[int, int]  # where a clause begins and ends in its text
Features = tuple[np.ndarray, list[dict[str, float]]]
Weight = Annotated[float, Field(ge=-1e9, le=1e9)]


def is_chinese(text: str) -> bool:
    """Whether a text is Chinese: it has more Han characters than words in Latin letters.

    >>> is_chinese("Celecoxib的合成"), is_chinese("The town 云城 in spring")
    (True, False)
    """
    characters, words = count_words([text])
    return characters > words


class Unit:
    """The unit in which a text and its summaries are measured: characters if the text is Chinese,
    else words. It reads the text once, so that measuring many parts of it stays linear."""

    def __init__(self, source: str) -> None:
        self.chinese = is_chinese(source)

    def size(self, text: str) -> int:
        """The length of a text."""
        return len(text) if self.chinese else sum(1 for _ in _WORD.finditer(text))

    def end(self, text: str, most: int) -> int:
        """Where the first `most` units of a text end."""
        if self.chinese:
            return min(most, len(text))
        words = [*islice(_WORD.finditer(text), most + 1)]
        return len(text) if len(words) <= most else words[most - 1].end()


def size(text: str) -> int:
    """The length of a text: in characters if it is Chinese, else in words."""
    return Unit(text).size(text)


def mean_size(texts: Iterable[str]) -> int:
    """The mean length of texts, rounded, and at least 1."""
    return max(1, round(fmean(map(size, texts))))


def cut(text: str, most: int, unit: Unit | None = None) -> str:
    """The beginning of a text that is at most `most` units long, by default of the text's own."""
    return text[: (unit or Unit(text)).end(text, most)].rstrip()


def first_sentence(text: str) -> str:
    """The first sentence of a text, without the mark that ends it; "" for an empty text."""
    begin, end = next(sentences(text), (0, 0))
    return text[begin:end].rstrip(_MARKS)


def clauses(text: str) -> list[Place]:
    """Where the first `MOST_CLAUSES` clauses of a text begin and end, without the marks and spaces
    around them.

    >>> text = "春茶到了，每斤1.5元；Come in, please."
    >>> [text[begin:end] for begin, end in clauses(text)]
    ['春茶到了', '每斤1.5元', 'Come in', 'please']
    """
    found: list[Place] = []
    begin = 0
    ends = (match.end() for match in _CLAUSE_END.finditer(text))
    for end in chain(ends, [len(text)]):
        clause = text[begin:end].rstrip(_MARKS)
        own = begin + len(clause) - len(clause.lstrip(_MARKS))
        if own < begin + len(clause):
            found.append((own, begin + len(clause)))
        begin = end
        if len(found) == MOST_CLAUSES:
            break
    return found


def joined_clauses(text: str, most: int | None = None, unit: Unit | None = None) -> list[Place]:
    """The clauses, and up to `JOINED` neighbouring clauses as one, as places in the text. `most` is
    the length of the longest to join, in units, by default the text's own."""
    unit = unit or Unit(text)
    borders = clauses(text)
    found = []
    for at, (begin, _) in enumerate(borders):
        for last in range(at, min(at + JOINED, len(borders))):
            end = borders[last][1]
            if last > at and most is not None and unit.size(text[begin:end]) > most:
                break
            found.append((begin, end))
    return found


def shortened(text: str, most: int, unit: Unit) -> str:
    """The text up to the last of its clauses that fits into `most` units; "" if none does."""
    limit = unit.end(text, most)
    ends = [end for _, end in clauses(text) if end <= limit]
    return text[: ends[-1]] if ends else ""


class ClausePicker(BaseModel):
    """Chooses the clause of a text, or neighbouring clauses, expected to be most like its summary.

    Ridge regression predicts the ROUGE-L of each clause from its place, its length, how much it is
    like the whole text (the cosine of their phrases), and its words and phrases of up to three
    tokens: cues such as 提出 stand in the clauses that say what a text is about. Only the `PHRASES`
    that matter most are kept, so it is small enough to be saved with a run."""

    model_config = ConfigDict(frozen=True)

    most: Annotated[int, Field(ge=1)]  # the longest clauses to join, in units
    mean_tokens: Annotated[Weight, Field(ge=1)]  # of the summaries that it learned from
    constant: Weight
    numbers: Annotated[list[Weight], Field(min_length=NUMBERS, max_length=NUMBERS)]
    phrases: dict[str, Weight]

    @classmethod
    def learn(cls, texts: Sequence[str], summaries: Sequence[str]) -> Self:
        """A picker that learned from texts and their summaries. Raises `XinyeError` if no text has
        a clause, and without scikit-learn."""
        need("the clause picker", "sklearn")
        from scipy.sparse import csr_matrix, hstack
        from sklearn.linear_model import Ridge

        most = 2 * mean_size(summaries)
        mean_tokens = max(1.0, fmean(len(tokens(each)) for each in summaries))
        learned = _Learned()
        for text, summary in zip(texts, summaries, strict=True):
            right, places = tokens(summary), joined_clauses(text, most)
            scores = [rouge_l(tokens(text[begin:end]), right) for begin, end in places]
            learned.add(_features(text, places, mean_tokens), scores)
            if len(learned.scores) > LEARNED:
                break
        if not learned.scores:
            raise XinyeError("no text has a clause")
        numbers = np.concatenate(learned.numbers)
        mean, deviation = numbers.mean(0), numbers.std(0) + SMALL
        names, clauses_with, phrases = learned.phrases()
        scaled = csr_matrix(WEIGHT * (numbers - mean) / deviation)
        regression = Ridge(alpha=RIDGE, solver="lsqr", tol=TOLERANCE)
        regression.fit(hstack([scaled, phrases]).tocsr(), learned.scores)
        of_numbers = WEIGHT * regression.coef_[:NUMBERS] / deviation
        of_phrases = regression.coef_[NUMBERS:]
        important = np.argsort(-np.abs(of_phrases) * np.sqrt(clauses_with), kind="stable")
        return cls(
            most=most,
            mean_tokens=mean_tokens,
            constant=float(regression.intercept_ - of_numbers @ mean),
            numbers=of_numbers.tolist(),
            phrases={names[at]: round(float(of_phrases[at]), 4) for at in important[:PHRASES]},
        )

    def pick(self, text: str) -> str:
        """The chosen clauses of a text; the text itself if it has none."""
        places = joined_clauses(text, self.most)
        if not places:
            return text.strip()
        begin, end = places[int(self.expected(text, places).argmax())]
        return text[begin:end]

    def expected(self, text: str, places: Sequence[Place]) -> np.ndarray:
        """The ROUGE-L that is expected of each place of a text as its summary, (places,)."""
        numbers, phrases = _features(text, places, self.mean_tokens)
        of_phrases = [
            sum(share * self.phrases.get(phrase, 0.0) for phrase, share in each.items())
            for each in phrases
        ]
        return self.constant + numbers @ np.array(self.numbers) + np.array(of_phrases)


class _Learned:
    """What a picker learns from: the features of clauses, and their ROUGE-L."""

    def __init__(self) -> None:
        self.numbers: list[np.ndarray] = []
        self.scores: list[float] = []
        self._names: dict[str, int] = {}
        self._columns = array("i")
        self._shares = array("f")
        self._ends = [0]

    def add(self, features: Features, scores: Sequence[float]) -> None:
        """Add the clauses of a text."""
        self.numbers.append(features[0])
        self.scores += scores
        for phrases in features[1]:
            for phrase, share in phrases.items():
                self._columns.append(self._names.setdefault(phrase, len(self._names)))
                self._shares.append(share)
            self._ends.append(len(self._columns))

    def phrases(self) -> tuple[list[str], np.ndarray, Any]:
        """The phrases that are not rare, how many clauses have each, and the features of the
        clauses as a sparse matrix, (clauses, phrases)."""
        from scipy.sparse import csr_matrix

        shape = (len(self.scores), len(self._names))
        shares = csr_matrix((self._shares, self._columns, self._ends), shape)
        clauses_with = np.bincount(np.asarray(self._columns), minlength=len(self._names))
        kept = clauses_with >= (RARE if len(self.scores) > MANY else 1)
        names = [name for name, keep in zip(self._names, kept, strict=True) if keep]
        return names, clauses_with[kept], shares[:, np.flatnonzero(kept)]


def _features(text: str, places: Sequence[Place], mean_tokens: float) -> Features:
    """The features of clauses that are no phrases, (clauses, `NUMBERS`), and the phrases of each
    clause with their shares."""
    if not places:
        return np.zeros((0, NUMBERS)), []
    pieces = [text[begin:end] for begin, end in places]
    whole, phrases = _phrases(text), [*map(_phrases, pieces)]
    alike = [
        sum(share * whole.get(phrase, 0.0) for phrase, share in each.items()) for each in phrases
    ]
    begins, ends = (np.array(side) / len(text) for side in zip(*places, strict=True))
    counts = np.array([len(tokens(piece)) for piece in pieces])
    length = np.minimum(3, counts / mean_tokens)
    columns = (
        begins,
        begins**2,
        begins == begins[0],
        ends == ends[-1],
        np.log1p(counts),
        length,
        length**2,
        np.abs(np.log(np.maximum(0.05, length))),
        alike,
        [len(_CLAUSE_END.findall(piece)) for piece in pieces],
        [any(map(str.isdigit, piece)) for piece in pieces],
    )
    return np.array(columns, float).T, phrases


def _phrases(text: str) -> dict[str, float]:
    """The tokens of a text, and two and three neighbours, as a vector of length 1. A phrase that
    recurs counts more, but not as often as it recurs. The first and last ones are marked."""
    found = ["^", *tokens(text), "$"]
    times = Counter(
        " ".join(found[at : at + n]) for n in (1, 2, 3) for at in range(len(found) - n + 1)
    )
    shares = {phrase: 1 + math.log(count) for phrase, count in times.items()}
    norm = math.sqrt(sum(share**2 for share in shares.values()))
    return {phrase: share / norm for phrase, share in shares.items()}
