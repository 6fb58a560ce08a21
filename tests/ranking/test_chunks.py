from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.data.batches import IGNORED
from xinye.errors import XinyeError
from xinye.ranking.chunks import Chunks
from xinye.ranking.histories import Histories

LENGTHS = st.lists(st.integers(0, 40), min_size=1, max_size=8).filter(lambda found: max(found) > 1)


def numbered(lengths: list[int]) -> Histories:
    """Histories in which every event has an item of its own."""
    ends = np.cumsum([0, *lengths])
    several = [range(a, b) for a, b in pairwise(ends)]
    return Histories.of(several, int(ends[-1]))


@settings(max_examples=50, deadline=None)
@given(LENGTHS, st.integers(1, 12), st.integers(1, 5))
def test_every_item_but_the_first_is_a_target_once_an_epoch(lengths, context, size):
    histories = numbered(lengths)
    chunks = Chunks(histories, context, seed=3)
    for epoch in range(2):
        met: Counter[int] = Counter()
        for batch in chunks.micro_batches(epoch * len(chunks), len(chunks), size):
            assert batch.tokens.shape[1] <= context
            counted = batch.targets != IGNORED
            # the items are consecutive numbers, so each target follows its input
            assert (batch.targets[counted] == batch.tokens[counted] + 1).all()
            met.update(batch.targets[counted].tolist())
        wanted = {int(item) for user in range(len(histories)) for item in histories[user][1:]}
        assert met == Counter(wanted)
        assert chunks.targets == len(wanted)


def test_targets_of_a_long_history_have_half_a_context_before_them():
    chunks = Chunks(numbered([100]), context=10)
    for start, _, first in chunks.pieces[1:]:
        assert first - start >= 5


def test_samples_depend_only_on_their_number():
    chunks = Chunks(numbered([9, 4, 30, 2, 17]), context=6, seed=1)
    [whole] = chunks.micro_batches(0, 6, 6)
    parts = [batch for first in (0, 3) for batch in chunks.micro_batches(first, 3, 1)]
    rows = {tuple(row[row != IGNORED].tolist()) for row in whole.targets}
    assert rows == {tuple(part.targets[part.targets != IGNORED].tolist()) for part in parts}
    assert sum(part.counted for part in parts) == whole.to("cpu").counted
    again = Chunks(numbered([9, 4, 30, 2, 17]), context=6, seed=1).micro_batches(3, 2, 2)
    assert again[0].tokens.equal(chunks.micro_batches(3, 2, 2)[0].tokens)


def test_histories_of_one_item_teach_nothing():
    with pytest.raises(XinyeError, match="fewer than two items"):
        Chunks(numbered([1, 0, 1]), context=5)
