"""Says what a question is about: the mean of a classifier network and of a linear model of words,
since they err on different questions."""

from collections.abc import Sequence

import numpy as np

from xinye import api
from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled, Step
from xinye.retrieval.confidence import FEWEST, thresholds

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

    def likeliest(self, question: str) -> tuple[str, float]:
        """The likeliest intent of a question, and its probability."""
        [shares] = self.probabilities([question])
        label = max(shares, key=shares.__getitem__)
        return label, shares[label]

    def step(self, asked: Sequence[Labelled], precision: float) -> Step:
        """From which probability on the likeliest intent is right with this precision, found on
        questions that the models did not learn from."""
        found = [self.likeliest(each.text) for each in asked]
        right = np.array(
            [label == each.label for (label, _), each in zip(found, asked, strict=True)]
        )
        shares = np.array([share for _, share in found])
        known = thresholds(shares, shares, right) if len(asked) >= FEWEST else []
        reached = next((each for each in known if each.precision >= precision - 1e-9), None)
        return Step(
            threshold=reached.confidence if reached else None,
            answered=reached.answered if reached else 0.0,
            questions=len(asked),
        )

    def accuracy(self, asked: Sequence[Labelled]) -> float | None:
        """The share of the questions whose intent is the likeliest; None without questions."""
        found = self.probabilities([each.text for each in asked])
        right = [
            max(shares, key=shares.__getitem__) == each.label
            for each, shares in zip(asked, found, strict=True)
        ]
        return sum(right) / len(right) if right else None


def mean(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """The mean of two probabilities of each label."""
    return {label: (share + other.get(label, 0.0)) / 2 for label, share in one.items()}
