"""Probabilities are scaled until they are worth what they say."""

import numpy as np
import pytest

from xinye.apps.monitor.calibration import (
    UNTESTED,
    Calibrations,
    Scaling,
    calibrated_moods,
    calibrated_topics,
)
from xinye.apps.monitor.documents import NEGATIVE, NEUTRAL, POSITIVE, UNSURE

RANDOM = np.random.default_rng(0)


def test_topics_that_are_too_sure_become_less_sure() -> None:
    real = RANDOM.uniform(0.05, 0.95, (400, 3))
    has = RANDOM.random((400, 3)) < real
    logits = 3 * np.log(real / (1 - real))  # three times too sure
    found = calibrated_topics(1 / (1 + np.exp(-logits)), has)
    assert found.scale == pytest.approx(1 / 3, rel=0.15)
    assert found.error < 0.05 < found.error_before


def test_moods_that_are_too_sure_become_less_sure() -> None:
    real = RANDOM.dirichlet((1, 1, 1), 600)
    right = np.array([RANDOM.choice(3, p=row) for row in real])
    sure = real**3 / (real**3).sum(1, keepdims=True)
    found, threshold = calibrated_moods(sure, right, (NEGATIVE, NEUTRAL, POSITIVE))
    assert found.scale == pytest.approx(1 / 3, rel=0.15)
    assert threshold == 0  # neutral texts were learned


def test_without_neutral_texts_what_is_not_sure_is_unsure() -> None:
    real = RANDOM.uniform(0, 1, 600)
    right = (RANDOM.random(600) < real).astype(int)
    found, threshold = calibrated_moods(
        np.column_stack([1 - real, real]), right, (NEGATIVE, POSITIVE)
    )
    calibrations = Calibrations(mood=found, mood_threshold=threshold)
    assert 0.7 < threshold < 0.95
    assert calibrations.mood_of({NEGATIVE: 0.45, POSITIVE: 0.55})[0] == UNSURE
    assert calibrations.mood_of({NEGATIVE: 0.01, POSITIVE: 0.99})[0] == POSITIVE


def test_too_few_texts_change_nothing() -> None:
    assert calibrated_topics(np.full((5, 2), 0.9), np.ones((5, 2), bool)).scale == 1
    found, threshold = calibrated_moods(
        np.full((5, 2), 0.5), np.zeros(5, int), (NEGATIVE, POSITIVE)
    )
    assert (found.scale, threshold) == (1, UNTESTED)


def test_topics_are_those_likelier_than_not() -> None:
    said = {"价格": 0.6, "物流": 0.9, "门店": 0.2}
    found = Calibrations(topics=Scaling(texts=50)).topics_of(said)
    assert [name for name, _ in found] == ["物流", "价格"]
    assert [share for _, share in found] == pytest.approx([0.9, 0.6])


def test_what_is_not_calibrated_has_no_probability() -> None:
    assert Calibrations().topics_of({"价格": 0.6, "门店": 0.2}) == (("价格", None),)
    assert Calibrations().mood_of({NEGATIVE: 0.99, POSITIVE: 0.01}) == (NEGATIVE, None)


def test_few_texts_and_a_model_that_is_much_too_sure_do_not_run_to_a_limit() -> None:
    """Of 25 moods that are said with 99.99 %, 18 are right."""
    shares = np.full((25, 3), 0.00005)
    shares[np.arange(25), np.arange(25) % 3] = 0.9999
    right = np.where(np.arange(25) < 18, np.arange(25) % 3, (np.arange(25) + 1) % 3)
    found, _ = calibrated_moods(shares, right, (NEGATIVE, NEUTRAL, POSITIVE))
    assert 0.05 < found.scale < 0.5 and found.error < found.error_before / 2
    assert Calibrations(mood=found).mood_of(dict(zip("abc", shares[0], strict=True)))[1] < 0.9


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_knows_nothing_is_not_calibrated_to_be_sure(seed: int) -> None:
    random = np.random.default_rng(seed)
    shares = random.dirichlet((0.2, 0.2, 0.2), 30)
    found, _ = calibrated_moods(shares, random.integers(0, 3, 30), (NEGATIVE, NEUTRAL, POSITIVE))
    assert found.scale < 0.5 or not found.texts
    topics = calibrated_topics(random.beta(0.2, 0.2, (30, 4)), random.random((30, 4)) < 0.2)
    assert topics.scale < 0.5 or not topics.texts


def test_what_is_right_already_stays_nearly_as_it_is() -> None:
    random = np.random.default_rng(1)
    real = random.beta(0.3, 0.3, (200, 5))
    found = calibrated_topics(real, random.random((200, 5)) < real)
    assert found.texts == 200 and found.scale == pytest.approx(1, rel=0.15)
    assert found.error < 0.05


def test_an_unsure_threshold_without_a_calibration_is_not_all_or_nothing() -> None:
    shares = np.column_stack([np.full(30, 0.4), np.full(30, 0.6)])
    _, threshold = calibrated_moods(shares, np.arange(30) % 2, (NEGATIVE, POSITIVE))
    assert threshold == UNTESTED
