"""What is known of a text before a model reads it."""

import math

import numpy as np
import pytest

from xinye.data.blocks import OneBlock
from xinye.tasks.text import unigram_loss


def test_the_loss_of_knowing_frequencies_only():
    tokens = np.array([0, 1, 2, 3] * 5000 + [9] * 7, np.uint16)
    assert unigram_loss(OneBlock(tokens, np.array([[0, 8000], [8000, 20_000]]))) == pytest.approx(
        math.log(4), abs=1e-3
    )


def test_few_tokens_are_not_taken_for_few_words():
    """Of 1,000 equally frequent words a sample of 2,000 shows too few; the correction mends most of
    it."""
    tokens = np.random.default_rng(0).integers(0, 1000, 2000)
    assert unigram_loss(OneBlock(tokens, np.array([[0, 2000]]))) == pytest.approx(
        math.log(1000), abs=0.1
    )
