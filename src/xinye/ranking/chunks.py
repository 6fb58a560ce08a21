"""The training samples of an `ItemGPT`: pieces of users' histories, as a pure function of the
step."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xinye.data.batches import IGNORED, permute
from xinye.errors import XinyeError
from xinye.ranking.histories import Histories


@dataclass(frozen=True)
class ItemBatch:
    """Pieces of histories, padded at the end. `tokens` (B, T) are items, `targets` (B, T) the items
    that follow; targets of `IGNORED` do not count in the loss."""

    tokens: Tensor
    targets: Tensor

    @property
    def counted(self) -> int:
        """The number of targets that count in the loss."""
        return int((self.targets != IGNORED).sum())

    def to(self, device: str | torch.device) -> "ItemBatch":
        """The same batch with all tensors on another device."""
        return ItemBatch(self.tokens.to(device), self.targets.to(device))


class Chunks:
    """Users' histories, cut into pieces of at most `context` items to read.

    Every item but the first of a history is a target exactly once per epoch. The pieces of a long
    history overlap by half, and an item of the overlap is a target only in the earlier piece, so
    that every target but the first ones of a history has at least `context` / 2 items before it.

    Raises `XinyeError` if no user has two items.
    """

    def __init__(self, histories: Histories, context: int, seed: int = 0) -> None:
        self.histories, self.context, self.seed = histories, context, seed
        self.pieces = pieces_of(histories, context)
        if not len(self.pieces):
            raise XinyeError("no history to learn from: every user has fewer than two items")

    def __len__(self) -> int:
        """The number of pieces in an epoch."""
        return len(self.pieces)

    @property
    def targets(self) -> int:
        """The number of targets in an epoch."""
        return int((self.pieces[:, 1] - self.pieces[:, 2]).sum())

    @property
    def mean_length(self) -> float:
        """The mean number of items that are read in a piece."""
        return float((self.pieces[:, 1] - self.pieces[:, 0]).mean()) - 1

    def micro_batches(self, first: int, size: int, micro_batch_size: int) -> list[ItemBatch]:
        """Samples `first` to `first + size - 1` of the endless sequence of epochs in batches; those
        of similar length share a batch."""
        count = len(self)
        numbers = [
            permute(sample % count, count, self.seed * 1_000_003 + sample // count)
            for sample in range(first, first + size)
        ]
        pieces = self.pieces[numbers]
        pieces = pieces[np.argsort(pieces[:, 1] - pieces[:, 0], kind="stable")]
        return [
            self._batch(pieces[at : at + micro_batch_size])
            for at in range(0, size, micro_batch_size)
        ]

    def _batch(self, pieces: np.ndarray) -> ItemBatch:
        longest = int((pieces[:, 1] - pieces[:, 0]).max()) - 1
        tokens = np.zeros((len(pieces), longest), np.int64)
        targets = np.full((len(pieces), longest), IGNORED, np.int64)
        for row, (start, end, first) in enumerate(pieces):
            tokens[row, : end - start - 1] = self.histories.items[start : end - 1]
            targets[row, first - start - 1 : end - start - 1] = self.histories.items[first:end]
        return ItemBatch(torch.from_numpy(tokens), torch.from_numpy(targets))


def pieces_of(histories: Histories, context: int) -> np.ndarray:
    """The pieces (P, 3) as places in `histories.items`: start, end, and the first target."""
    stride = max(1, context // 2)
    targets = np.diff(histories.starts) - 1
    more = -(-np.maximum(0, targets - context) // stride)  # pieces after the first
    counts = np.where(targets > 0, 1 + more, 0)
    user = np.repeat(np.arange(len(histories)), counts)
    number = np.arange(len(user)) - np.repeat(np.cumsum(counts) - counts, counts)
    start, end = histories.starts[user], histories.starts[user + 1]
    whole = start + context + 1 + number * stride  # the end of a piece, if the history is long
    first = np.where(number > 0, whole - stride, start + 1)
    last = np.minimum(end, whole)
    return np.stack((np.maximum(start, last - context - 1), last, first), axis=1)
