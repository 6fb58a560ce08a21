"""Probabilities that can be believed: of the texts with a probability of 80 %, four fifths have the
label. A model's logits are scaled for that (temperature scaling, Guo et al. 2017), or the scaled
logits of several models are added up, each with a weight (stacking, Wolpert 1992)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xinye.evaluation.logits import Bools, Numbers, log_losses

BINS = 10
FOLDS = 5  # of a cross-validation
LOWEST, HIGHEST = 0.01, 20.0  # of a weight
# Before anything is seen, the log of a weight is normally distributed around this one: networks are
# usually too sure. Its standard deviation is smaller upwards, because a few texts of which all are
# right would make a weight as large as one likes.
EXPECTED, DOWNWARDS, UPWARDS = 0.5, 1.0, 0.3


def learn_weights(logits: Sequence[Numbers], right: Bools, several: bool) -> list[float]:
    """A weight for the logits of each model, (texts, labels), from texts that none of them has
    learned: the most probable ones. `right` says which text has which label; `several` whether a
    text may have more than one."""
    from scipy.optimize import minimize

    def loss(logs: Numbers) -> float:
        away = logs - np.log(EXPECTED)
        unlikely = np.square(away / np.where(away > 0, UPWARDS, DOWNWARDS)).sum() / 2
        losses = log_losses(weighted(logits, np.exp(logs)), right, several)
        return float(losses.sum() + unlikely)

    begin = np.full(len(logits), np.log(EXPECTED))
    bounds = [(np.log(LOWEST), np.log(HIGHEST))] * len(logits)
    found = minimize(loss, begin, method="L-BFGS-B", bounds=bounds).x
    return [round(float(weight), 4) for weight in np.exp(found)]


def weighted(logits: Sequence[Numbers], weights: Sequence[float] | Numbers) -> Numbers:
    """The sum of the models' logits by their weights."""
    pairs = zip(logits, weights, strict=True)
    return np.asarray(sum(each * weight for each, weight in pairs))


def held_out(
    logits: Sequence[Numbers], right: Bools, several: bool, known: Bools | None = None
) -> Numbers:
    """Weighted logits, each with the weights that were learned from other texts
    (cross-validation), so that no text has a part in how it is judged itself. `known` says from
    which texts weights may be learned; without it from all."""
    part = parts_of(len(right))
    mixed = np.empty_like(logits[0])
    for number in np.unique(part):
        out = part == number
        rest = ~out if known is None else ~out & known
        weights = learn_weights([each[rest] for each in logits], right[rest], several)
        mixed[out] = weighted([each[out] for each in logits], weights)
    return mixed


def parts_of(count: int) -> NDArray[np.int64]:
    """For each of `count` texts the number of its part in a cross-validation."""
    return np.random.default_rng(0).permutation(count) % max(1, min(FOLDS, count))


def calibration_error(shares: Numbers, right: Bools, several: bool) -> float:
    """The expected calibration error (Naeini et al. 2015): the mean difference between the
    probability of the likeliest label and the share of the texts that have it, over ten bins of
    probabilities; with several labels, over the probabilities of all labels."""
    if several:
        return binned_error(shares.ravel(), right.ravel())
    rows = np.arange(len(shares))
    return binned_error(shares.max(1), right[rows, shares.argmax(1)])


def binned_error(said: Numbers, right: Bools) -> float:
    """The mean difference between probabilities and the shares that are right, over ten bins."""
    bins = np.minimum((said * BINS).astype(int), BINS - 1)
    total = 0.0
    for number in np.unique(bins):
        inside = bins == number
        total += inside.mean() * abs(said[inside].mean() - right[inside].mean())
    return float(total)
