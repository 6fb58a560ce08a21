"""Windows hold each token once an epoch, cut no short document, and are a pure function of their
number."""

import json
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data import window_counts
from xinye.data.batches import IGNORED, Batch, Windows, permute
from xinye.data.blocks import Blocks, Joined
from xinye.data.manifest import digest_of
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


class Several(Blocks):
    """Documents of these lengths, dealt out to several blocks; token n is the number n + 1, so that
    it tells where it stands."""

    def __init__(self, lengths: np.ndarray, count: int = 1, key: str = "") -> None:
        ends = np.cumsum(lengths)
        self.all = np.arange(1, ends[-1] + 1, dtype=np.uint16)
        spans = np.stack((ends - lengths, ends), axis=1)
        self.parts = [spans[block::count] for block in range(count)]
        self.read: list[int] = []
        super().__init__([int((part[:, 1] - part[:, 0]).sum()) for part in self.parts], key)

    def spans(self, block: int) -> np.ndarray:
        self.read.append(block)
        return self.parts[block]

    def length(self, block: int) -> int:
        return len(self.all)

    def tokens(self, block: int) -> np.ndarray:
        return self.all


def windows_of(
    lengths: np.ndarray,
    context: int = CONTEXT,
    seed: int = 0,
    shuffle: bool = True,
    blocks: int = 1,
) -> Windows:
    """Windows over documents of these lengths."""
    return Windows(Several(lengths, blocks), context, BOS, seed, shuffle)


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


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("mix", MIXES)
def test_every_token_is_a_target_once_in_each_epoch(mix: str, blocks: int) -> None:
    windows = windows_of(MIXES[mix], blocks=blocks)
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
    assert first.borders is None and second.borders is None  # as on every CPU
    return all(
        torch.equal(getattr(first, name)[real], getattr(second, name)[real])
        for name in ("tokens", "targets", "positions", "documents")
    ) and torch.equal(first.tokens, second.tokens)


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("mix", ["all sorts", "long", "one"])
def test_a_batch_does_not_depend_on_those_before_it(mix: str, blocks: int) -> None:
    windows, samples = windows_of(MIXES[mix], seed=7, blocks=blocks), range(0, 90, 5)
    forward = [windows.batch(sample, 3) for sample in samples]  # several epochs
    fresh = windows_of(MIXES[mix], seed=7, blocks=blocks)
    for sample, expected in reversed(list(zip(samples, forward, strict=True))):
        assert same(fresh.batch(sample, 3), expected)


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("mix", ["all sorts", "long", "just the context"])
def test_a_batch_is_its_micro_batches_one_after_the_other(mix: str, blocks: int) -> None:
    windows = windows_of(MIXES[mix], blocks=blocks)
    whole = windows.batch(6, 12)
    for size in (1, 3, 4):
        parts = [windows.batch(6 + first, size) for first in range(0, 12, size)]
        for number, part in enumerate(parts):
            rows = slice(number * size, (number + 1) * size)
            assert same(
                part,
                Batch(*(None if each is None else each[rows] for each in vars(whole).values())),
            )


@pytest.mark.parametrize("blocks", [1, 3])
def test_without_shuffling_one_pass_reads_everything_and_is_always_the_same(blocks: int) -> None:
    windows = windows_of(MIXES["all sorts"], shuffle=False, blocks=blocks)
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


def test_text_without_a_token_is_refused() -> None:
    with pytest.raises(XinyeError, match="every document is empty"):
        windows_of(np.array([0, 0]))


def test_a_block_is_read_to_its_end_before_the_next_and_epochs_order_blocks_otherwise() -> None:
    blocks = Several(MIXES["just the context"], 5)
    windows = Windows(blocks, CONTEXT, BOS)
    block_of = {int(end): block for block, part in enumerate(blocks.parts) for end in part[:, 1]}
    orders = []
    for epoch in epochs_of(windows, 3):
        ends = [int(batch.targets.max()) for batch in epoch]
        visited = [block_of[end] for end in ends if end in block_of]
        orders.append(list(dict.fromkeys(visited)))
        assert [block for block, _ in groupby(visited)] == orders[-1]
    assert len({tuple(order) for order in orders}) > 1
    assert all(sorted(order) == list(range(5)) for order in orders)


def test_the_number_of_windows_is_estimated_from_the_first_block() -> None:
    windows = windows_of(MIXES["all sorts"], blocks=4)
    assert windows.about_per_epoch == pytest.approx(len(windows), rel=0.3)


def test_other_tokens_are_dealt_out_to_all_blocks() -> None:
    more = np.arange(60_000, 60_100, dtype=np.uint16)
    spans = np.stack((np.arange(0, 100, 5), np.arange(5, 105, 5)), axis=1)
    windows = windows_of(MIXES["short"], blocks=3).joined(more, spans)
    targets = torch.cat(
        [batch.targets[batch.targets != IGNORED] for batch in epochs_of(windows, 1)[0]]
    )
    own = len(targets) - 100
    wanted = torch.cat((torch.arange(1, own + 1), torch.arange(60_000, 60_100)))
    assert torch.equal(targets.sort().values, wanted)
    assert isinstance(windows.blocks, Joined) and len(windows.blocks) == 3


def test_a_resumed_run_packs_only_the_block_that_it_reads(cache) -> None:
    first = Several(MIXES["all sorts"], 4, key="a text")
    expected = [Windows(first, CONTEXT, BOS).batch(sample, 1) for sample in range(40)]
    blocks = Several(MIXES["all sorts"], 4, key="a text")
    again = Windows(blocks, CONTEXT, BOS)
    assert same(again.batch(39, 1), expected[39])
    assert len(set(blocks.read)) == 1


@pytest.mark.parametrize("damage", ["wrong", "broken", "other packing"])
def test_remembered_counts_that_are_damaged_or_old_are_not_used(
    cache, monkeypatch, damage: str
) -> None:
    """Of wrong counts with a right checksum, one that is met forgets all; see `window_counts`."""
    blocks = Several(MIXES["all sorts"], 4, key=f"a text whose counts are {damage}")
    expected = Windows(blocks, CONTEXT, BOS).batch(20, 8)
    [file] = (each for each in cache.glob("windows/*") if each.stat().st_mtime_ns == max(
        path.stat().st_mtime_ns for path in cache.glob("windows/*")))  # fmt: skip
    counts = {name: 1 for name in json.loads(file.read_text())["counts"]}
    text = json.dumps({"counts": counts, "checksum": digest_of(counts)})
    file.write_text(text[:40] if damage == "broken" else text)
    if damage == "other packing":
        monkeypatch.setattr(window_counts, "PACKING", window_counts.PACKING + 1)
    windows = Windows(blocks, CONTEXT, BOS)
    if damage == "wrong":  # what was located with it is corrected as soon as a block is packed
        windows.batch(0, 1)
    assert same(windows.batch(20, 8), expected)


def test_a_thread_may_ask_for_batches_meanwhile() -> None:
    expected = [windows_of(MIXES["all sorts"], blocks=4).batch(sample, 2) for sample in range(60)]
    windows = windows_of(MIXES["all sorts"], blocks=4)
    with ThreadPoolExecutor(1) as pool:
        later = [pool.submit(windows.batch, sample, 2) for sample in range(60)]
        own = [windows.batch(sample, 2) for sample in range(60)]
    assert all(map(same, own, expected))
    assert all(same(each.result(), right) for each, right in zip(later, expected, strict=True))
