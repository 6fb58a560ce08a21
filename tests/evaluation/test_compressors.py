"""Compressed sizes in bits per byte."""

import random

import pytest

from xinye.evaluation.compressors import gzip_bits, xz_bits


def test_noise_takes_all_its_bits_and_repetition_nearly_none() -> None:
    noise = random.Random(0).randbytes(50_000)
    repeated = "芳林新叶催陈叶，流水前波让后波。".encode() * 1000
    for bits in (gzip_bits, xz_bits):
        assert bits(noise) == pytest.approx(8, rel=0.01)
        assert bits(repeated) < 0.1


def test_what_stood_before_need_not_be_stored_again() -> None:
    noise = random.Random(1).randbytes(50_000)
    assert xz_bits(noise, noise) < 0.2
    assert xz_bits(noise, b"other") == pytest.approx(8, rel=0.01)
