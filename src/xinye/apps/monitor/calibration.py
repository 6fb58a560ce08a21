"""What probabilities of topics and moods are worth: they are scaled, so that of the texts with a
probability of 80 % four fifths have the label (Platt 1999; Guo et al. 2017)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xinye.apps.monitor.documents import NEUTRAL, UNSURE
from xinye.apps.monitor.monitor_settings import AGAIN
from xinye.evaluation.calibration import binned_error
from xinye.retrieval.confidence import FEWEST, thresholds
from xinye.retrieval.format import Format, Strict

FILE = "calibration.json"
KIND, VERSION = "xinye monitor calibration", 1
FORMAT = Format(
    KIND,
    VERSION,
    "this is not the calibration of a monitor",
    AGAIN,
)
LEAST = 1e-6  # of a probability
SURE = 0.9  # share of the moods that must be right if there are no neutral texts to learn from
UNTESTED = 0.9  # the threshold if that cannot be found
LOWEST, HIGHEST = 0.05, 20  # of a scale; at these ends, nothing was learned
RIGHT = 0.05  # error up to which probabilities need no scaling, and
CHANCE = 0.9  # the quantile of errors that right probabilities have by chance on so many texts
DRAWS = 200
FOLDS = 5  # of the cross-validation

Numbers = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Scaling(Strict):
    """A probability p becomes sigmoid(scale × logit(p) + bias), or of several that exclude each
    other softmax(scale × log p). `error` is the mean difference of probability and share then, on
    texts that the scaling was not learned from, and `error_before` without scaling (expected
    calibration error, 10 bins). Both are None if nothing is calibrated, because the texts were too
    few or scaling did not help."""

    scale: float = Field(1.0, gt=0)
    bias: float = 0.0
    texts: int = Field(0, ge=0)  # that it was learned from; 0 if nothing is calibrated
    error_before: float | None = None
    error: float | None = None


class Calibrations(Strict):
    """Those of topics and moods. `mood_threshold` is the probability from which on a mood is said:
    0 if neutral texts were learned; else what is below is "unsure"."""

    kind: str = KIND
    version: int = VERSION
    topics: Scaling = Scaling()
    mood: Scaling = Scaling()
    mood_threshold: float = Field(0.0, ge=0, le=1)

    def topics_of(self, probabilities: Mapping[str, float]) -> tuple[tuple[str, float | None], ...]:
        """The topics that are likelier than not, the likeliest first. Their probabilities are None
        if they are not calibrated, since they would say nothing."""
        shares = _scaled_each(np.array([*probabilities.values()]), self.topics)
        found = zip(probabilities, shares.tolist(), strict=True)
        likely = sorted(((name, p) for name, p in found if p >= 0.5), key=lambda it: -it[1])
        return tuple((name, p if self.topics.texts else None) for name, p in likely)

    def mood_of(self, probabilities: Mapping[str, float]) -> tuple[str, float | None]:
        """The likeliest mood and its probability, None if that is not calibrated; "unsure" for one
        below the threshold."""
        shares = _scaled_rows(np.array([[*probabilities.values()]]), self.mood)[0]
        at = int(shares.argmax())
        probability = float(shares[at])
        mood = [*probabilities][at]
        said = mood if probability >= self.mood_threshold else UNSURE
        return said, probability if self.mood.texts else None


def calibrated_topics(probabilities: Numbers, has: Bools) -> Scaling:
    """The scaling of topics, from their probabilities in texts that were not learned, (texts,
    topics), and whether each text has each topic."""
    return _calibrated(TOPICS, probabilities, has)


def calibrated_moods(
    probabilities: Numbers, right: NDArray[np.int64], moods: Sequence[str]
) -> tuple[Scaling, float]:
    """The scaling of moods, from their probabilities in texts that were not learned, (texts,
    moods), and the number of the right one; and the threshold of `Calibrations`."""
    found = _calibrated(MOODS, probabilities, np.eye(len(moods), dtype=bool)[right])
    if NEUTRAL in moods:
        return found, 0.0
    if len(probabilities) < FEWEST:
        return found, UNTESTED
    shares = _scaled_rows(probabilities, found)
    sure, said = shares.max(1), shares.argmax(1) == right
    reached = [each for each in thresholds(sure, sure, said) if each.precision >= SURE]
    return found, reached[0].confidence if reached else UNTESTED


@dataclass(frozen=True)
class _Kind:
    """How probabilities of a kind are scaled. `loss` is the sum of the negative log likelihoods of
    the right labels, and `said` has the probabilities that count, with whether each is right."""

    scaled: Callable[[Numbers, Scaling], Numbers]
    loss: Callable[[Numbers, Bools, Scaling], float]
    said: Callable[[Numbers, Bools], tuple[Numbers, Bools]]


def _calibrated(kind: _Kind, probabilities: Numbers, right: Bools) -> Scaling:
    """The scaling if it lowers the loss and the error on texts that it was not learned from
    (cross-validation); a scale of 1 if probabilities are as right as those of so few texts can be.
    Else nothing is calibrated."""
    texts = len(probabilities)
    if texts < FEWEST or right.all() or not right.any():
        return Scaling()
    before = binned_error(*kind.said(probabilities, right))
    learned = _fitted(kind, probabilities, right)
    held_out, loss = _held_out(kind, probabilities, right)
    error = binned_error(*kind.said(held_out, right))
    within = LOWEST < learned.scale < HIGHEST
    if within and error <= before and loss < kind.loss(probabilities, right, Scaling()):
        return learned.model_copy(update={"texts": texts, "error_before": before, "error": error})
    if before <= max(RIGHT, _by_chance(kind.said(probabilities, right)[0])):
        return Scaling(texts=texts, error_before=before, error=before)
    return Scaling()


def _by_chance(said: Numbers) -> float:
    """The error that right probabilities have by chance, at most, in nine of ten cases."""
    random = np.random.default_rng(0)
    errors = [binned_error(said, random.random(len(said)) < said) for _ in range(DRAWS)]
    return float(np.quantile(errors, CHANCE))


def _held_out(kind: _Kind, probabilities: Numbers, right: Bools) -> tuple[Numbers, float]:
    """Scaled probabilities, each by what was learned from other texts, and their loss."""
    part = np.random.default_rng(0).permutation(len(probabilities)) % FOLDS
    scaled, loss = np.empty_like(probabilities), 0.0
    for number in range(FOLDS):
        out = part == number
        learned = _fitted(kind, probabilities[~out], right[~out])
        scaled[out] = kind.scaled(probabilities[out], learned)
        loss += kind.loss(probabilities[out], right[out], learned)
    return scaled, loss


def _fitted(kind: _Kind, probabilities: Numbers, right: Bools) -> Scaling:
    """The most probable scaling, if the log of the scale and the bias are normally distributed
    before anything is seen. So few texts change little."""
    from scipy.optimize import minimize

    def scaling(at: Numbers) -> Scaling:
        return Scaling(scale=float(np.exp(at[0])), bias=float(at[1]))

    def loss(at: Numbers) -> float:
        return kind.loss(probabilities, right, scaling(at)) + float(at @ at) / 2

    bounds = [(np.log(LOWEST), np.log(HIGHEST)), (-5, 5)]
    return scaling(np.round(minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=bounds).x, 6))


def _logit(probabilities: Numbers) -> Numbers:
    clipped = np.clip(probabilities, LEAST, 1 - LEAST)
    return np.log(clipped / (1 - clipped))


def _scaled_each(probabilities: Numbers, scaling: Scaling) -> Numbers:
    if scaling == Scaling():
        return probabilities
    logits = scaling.scale * _logit(probabilities) + scaling.bias
    return 1 / (1 + np.exp(-logits))


def _scaled_rows(probabilities: Numbers, scaling: Scaling) -> Numbers:
    logits = scaling.scale * np.log(np.maximum(probabilities, LEAST))
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def _loss_each(probabilities: Numbers, right: Bools, scaling: Scaling) -> float:
    logits = scaling.scale * _logit(probabilities) + scaling.bias
    return float(np.logaddexp(0, np.where(right, -logits, logits)).sum())


def _loss_rows(probabilities: Numbers, right: Bools, scaling: Scaling) -> float:
    logits = scaling.scale * np.log(np.maximum(probabilities, LEAST))
    return float(np.logaddexp.reduce(logits, axis=1).sum() - logits[right].sum())


def _said_rows(probabilities: Numbers, right: Bools) -> tuple[Numbers, Bools]:
    rows = np.arange(len(right))
    return probabilities.max(1), right[rows, probabilities.argmax(1)]


TOPICS = _Kind(_scaled_each, _loss_each, lambda shares, right: (shares.ravel(), right.ravel()))
MOODS = _Kind(_scaled_rows, _loss_rows, _said_rows)
