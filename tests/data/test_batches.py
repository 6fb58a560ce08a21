"""Windows hold each token once an epoch, cut no short document, and are a pure function of their
number."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.batches import IGNORED, Batch, Windows, permute
from xinye.data.blocks import OneBlock
from xinye.errors import XinyeError

BOS = 0
CONTEXT = 32
random = np.random.default_rng(0)
MIXES = {
    "short": random.integers(1, CONTEXT, 80),
    "long": random.integers(CONTEXT + 1, 10 * CONTEXT, 9),
    "one": np.array([1]),
    "one long": np.array([777]),
    "just the context": np.array([CONTEXT] * 7 + [CONTEXT + 1] * 7 + [CONTEXT - 1] * 7),
    "all sorts": random.permutation(
        [0, 1, 2, CONTEXT, 2 * CONTEXT, 333, *random.integers(1, 90, 50)]
    ),
}


def windows_of(
    lengths: np.ndarray, context: int = CONTEXT, seed: int = 0, shuffle: bool = True
) -> Windows:
    """Windows over documents of these lengths; token n is the number n + 1, so that it tells where
    it stands."""
    ends = np.cumsum(lengths)
    tokens = np.arange(1, ends[-1] + 1, dtype=np.uint16)
    return Windows(
        OneBlock(tokens, np.stack((ends - lengths, ends), axis=1)), context, BOS, seed, shuffle
    )


def epochs_of(windows: Windows, epochs: int) -> list[list[Batch]]:
    """The windows one by one, in epochs that each end when as many tokens have come as there
    are."""
    sample, result = 0, []
    for _ in range(epochs):
        batches, counted = [], 0
        while counted < windows.tokens_per_epoch:
            batches.append(windows.batch(sample, 1))
            counted, sample = counted + batches[-1].counted, sample + 1
        result.append(batches)
    return result


def pieces_of(batch: Batch) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]]:
    """The inputs, targets and positions of each piece in a window."""
    length = batch.counted
    numbers = torch.zeros(1, length) if batch.documents is None else batch.documents[:, :length]
    places = [numbers[0] == number for number in numbers[0].unique_consecutive()]
    return [
        (batch.tokens[0, :length][place], batch.targets[0, :length][place],
         None if batch.positions is None else batch.positions[0, :length][place])
        for place in places
    ]  # fmt: skip


@pytest.mark.parametrize("mix", MIXES)
def test_every_token_is_a_target_once_in_each_epoch(mix: str) -> None:
    windows = windows_of(MIXES[mix])
    for epoch in epochs_of(windows, 3):
        targets = torch.cat([batch.targets[batch.targets != IGNORED] for batch in epoch])
        assert torch.equal(targets.sort().values, torch.arange(1, windows.tokens_per_epoch + 1))


@pytest.mark.parametrize("mix", MIXES)
def test_a_piece_begins_with_bos_and_predicts_each_of_its_tokens(mix: str) -> None:
    for batch in epochs_of(windows_of(MIXES[mix]), 1)[0]:
        assert batch.tokens.shape == batch.targets.shape == (1, CONTEXT)
        # padding stands behind all pieces
        assert batch.targets[0, batch.counted :].eq(IGNORED).all()
        for tokens, targets, positions in pieces_of(batch):
            assert tokens[0] == BOS
            assert torch.equal(tokens[1:], targets[:-1])
            assert torch.equal(targets, torch.arange(targets[0], targets[0] + len(targets)))
            assert positions is None or torch.equal(positions, torch.arange(len(tokens)))


@pytest.mark.parametrize("mix", MIXES)
def test_a_document_that_fits_the_context_is_never_cut(mix: str) -> None:
    lengths = MIXES[mix]
    wanted = {
        (end - length + 1, end) for end, length in zip(np.cumsum(lengths), lengths, strict=True)
    }
    short = {(first, last) for first, last in wanted if first <= last and last - first < CONTEXT}
    for epoch in epochs_of(windows_of(lengths), 2):
        pieces = {
            (int(targets[0]), int(targets[-1]))
            for batch in epoch
            for _, targets, _ in pieces_of(batch)
        }
        assert short <= pieces


def test_long_documents_are_cut_elsewhere_in_another_epoch() -> None:
    first, second = (
        {int(targets[0]) for batch in epoch for _, targets, _ in pieces_of(batch)}
        for epoch in epochs_of(windows_of(MIXES["one long"]), 2)
    )
    assert first != second


def test_nearly_nothing_is_padding() -> None:
    windows = windows_of(np.random.default_rng(1).integers(1, 400, 2000), context=256)
    assert windows.tokens_per_epoch > 0.98 * len(windows) * 256


@settings(deadline=None)
@given(count=st.integers(1, 700), key=st.integers(-(2**70), 2**70))
def test_permute_is_a_bijection(count: int, key: int) -> None:
    assert sorted(permute(index, count, key) for index in range(count)) == list(range(count))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    def order(windows: Windows, first: int) -> list[int]:
        return windows.batch(first, len(windows)).targets[:, 0].tolist()

    # nothing is cut, so that only the order can differ
    windows = windows_of(MIXES["just the context"][:7])
    orders = [
        order(windows, 0),
        order(windows, 7),
        order(windows_of(MIXES["just the context"][:7], seed=1), 0),
    ]
    assert len({tuple(each) for each in orders}) == 3
    assert len({tuple(sorted(each)) for each in orders}) == 1


def same(first: Batch, second: Batch) -> bool:
    """Positions and documents may be left out where every window holds one piece: those parts then
    say nothing."""
    real = first.targets != IGNORED
    for batch in (first, second):
        if batch.positions is None:
            starts = torch.arange(CONTEXT).expand_as(batch.tokens)
            alone = Batch(batch.tokens, batch.targets, starts, torch.zeros_like(starts))
            first, second = (
                (alone if batch is first else first),
                (alone if batch is second else second),
            )
    return all(
        torch.equal(one[real], other[real])
        for one, other in zip(vars(first).values(), vars(second).values(), strict=True)
    ) and torch.equal(first.tokens, second.tokens)


@pytest.mark.parametrize("mix", ["all sorts", "long", "one"])
def test_a_batch_does_not_depend_on_those_before_it(mix: str) -> None:
    windows, samples = windows_of(MIXES[mix], seed=7), range(0, 90, 5)  # several epochs
    forward = [windows.batch(sample, 3) for sample in samples]
    fresh = windows_of(MIXES[mix], seed=7)
    for sample, expected in reversed(list(zip(samples, forward, strict=True))):
        assert same(fresh.batch(sample, 3), expected)


@pytest.mark.parametrize("mix", ["all sorts", "long", "just the context"])
def test_a_batch_is_its_micro_batches_one_after_the_other(mix: str) -> None:
    windows = windows_of(MIXES[mix])
    whole = windows.batch(6, 12)
    for size in (1, 3, 4):
        parts = [windows.batch(6 + first, size) for first in range(0, 12, size)]
        for number, part in enumerate(parts):
            rows = slice(number * size, (number + 1) * size)
            assert same(
                part,
                Batch(*(None if each is None else each[rows] for each in vars(whole).values())),
            )


def test_without_shuffling_one_pass_reads_everything_and_is_always_the_same() -> None:
    windows = windows_of(MIXES["all sorts"], shuffle=False)
    targets = torch.cat([batch.targets.flatten() for batch in windows.in_order(5)])
    assert torch.equal(
        targets[targets != IGNORED].sort().values, torch.arange(1, windows.tokens_per_epoch + 1)
    )
    assert sum(len(batch.tokens) for batch in windows.in_order(5)) == len(windows)
    assert [len(batch.tokens) for batch in windows.in_order(5, most=7)] == [5, 2]
    starts = {
        int(targets[0]) for batch in windows.in_order(1) for _, targets, _ in pieces_of(batch)
    }
    ends = np.cumsum(MIXES["all sorts"])
    assert starts >= set((ends - MIXES["all sorts"] + 1)[MIXES["all sorts"] > 0].tolist())


def test_the_first_windows_of_a_pass_are_a_fair_sample() -> None:
    """A validation that looks at some windows must not see only the longest documents, nor only the
    first ones."""
    lengths = np.array([CONTEXT] * 100 + [CONTEXT // 2] * 200)
    windows = windows_of(lengths, shuffle=False)
    targets = torch.cat([batch.targets.flatten() for batch in windows.in_order(10, most=50)])
    share = float((targets > 100 * CONTEXT).float().mean())
    assert 0.25 < share < 0.75  # half of all tokens stand in short documents


def test_epoch_tells_how_often_the_text_was_read() -> None:
    windows = windows_of(MIXES["just the context"][:7])
    assert [windows.epoch(sample) for sample in (0, 7, 14)] == [0, 1, 2]
    assert 1 < windows.epoch(9) < 2


def test_text_without_a_token_is_refused() -> None:
    with pytest.raises(XinyeError, match="every document is empty"):
        windows_of(np.array([0, 0]))
