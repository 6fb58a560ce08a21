"""Probabilities that can be believed: the error, and the weights that make it small."""

import numpy as np
import pytest
from sklearn.metrics import log_loss

from xinye.evaluation.calibration import (
    calibration_error,
    held_out,
    learn_weights,
    weighted,
)
from xinye.evaluation.logits import probabilities

RANDOM = np.random.default_rng(0)
CERTAIN = np.log([[0.9, 0.1]] * 10)
HALF = np.array([[True, False], [False, True]] * 5)


def drawn(count, sure=1.0):
    """Log-odds whose labels are drawn by them, and the same made `sure` times as certain."""
    logits = np.stack([np.zeros(count), 2 * RANDOM.standard_normal(count)], 1)
    has = RANDOM.random(count) < probabilities(logits, False)[:, 1]
    return logits * sure, np.stack([~has, has], 1)


@pytest.mark.parametrize("several", [False, True])
def test_the_error_by_hand(several):
    shares = np.array([[0.9, 0.1]] * 10)
    assert calibration_error(shares, HALF, several) == pytest.approx(0.4)
    right = np.array([[True, False]] * 9 + [[False, True]])
    assert calibration_error(shares, right, several) == pytest.approx(0)


@pytest.mark.parametrize("sure", [0.25, 1.0, 4.0])
def test_a_model_that_is_too_sure_is_scaled_back(sure):
    logits, right = drawn(4000, sure)
    [weight] = learn_weights([logits], right, False)
    assert weight * sure == pytest.approx(1, abs=0.15)
    shares = probabilities(held_out([logits], right, False), False)
    assert calibration_error(shares, right, False) < 0.03


def test_the_better_model_weighs_more_and_the_mix_is_better_than_both():
    truth, right = drawn(4000)
    noise = [np.stack([np.zeros(4000), RANDOM.standard_normal(4000)], 1) for _ in range(2)]
    tables = [truth + 1 * noise[0], truth + 3 * noise[1]]
    weights = learn_weights(tables, right, False)
    assert weights[0] > 2 * weights[1]
    mixed = weighted(tables, weights)
    losses = [
        log_loss(right[:, 1], probabilities(each, False)[:, 1])
        for each in (mixed, *(learn_weights([one], right, False)[0] * one for one in tables))
    ]
    assert losses[0] < losses[1] < losses[2]


def test_noise_gets_next_to_no_weight():
    truth, right = drawn(2000)
    noise = RANDOM.standard_normal(truth.shape)
    assert learn_weights([truth, noise], right, False)[1] < 0.1


def test_few_texts_change_little():
    assert 0.3 < learn_weights([CERTAIN[:1]], HALF[:1], False)[0] < 1
    assert held_out([CERTAIN[:1]], HALF[:1], False).shape == (1, 2)


def test_a_few_texts_that_are_all_right_make_no_weight_large():
    right = np.array([[True, False]] * 10)
    logits = np.where(right, 2.0, 0.0)
    assert 0.5 < learn_weights([logits], right, False)[0] < 0.75
