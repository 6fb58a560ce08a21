"""Probabilities and losses from a classifier's logits, (texts, labels): log-probabilities up to a
constant, or where a text may have several labels the log-odds of each."""

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Bools = NDArray[np.bool_]


def probabilities(logits: Numbers, several: bool) -> Numbers:
    """The probability of each label, (texts, labels)."""
    if several:
        return 1 / (1 + np.exp(-np.clip(logits, -100, 100)))
    return np.exp(log_softmax(logits))


def log_softmax(logits: Numbers) -> Numbers:
    """Log-probabilities from logits, (texts, labels)."""
    logits = logits - logits.max(1, keepdims=True)
    normalized: Numbers = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return normalized


def log_losses(logits: Numbers, right: Bools, several: bool) -> Numbers:
    """The negative log-likelihood in nats of each text's label, or of several labels the mean over
    them."""
    if several:
        return np.asarray(np.logaddexp(0, np.where(right, -logits, logits)).mean(1))
    return -log_softmax(logits)[right]


def log_loss(logits: Numbers, right: Bools, several: bool) -> float:
    """The mean of these losses; 0 without texts."""
    losses = log_losses(logits, right, several)
    return float(losses.mean()) if losses.size else 0.0
