"""Features of items' texts: TF-IDF of their terms, reduced by a singular value decomposition."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from xinye.data.scripts import HAN, is_han
from xinye.ranking.items import Item

WIDTH = 256  # features at most
RAREST = 2  # a term is known if it occurs in this many items

_RUN = re.compile(rf"[{HAN}]+|[^\W_{HAN}]+")


def item_terms(item: Item) -> list[str]:
    """The terms of an item: its words, of Han text each character and each pair of neighbours, and
    its tags as a whole.

    >>> item_terms(Item("1", "Blade Runner", tags=("Sci-Fi",)))
    ['blade', 'runner', '#sci-fi']
    """
    found: list[str] = []
    text = unicodedata.normalize("NFKC", f"{item.title}\n{item.text}").casefold()
    for run in _RUN.findall(text):
        if is_han(run):
            found += run
            found += [run[at : at + 2] for at in range(len(run) - 1)]
        else:
            found.append(run)
    return found + [f"#{tag.strip().casefold()}" for tag in item.tags]


@dataclass(frozen=True)
class ItemTexts:
    """What turns an item's text into features: `weights` (T,) are the inverse document frequencies
    of the terms, `basis` (T, F) has the singular vectors (Deerwester et al. 1990, "Indexing by
    latent semantic analysis")."""

    terms: tuple[str, ...]
    weights: np.ndarray
    basis: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, items: Sequence[Item], width: int = WIDTH) -> Self:
        from sklearn.utils.extmath import randomized_svd

        counted = [Counter(item_terms(item)) for item in items]
        documents = Counter(term for terms in counted for term in terms)
        terms = sorted(term for term, count in documents.items() if count >= RAREST)
        weights = np.log((1 + len(items)) / (1 + np.array([documents[t] for t in terms]))) + 1
        fitted = cls(tuple(terms), weights.astype(np.float32), np.empty(0), np.empty(0))
        matrix = fitted._matrix(items)
        width = min(width, len(terms), len(items))
        _, values, basis = randomized_svd(matrix, width, random_state=0)
        basis = basis.T.astype(np.float32)
        features = matrix @ basis
        scale = 1 / np.maximum(features.std(axis=0), 1e-6)
        return cls(tuple(terms), fitted.weights, basis, scale.astype(np.float32))

    def _matrix(self, items: Sequence[Item]) -> Any:
        from scipy.sparse import csr_matrix

        number = {term: i for i, term in enumerate(self.terms)}
        data, columns, starts = [], [], [0]
        for item in items:
            counts = Counter(number[t] for t in item_terms(item) if t in number)
            row = np.array(list(counts))
            values = (
                (1 + np.log(np.array(list(counts.values())))) * self.weights[row]
                if counts
                else np.empty(0)
            )
            data.append(values / max(1e-9, np.linalg.norm(values)))
            columns.append(row.astype(np.int64))
            starts.append(starts[-1] + len(row))
        return csr_matrix(
            (np.concatenate(data).astype(np.float32), np.concatenate(columns), starts),
            (len(items), len(self.terms)),
        )

    def features(self, items: Sequence[Item]) -> np.ndarray:
        return np.asarray(self._matrix(items) @ self.basis, np.float32)
