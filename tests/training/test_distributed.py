"""Processes share the samples of a step without a gap or an overlap."""

from hypothesis import given
from hypothesis import strategies as st

from xinye.training.distributed import ALONE, Processes


@given(st.integers(0, 10**9), st.integers(1, 1000), st.integers(1, 64))
def test_the_shares_are_the_whole(first: int, size: int, count: int) -> None:
    shares = [Processes(rank, count).share(first, size) for rank in range(count)]
    samples = [sample for start, length in shares for sample in range(start, start + length)]
    assert samples == list(range(first, first + size))
    assert max(length for _, length in shares) - min(length for _, length in shares) <= 1


def test_alone_nothing_is_exchanged() -> None:
    assert ALONE.share(7, 5) == (7, 5)
    assert (ALONE.numbers([3.5]), ALONE.any(True), ALONE.any(False), ALONE.agreed([1.0, 2.0])) == (
        [[3.5]],
        True,
        False,
        [1, 2],
    )
