"""Says what a question is about: the mean of a classifier network and of a linear model of words,
since they err on different questions."""

from collections.abc import Sequence
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from xinye import api
from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled
from xinye.retrieval.confidence import FEWEST, Threshold, thresholds

WORDS = "words.safetensors"  # in the folder of the network


class Intents:
    """The two models of a desk, with the same labels; the second may be missing."""

    def __init__(self, network: api.Model, words: Classes | None = None) -> None:
        self.network, self.words = network, words

    @classmethod
    def of(cls, network: api.Model) -> "Intents":
        """A network, and the model of words that `prepare` saved beside it, if it did. Raises
        `XinyeError` if that file is damaged."""
        path = network.folder / WORDS
        return cls(network, Classes.load(path) if path.exists() else None)

    def probabilities(self, questions: Sequence[str]) -> list[dict[str, float]]:
        """For each question the probability of each intent."""
        found = self.network.classify([*questions]) if questions else []
        shares: list[dict[str, float]] = [result["probabilities"] for result in found]
        if self.words is None:
            return shares
        words = [self.words.probabilities(question) for question in questions]
        return [mean(one, other) for one, other in zip(shares, words, strict=True)]

    def likeliest(self, questions: Sequence[str]) -> list[tuple[str, float]]:
        """For each question the likeliest intent, and its probability."""
        return [max(each.items(), key=itemgetter(1)) for each in self.probabilities(questions)]

    def thresholds(self, asked: Sequence[Labelled]) -> list[Threshold]:
        """From which probability on the likeliest intent has which precision, found on questions
        that the models did not learn from; none of fewer than 20."""
        if len(asked) < FEWEST:
            return []
        found = self.likeliest([each.text for each in asked])
        shares = np.array([share for _, share in found])
        return thresholds(shares, shares, _right(found, asked))

    def accuracy(self, asked: Sequence[Labelled]) -> float | None:
        """The share of the questions whose intent is the likeliest; None without questions."""
        if not asked:
            return None
        return float(_right(self.likeliest([each.text for each in asked]), asked).mean())


def _right(found: Sequence[tuple[str, float]], asked: Sequence[Labelled]) -> NDArray[np.bool_]:
    return np.array([label == each.label for (label, _), each in zip(found, asked, strict=True)])


def mean(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The mean of two probabilities of each label."""
    return {label: (share + other.get(label, 0.0)) / 2 for label, share in one.items()}
