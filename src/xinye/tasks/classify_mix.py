"""What a classifier learns beside its network, at the end of its training: weights that calibrate
its probabilities, and mix them with those of word counts."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from xinye.data.files import read_json, write_json
from xinye.errors import XinyeError, plural
from xinye.evaluation.calibration import HIGHEST, held_out, learn_weights, weighted
from xinye.evaluation.logits import Bools, Numbers, log_losses
from xinye.evaluation.word_counts import UNLIKELY, WordCounts
from xinye.ranking.tensor_files import DAMAGE

CALIBRATION, COUNTS = "calibration.json", "word_counts.safetensors"  # in the run's folder
PARTS = NETWORK, WORDS = "network", "word_counts"  # of a mix
FEWEST = 6  # records that must differ before a sign test can tell two models apart (2 / 2⁶ < 5 %)
MANY = 300  # validation records from which on the calibration error is more than chance


@dataclass(frozen=True)
class Mix:
    """The weights of the logits of the network and of the log-probabilities of the word counts, by
    the names of these parts. A part without a weight was left out."""

    weights: dict[str, float]
    counts: WordCounts | None = None

    @property
    def has_network(self) -> bool:
        return NETWORK in self.weights

    @classmethod
    def learn(
        cls, tables: dict[str, Numbers], right: Bools, several: bool, counts: WordCounts | None
    ) -> tuple[Self, Numbers]:
        """Learn the weights from logits of validation texts, by part. Returns the mix, and the
        logits that it gives these texts if it learns only from others of them. A part is left out
        if these logits are better without it: if their mean loss is lower by more than the standard
        error of the difference. Texts with a label that the word counts have never seen tell
        nothing about the weights."""
        known: Bools = np.ones(len(right), bool)
        if WORDS in tables:
            unseen = (tables[WORDS] <= UNLIKELY).all(0)
            known = np.logical_not(right[:, unseen].any(1))
        mixed = held_out([*tables.values()], right, several, known)
        losses, kept, gained = log_losses(mixed, right, several), tables, 0.0
        for part, table in tables.items():
            alone = held_out([table], right, several, known)
            gain = (losses - log_losses(alone, right, several))[known]
            error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
            if len(gain) and gain.mean() > max(gained, error):
                kept, mixed, gained = {part: table}, alone, gain.mean()
        weights = learn_weights([each[known] for each in kept.values()], right[known], several)
        found = dict(zip(kept, weights, strict=True))
        return cls(found, counts if WORDS in found else None), mixed

    def __call__(self, network: Numbers, texts: Sequence[str], labels: Sequence[str]) -> Numbers:
        """The mixed logits of texts, from those of the network; (texts, labels)."""
        tables = {NETWORK: network}
        if self.counts:
            tables[WORDS] = self.counts.logits(texts, labels)
        return self.together(tables)

    def together(self, tables: dict[str, Numbers]) -> Numbers:
        """The mixed logits, from those of each part."""
        return weighted([tables[part] for part in self.weights], [*self.weights.values()])

    def save(self, folder: Path) -> None:
        """Write the model of word counts, and then the weights, by which a reader begins."""
        if self.counts:
            self.counts.save(folder / COUNTS)
        write_json(folder / CALIBRATION, {"weights": self.weights})

    @classmethod
    def load(cls, folder: Path, labels: Sequence[str], several: bool) -> Self | None:
        """The mix in a run's folder; None if its training has not come to the end. Raises
        `XinyeError` if it is damaged or belongs to another network."""
        path = folder / CALIBRATION
        if not os.path.lexists(path):
            return None
        try:
            saved = read_json(path)["weights"]
            weights = {part: float(saved[part]) for part in PARTS if part in saved}
            if not weights or not all(0 < weight <= HIGHEST for weight in weights.values()):
                raise ValueError("a weight is out of range")
        except DAMAGE as error:
            raise XinyeError(f"{path}: damaged file ({error}); train the run again") from None
        if WORDS not in weights:
            return cls(weights)
        counts = WordCounts.load(folder / COUNTS)
        if not {*counts.labels} <= {*labels} or counts.several != several:
            raise XinyeError(
                f"{folder / COUNTS}: it has other labels than the network; train the run again"
            )
        return cls(weights, counts)


@dataclass(frozen=True)
class Gain:
    """A difference of two accuracies on the same records, with half its 95 % interval."""

    mean: float
    interval: float

    @classmethod
    def of(cls, one: Bools, other: Bools) -> "Gain":
        """By how much more often `one` is right; both say of which records they are."""
        difference = one.astype(float) - other
        better, worse = (np.sum(difference == sign) for sign in (1, -1))
        # Half a record more in each cell of the table of both (Agresti and Min 2005), so that the
        # interval is not 0 where the two agree.
        count, differ, by = len(difference) + 2, better + worse + 1, better - worse
        error = np.sqrt(differ - by**2 / count) / count
        mean, interval = float(difference.mean()), float(1.96 * error)
        if better + worse < FEWEST:
            interval = max(interval, abs(mean))
        return cls(mean, interval)

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.interval:.1f}"


def left_out_sentence(part: str, count: int) -> str:
    """A sentence about a part that was left out."""
    records = plural(count, "validation record")
    if part == WORDS:
        return f"the word counts were left out: mixed with the GPT, they make it worse on {records}"
    return f"the GPT was left out: mixed with the word counts, it makes them worse on {records}"


def mix_sentences(mix: Mix, count: int, over_words: Gain, over_network: Gain) -> list[str]:
    """Sentences about what both parts add to each other, on `count` validation records."""
    network, words = (mix.weights[part] for part in PARTS)
    return [
        f"the model is a mix: {network:.2f} × the logits of the GPT + {words:.2f} × those of the "
        f"word counts, weights learned on {plural(count, 'validation record')}",
        f"the GPT adds {over_words} points of accuracy to the word counts, the word counts add "
        f"{over_network} points to the GPT (95 % intervals, paired by records)",
    ]


def calibration_sentence(count: int, error: float, of_network: float) -> str:
    """A sentence about the calibration errors of the model, and of its network."""
    few = "; so few records say little about probabilities" if count < MANY else ""
    return (
        f"on {plural(count, 'validation record')} the probabilities differ by {error:.1%} from the "
        "share that is right (expected calibration error), those of the GPT alone, which are not "
        f"calibrated, by {of_network:.1%}{few}"
    )
