"""What figures on few texts are worth."""

import numpy as np
import pytest
from scipy.stats import binomtest

from xinye.apps.chance import likely_mean, likely_share, luck


def accuracy(sums: np.ndarray) -> np.ndarray:
    return sums[:, 0]


@pytest.mark.parametrize(("right", "count"), [(17, 17), (0, 5), (64, 100)])
def test_a_share_lies_in_the_interval_of_wilson(right: int, count: int) -> None:
    known = binomtest(right, count).proportion_ci(method="wilson")
    assert likely_share(right / count, count) == pytest.approx((known.low, known.high))


def test_a_rare_label_makes_a_mean_unsure() -> None:
    assert likely_mean(0.8, [50, 50]) == pytest.approx(likely_share(0.8, 100))
    assert likely_mean(0.8, [98, 2])[0] < likely_share(0.8, 20)[0]


@pytest.mark.parametrize(
    ("gained", "lost", "probability"), [(3, 0, 1 / 8), (8, 0, 1 / 256), (5, 5, 0.62), (0, 6, 1.0)]
)
def test_luck_is_that_of_the_exact_sign_test(gained: int, lost: int, probability: float) -> None:
    old = np.array([*[0.0] * gained, *[1.0] * lost, *[1.0] * 7])[:, None]
    new = np.array([*[1.0] * gained, *[0.0] * lost, *[1.0] * 7])[:, None]
    assert luck(old, new, accuracy) == pytest.approx(probability, abs=0.05)
