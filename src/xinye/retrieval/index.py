"""Scores passages for a question: BM25 (Robertson and Zaragoza 2009), computed by `bm25s`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from xinye.errors import XinyeError
from xinye.retrieval.manifest import AGAIN
from xinye.retrieval.terms import terms

Scores = NDArray[np.float32]
Matching = Literal["bm25", "shared terms"]


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
                [vocabulary.setdefault(term, len(vocabulary)) for term in terms(text)], np.int32
            )
            for text in texts
        ]
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

    def scores(self, question: str, matching: Matching = "bm25") -> Scores:
        """How well each passage matches the question, of shape (passages,): by BM25, or by the
        number of terms that both have."""
        total = np.zeros(self.size, np.float32)
        for term in terms(question):
            number = self.vocabulary.get(term)
            if number is not None:
                own = slice(self.starts[number], self.starts[number + 1])
                total[self.passages[own]] += self.weights[own] if matching == "bm25" else 1
        return total

    def save(self, path: Path) -> None:
        """Write the index to a file of safetensors, with the terms beside the numbers."""
        terms_in_order = json.dumps([*self.vocabulary], ensure_ascii=False).encode()
        tensors: dict[str, NDArray[Any]] = {
            "weights": self.weights,
            "passages": self.passages,
            "starts": self.starts,
            "terms": np.frombuffer(terms_in_order, np.uint8),
        }
        save_file(tensors, path, {"size": str(self.size)})

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
        except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
            what = " ".join(str(error).split())[:200]
            raise XinyeError(
                f"{path}: damaged file ({what}); {AGAIN}"
            ) from None
        return index

    def _check(self) -> None:
        """Raises `ValueError` if a number of the index points outside of it."""
        starts, passages = self.starts, self.passages
        ordered = len(starts) == len(self.vocabulary) + 1 and np.all(starts[1:] >= starts[:-1])
        fits = len(passages) == len(self.weights) == starts[-1] and starts[0] == 0
        inside = not len(passages) or (passages.min() >= 0 and passages.max() < self.size)
        if not (ordered and fits and inside):
            raise ValueError("inconsistent")
