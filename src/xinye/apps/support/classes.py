"""Learns from known wordings which entry or intent a question belongs to: a linear support vector
machine for each, against all others, on words, pairs of words and pieces of words."""

import json
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from xinye.apps.support.desk_settings import AGAIN
from xinye.apps.support.wordings import DAMAGED
from xinye.retrieval.format import damaged

NEAR = 4  # words after a word that make a pair with it
SHORTEST, LONGEST = 2, 5  # characters of a piece
CHARACTERS = 1000  # of a text that count
SEEN = 2  # texts that a term must be in
COST = 1.0  # of an error, against that of large weights
SHARPNESS = 3.0  # turns scores into probabilities
_WORD = re.compile(r"\w+")

Numbers = NDArray[np.float32]
_Row = tuple[NDArray[np.int32], Numbers]  # the numbers of a text's terms, and what each counts


class Classes:
    """A linear model of `labels`. `weights` has a row for each of the `terms`, and a column for
    each label; `rarity` has a number for each term."""

    def __init__(
        self,
        labels: Sequence[str],
        terms: Sequence[str],
        rarity: Numbers,
        weights: Numbers | None = None,
        bias: Numbers | None = None,
    ) -> None:
        self.labels, self.rarity = [*labels], rarity
        self.weights = (
            np.zeros((len(terms), len(labels)), np.float32) if weights is None else weights
        )
        self.bias = np.zeros(len(labels), np.float32) if bias is None else bias
        self.terms = {term: at for at, term in enumerate(terms)}

    @classmethod
    def learn(cls, texts: Sequence[str], labels: Sequence[str]) -> "Classes":
        """Learn from texts, each with its label; at least two labels must differ."""
        return next(cls.learn_without(texts, labels, [()]))

    @classmethod
    def learn_without(
        cls, texts: Sequence[str], labels: Sequence[str], left_out: Iterable[Collection[str]]
    ) -> Iterator["Classes"]:
        """For each collection of labels a model that has not seen their texts."""
        both = [blocks(text) for text in texts]
        counts = Counter(term for each in both for block in each for term in dict.fromkeys(block))
        terms = [term for term, count in counts.items() if count >= SEEN] or [""]
        rarity = np.array([log((1 + len(texts)) / (1 + counts[term])) + 1 for term in terms])
        model = cls([], terms, rarity.astype(np.float32))
        rows = [model._row(each) for each in both]
        for without in left_out:
            kept = [number for number, label in enumerate(labels) if label not in without]
            yield model._learned([rows[each] for each in kept], [labels[each] for each in kept])

    def _learned(self, rows: Sequence["_Row"], labels: Sequence[str]) -> "Classes":
        """A model with the same terms that has learned these rows."""
        from scipy.sparse import csr_array
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.svm import LinearSVC

        begins = np.cumsum([0, *(len(numbers) for numbers, _ in rows)]).astype(np.int32)
        numbers = np.concatenate([row[0] for row in rows])
        values = np.concatenate([row[1] for row in rows])
        table = csr_array((values, numbers, begins), shape=(len(rows), len(self.terms)))
        with warnings.catch_warnings():  # how well it has learned is measured
            warnings.simplefilter("ignore", ConvergenceWarning)
            machine = LinearSVC(C=COST, random_state=0).fit(table, [*labels])
        weights, bias = machine.coef_.T, machine.intercept_
        if weights.shape[1] == 1:  # one machine for two labels
            weights, bias = np.hstack([-weights, weights]), np.concatenate([-bias, bias])
        names, terms = machine.classes_.tolist(), [*self.terms]
        return Classes(
            names,
            terms,
            self.rarity,
            np.ascontiguousarray(weights, np.float32),
            bias.astype(np.float32),
        )

    def scores(self, text: str) -> Numbers:
        """How far the text is on the side of each label; -1 and less speaks clearly against it."""
        numbers, values = self._row(blocks(text))
        return np.asarray(values @ self.weights[numbers] + self.bias, np.float32)

    def probabilities(self, text: str) -> dict[str, float]:
        """The probability of each label."""
        scores = SHARPNESS * self.scores(text)
        shares = np.exp(scores - scores.max())
        return dict(zip(self.labels, (shares / shares.sum()).tolist(), strict=True))

    def _row(self, found: Sequence[Sequence[str]]) -> "_Row":
        """The numbers of a text's known terms, and what each of them counts."""
        numbers: list[int] = []
        values: list[float] = []
        for block in found:
            counts = Counter(self.terms[term] for term in block if term in self.terms)
            mine = [(1 + log(count)) * self.rarity[term] for term, count in counts.items()]
            length = float(np.linalg.norm(mine)) or 1.0
            numbers += counts
            values += [value / length for value in mine]
        return np.array(numbers, np.int32), np.array(values, np.float32)

    def save(self, path: Path) -> None:
        """Write the model to a file of safetensors, with labels and terms beside the numbers."""
        tensors: dict[str, Any] = {
            "rarity": self.rarity,
            "weights": self.weights,
            "bias": self.bias,
            "labels": np.frombuffer(json.dumps(self.labels).encode(), np.uint8),
            "terms": np.frombuffer(json.dumps([*self.terms]).encode(), np.uint8),
        }
        path.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: Path) -> "Classes":
        """What a file holds. Raises `XinyeError` if it is damaged."""
        try:
            found = load_file(path)
            labels, terms = (json.loads(found[name].tobytes()) for name in ("labels", "terms"))
            rarity, weights, bias = (found[name] for name in ("rarity", "weights", "bias"))
            shapes = (len(terms),), (len(terms), len(labels)), (len(labels),)
            if shapes != (rarity.shape, weights.shape, bias.shape):
                raise ValueError("inconsistent")
            return cls(labels, terms, rarity, weights, bias)
        except DAMAGED as error:
            raise damaged(path, error, AGAIN) from None


def blocks(text: str) -> tuple[list[str], list[str]]:
    """The terms of a text: words with pairs of words, and pieces of words. Both count equally."""
    text = unicodedata.normalize("NFKC", text[:CHARACTERS]).casefold()
    found = _WORD.findall(text)
    words = [*found]
    for at, one in enumerate(found):
        words += [f"{one} {other}" for other in found[at + 1 : at + 1 + NEAR]]
    return words, [*_pieces(text.split())]


def _pieces(words: Iterable[str]) -> Iterable[str]:
    for word in words:
        marked = f" {word} "
        for length in range(SHORTEST, LONGEST + 1):
            for at in range(max(1, len(marked) - length + 1)):
                yield f"_{marked[at : at + length]}"
