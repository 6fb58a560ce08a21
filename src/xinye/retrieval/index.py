"""Scores passages for a question: BM25 (Robertson and Zaragoza 2009), computed by `bm25s`."""

import json
from collections.abc import Mapping, Sequence
from math import log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from xinye.retrieval.format import damaged
from xinye.retrieval.manifest import AGAIN
from xinye.retrieval.terms import index_terms

DAMAGED = (OSError, SafetensorError, LookupError, ValueError, TypeError, RecursionError)
Scores = NDArray[np.float32]


def inverse_frequency(passages: int, having: int) -> float:
    """How much a term counts that so many of the passages have, as Lucene computes it."""
    return log(1 + (passages - having + 0.5) / (having + 0.5))


def rarity_of(question: str, indexes: Sequence["Index"]) -> dict[str, float]:
    """How much each term of a question counts among the passages of all these indexes. One that
    is repeated counts once: it says no more in a long question, which people ramble in."""
    passages = sum(index.size for index in indexes)
    return {
        term: inverse_frequency(passages, sum(index.count(term) for index in indexes))
        for term in dict.fromkeys(index_terms(question))
    }


class Index:
    """The index of some passages: how much each term counts in each passage that has it.

    `weights` are those numbers, by term; `passages` the passages that they belong to; and
    `starts` where each term's begin.
    """

    def __init__(
        self,
        vocabulary: dict[str, int],
        weights: NDArray[np.float32],
        passages: NDArray[np.int32],
        starts: NDArray[np.int64],
        size: int,
    ) -> None:
        self.vocabulary, self.weights, self.passages = vocabulary, weights, passages
        self.starts, self.size = starts, size

    @classmethod
    def of(cls, texts: Sequence[str]) -> "Index":
        """The index of these texts."""
        from bm25s import BM25

        vocabulary: dict[str, int] = {}
        numbers = [
            np.array(
                [vocabulary.setdefault(term, len(vocabulary)) for term in index_terms(text)],
                np.int32,
            )
            for text in texts
        ]
        if not vocabulary:
            empty = np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(1, np.int64)
            return cls({}, *empty, len(texts))
        scorer = BM25()
        scorer.index((numbers, dict(vocabulary)), create_empty_token=False, show_progress=False)
        found = scorer.scores
        return cls(
            vocabulary,
            np.asarray(found["data"], np.float32),
            np.asarray(found["indices"], np.int32),
            np.asarray(found["indptr"], np.int64),
            len(texts),
        )

    def count(self, term: str) -> int:
        """How many passages have a term."""
        own = self._of(term)
        return int(own.stop - own.start)

    def scores(self, rarity: Mapping[str, float], matching: str = "bm25") -> Scores:
        """How well each passage matches the terms of a question, of shape (passages,): by BM25, or
        by the number of terms that both have. `rarity` is how much each term counts among all
        passages of the base, of which the index may have only some."""
        total = np.zeros(self.size, np.float32)
        for term, weight in rarity.items():
            own = self._of(term)
            if own.stop > own.start:
                here = inverse_frequency(self.size, own.stop - own.start)
                weights = self.weights[own] * (weight / here)
                total[self.passages[own]] += weights if matching == "bm25" else 1
        return total

    def _of(self, term: str) -> slice:
        number = self.vocabulary.get(term)
        return slice(0, 0) if number is None else slice(*self.starts[number : number + 2].tolist())

    def save(self, path: Path) -> None:
        """Write the index to a file of safetensors, with the terms beside the numbers."""
        terms_in_order = json.dumps([*self.vocabulary], ensure_ascii=False).encode()
        tensors: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "passages": self.passages,
            "starts": self.starts,
            "terms": np.frombuffer(terms_in_order, np.uint8),
        }
        path.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: Path, size: int) -> "Index":
        """The index of so many passages that a file holds. Raises `XinyeError` if it is damaged."""
        try:
            found = load_file(path)
            vocabulary = {
                term: number for number, term in enumerate(json.loads(found["terms"].tobytes()))
            }
            index = cls(vocabulary, found["weights"], found["passages"], found["starts"], size)
            index._check()
        except DAMAGED as error:
            raise damaged(path, error, AGAIN) from None
        return index

    def _check(self) -> None:
        """Raises `ValueError` if a number of the index points outside of it."""
        starts, passages, weights = self.starts, self.passages, self.weights
        kinds = (starts.dtype, passages.dtype, weights.dtype)
        if kinds != (np.int64, np.int32, np.float32) or not len(starts):
            raise ValueError("inconsistent")
        flat = starts.ndim == passages.ndim == weights.ndim == 1
        ordered = len(starts) == len(self.vocabulary) + 1 and np.all(starts[1:] >= starts[:-1])
        fits = len(passages) == len(weights) == starts[-1] and starts[0] == 0
        inside = not len(passages) or (passages.min() >= 0 and passages.max() < self.size)
        if not (flat and ordered and fits and inside and np.all(np.isfinite(weights))):
            raise ValueError("inconsistent")
