"""Summaries without a language model: the first sentence, the first N characters, and a learned
choice among the clauses of a text. They are the baselines of the task `summarize`.

Lengths are in characters for Chinese texts, and in words for others, as `Unit` counts them.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from statistics import fmean
from typing import Any

import numpy as np

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
WEIGHT = 3.0  # of the features beside words and phrases, to which the penalty is less strict

Place = tuple[int, int]  # where a clause begins and ends in its text


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


class ClausePicker:
    """Chooses the clause of a text, or neighbouring clauses, expected to be most like its summary.

    Ridge regression predicts the ROUGE-L of each clause from its place, its length, how much it is
    like the whole text (the cosine of TF-IDF), and its words and phrases of up to three tokens:
    cues such as 提出 stand in the clauses that say what a text is about."""

    def __init__(self, texts: Sequence[str], summaries: Sequence[str]) -> None:
        """Learns from texts and their summaries. Raises `XinyeError` if no text has a clause, and
        without scikit-learn."""
        need("the clause picker", "sklearn")
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import Ridge

        self.most = 2 * mean_size(summaries)
        self.mean_tokens = max(1.0, fmean(len(tokens(each)) for each in summaries))
        learned: list[tuple[str, list[Place]]] = []
        scores: list[float] = []
        for text, summary in zip(texts, summaries, strict=True):
            right, places = tokens(summary), joined_clauses(text, self.most)
            learned.append((text, places))
            scores += [rouge_l(tokens(text[begin:end]), right) for begin, end in places]
            if len(scores) > LEARNED:
                break
        if not scores:
            raise XinyeError("no text has a clause")
        pieces = [text[begin:end] for text, places in learned for begin, end in places]
        rare = RARE if len(pieces) > MANY else 1
        self.phrases = TfidfVectorizer(analyzer=_phrases, min_df=rare, sublinear_tf=True)
        self.phrases.fit(pieces)
        rows = np.concatenate([self._numbers(*each) for each in learned if each[1]])
        self.mean, self.deviation = rows.mean(0), rows.std(0) + 1e-9
        self.regression = Ridge(alpha=RIDGE, solver="lsqr")
        self.regression.fit(self._features(rows, pieces), scores)

    def pick(self, text: str) -> str:
        """The chosen clauses of a text; the text itself if it has none."""
        places = joined_clauses(text, self.most)
        if not places:
            return text.strip()
        pieces = [text[begin:end] for begin, end in places]
        expected = self.regression.predict(self._features(self._numbers(text, places), pieces))
        return pieces[int(expected.argmax())]

    def _features(self, rows: np.ndarray, pieces: Sequence[str]) -> Any:
        """The features of clauses as a sparse matrix, from their numbers and their texts."""
        from scipy.sparse import csr_matrix, hstack

        numbers = csr_matrix(WEIGHT * (rows - self.mean) / self.deviation)
        return hstack([numbers, self.phrases.transform(pieces)]).tocsr()

    def _numbers(self, text: str, places: Sequence[Place]) -> np.ndarray:
        """The features of clauses that are no phrases, (clauses, features)."""
        pieces = [text[begin:end] for begin, end in places]
        whole = self.phrases.transform([text]).T
        alike = (self.phrases.transform(pieces) @ whole).toarray()[:, 0]
        begins, ends = (np.array(side) / len(text) for side in zip(*places, strict=True))
        counts = np.array([len(tokens(piece)) for piece in pieces])
        length = np.minimum(3, counts / self.mean_tokens)
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
        return np.array(columns, float).T


def _phrases(text: str) -> list[str]:
    """The tokens of a text, and two and three neighbours; its first and last ones are marked."""
    found = ["^", *tokens(text), "$"]
    return [" ".join(found[at : at + n]) for n in (1, 2, 3) for at in range(len(found) - n + 1)]
