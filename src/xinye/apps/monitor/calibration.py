"""What probabilities of topics and moods are worth: they are scaled, so that of the texts with a
probability of 80 % four fifths have the label (Platt 1999; Guo et al. 2017)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xinye.apps.monitor.documents import NEUTRAL, UNSURE
from xinye.apps.monitor.monitor_settings import AGAIN
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
BINS = 10
LEAST = 1e-6  # of a probability
SURE = 0.9  # share of the moods that must be right if there are no neutral texts to learn from
UNTESTED = 0.9  # the threshold if that cannot be found

Numbers = NDArray[np.float64]


class Scaling(Strict):
    """A probability p becomes sigmoid(scale × logit(p) + bias), or of several that exclude each
    other softmax(scale × log p). `error` is the mean difference of probability and share then, and
    `error_before` without scaling (expected calibration error, 10 bins); None if the texts were too
    few to learn it."""

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


def calibrated_topics(probabilities: Numbers, has: NDArray[np.bool_]) -> Scaling:
    """The scaling of topics, from their probabilities in texts that were not learned, (texts,
    topics), and whether each text has each topic."""
    from sklearn.linear_model import LogisticRegression

    flat, right = probabilities.ravel(), has.ravel()
    if len(probabilities) < FEWEST or right.all() or not right.any():
        return Scaling()
    learned = LogisticRegression(C=1e6).fit(_logit(flat)[:, None], right)
    scale, bias = float(learned.coef_[0, 0]), float(learned.intercept_[0])
    if scale <= 0:  # the model knows nothing
        return Scaling()
    found = Scaling(scale=scale, bias=bias, texts=len(probabilities))
    errors = {
        "error_before": _error(flat, right),
        "error": _error(_scaled_each(flat, found), right),
    }
    return found.model_copy(update=errors)


def calibrated_moods(
    probabilities: Numbers, right: NDArray[np.int64], moods: Sequence[str]
) -> tuple[Scaling, float]:
    """The scaling of moods, from their probabilities in texts that were not learned, (texts,
    moods), and the number of the right one; and the threshold of `Calibrations`."""
    from scipy.optimize import minimize_scalar

    if len(probabilities) < FEWEST:
        return Scaling(), 0.0 if NEUTRAL in moods else UNTESTED
    rows = np.arange(len(right))

    def loss(scale: float) -> float:
        shares = _scaled_rows(probabilities, Scaling(scale=scale))
        return float(-np.log(np.maximum(shares[rows, right], LEAST)).mean())

    scale = float(minimize_scalar(loss, bounds=(0.05, 20), method="bounded").x)
    found = Scaling(scale=scale, texts=len(right))
    shares = _scaled_rows(probabilities, found)
    said, sure = shares.argmax(1) == right, shares.max(1)
    errors = {
        "error_before": _error(probabilities.max(1), probabilities.argmax(1) == right),
        "error": _error(sure, said),
    }
    found = found.model_copy(update=errors)
    if NEUTRAL in moods:
        return found, 0.0
    reached = [each for each in thresholds(sure, sure, said) if each.precision >= SURE]
    return found, reached[0].confidence if reached else 1.0


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


def _error(probabilities: Numbers, right: NDArray[np.bool_]) -> float:
    """The expected calibration error."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    total = 0.0
    for number in np.unique(bins):
        inside = bins == number
        total += inside.mean() * abs(probabilities[inside].mean() - right[inside].mean())
    return float(total)
