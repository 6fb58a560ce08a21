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
from xinye.evaluation.calibration import held_out, learn_weights, weighted
from xinye.evaluation.word_counts import Bools, Numbers, WordCounts, log_loss
from xinye.ranking.tensor_files import DAMAGE

CALIBRATION, COUNTS = "calibration.json", "word_counts.safetensors"  # in the run's folder
ALONE = "the GPT alone"
HIGHEST = 1e3  # of a weight that is read


@dataclass(frozen=True)
class Mix:
    """The weights of the logits of the network and, if there is a model of word counts, of its
    log-probabilities."""

    weights: tuple[float, ...]
    counts: WordCounts | None = None

    @classmethod
    def learn(
        cls, tables: Sequence[Numbers], right: Bools, several: bool, counts: WordCounts | None
    ) -> tuple[Self, Numbers]:
        """Learn the weights from logits of validation texts. Returns the mix, and the logits that
        it gives these texts if it learns only from others of them. Word counts with which the loss
        of these logits is no lower are left out."""
        mixed = held_out(tables, right, several)
        if counts:
            alone = held_out(tables[:1], right, several)
            if log_loss(mixed, right, several) >= log_loss(alone, right, several):
                counts, tables, mixed = None, tables[:1], alone
        return cls(tuple(learn_weights(tables, right, several)), counts), mixed

    def __call__(self, network: Numbers, texts: Sequence[str], labels: Sequence[str]) -> Numbers:
        """The mixed logits of texts, from those of the network; (texts, labels)."""
        others = [self.counts.logits(texts, labels)] if self.counts else []
        return weighted([network, *others], self.weights)

    def save(self, folder: Path) -> None:
        """Write the model of word counts, and then the weights, by which a reader begins."""
        if self.counts:
            self.counts.save(folder / COUNTS)
        names = ("network", "word_counts")[: len(self.weights)]
        write_json(folder / CALIBRATION, {"weights": dict(zip(names, self.weights, strict=True))})

    @classmethod
    def load(cls, folder: Path, labels: Sequence[str], several: bool) -> Self | None:
        """The mix in a run's folder; None if its training has not come to the end. Raises
        `XinyeError` if it is damaged or belongs to another network."""
        path = folder / CALIBRATION
        if not os.path.lexists(path):
            return None
        try:
            saved = read_json(path)["weights"]
            names = ("network", "word_counts") if "word_counts" in saved else ("network",)
            weights = tuple(float(saved[name]) for name in names)
            if not all(0 < weight < HIGHEST for weight in weights):
                raise ValueError("a weight is out of range")
        except DAMAGE as error:
            raise XinyeError(f"{path}: damaged file ({error}); train the run again") from None
        if len(weights) == 1:
            return cls(weights)
        counts = WordCounts.load(folder / COUNTS)
        if not {*counts.labels} <= {*labels} or counts.several != several:
            raise XinyeError(
                f"{folder / COUNTS}: it has other labels than the network; train the run again"
            )
        return cls(weights, counts)


@dataclass(frozen=True)
class Gain:
    """A difference of two accuracies on the same records, with its 95 % interval."""

    mean: float
    interval: float

    @classmethod
    def of(cls, one: Bools, other: Bools) -> "Gain":
        """By how much more often `one` is right; both say of which of two or more records they
        are."""
        difference = one.astype(float) - other
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        return cls(float(difference.mean()), float(1.96 * error))

    def __str__(self) -> str:
        return f"{100 * self.mean:+.1f} ± {100 * self.interval:.1f}"


def left_out(count: int) -> str:
    """A sentence about word counts that are no part of the mix."""
    records = plural(count, "validation record")
    return f"the word counts were left out: mixed with the GPT, they gain nothing on {records}"


def compared(
    mix: Mix, count: int, gains: tuple[Gain, Gain] | None, errors: tuple[float, float]
) -> list[str]:
    """Sentences about what each part adds to the mix, and about its probabilities, on `count`
    validation records. `gains` are those over the word counts and over the network; `errors` the
    calibration errors of the network before and of the whole after."""
    records = plural(count, "validation record")
    before, after = (f"{error:.1%}" for error in errors)
    found = []
    if mix.counts:
        network, counts = mix.weights
        found.append(
            f"the model is a mix: {network:.2f} × the logits of the GPT + {counts:.2f} × those of "
            f"the word counts, weights learned on {records}"
        )
    if gains:
        adds, added = gains
        found.append(
            f"the GPT adds {adds} points of accuracy to the word counts, the word counts add "
            f"{added} points to the GPT (95 % intervals, paired by records)"
        )
    return [
        *found,
        f"probabilities are calibrated on {records}: they differ by {after} from the share that "
        f"is right (expected calibration error), those of the GPT alone by {before}",
    ]
