"""Says what a question is about: the mean of a classifier network and of a linear model of words,
since they err on different questions."""

from collections.abc import Sequence
from pathlib import Path

from xinye import api
from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled

WORDS = "words.safetensors"  # in the folder of the network


class Intents:
    """The two models of a desk, with the same labels."""

    def __init__(self, network: api.Model, words: Classes) -> None:
        self.network, self.words = network, words

    @classmethod
    def load(cls, folder: Path) -> "Intents":
        """The models that `prepare` saved in a folder. Raises `XinyeError` if a file is damaged."""
        return cls(api.load(folder), Classes.load(folder / WORDS))

    def probabilities(self, questions: Sequence[str]) -> list[dict[str, float]]:
        """For each question the probability of each intent."""
        found = self.network.classify([*questions]) if questions else []
        return [
            mean(result["probabilities"], self.words.probabilities(question))
            for question, result in zip(questions, found, strict=True)
        ]

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
