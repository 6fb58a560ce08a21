"""Windows of tokens for training, as a pure function of the step.

Every document is cut into pieces of at most `context` tokens. Pieces are packed into windows by
best fit, so there is almost no padding and a short document is never cut (Ding et al. 2024,
arXiv:2404.10830). For a piece t₀ … tₙ the model reads `<bos>` t₀ … tₙ₋₁ and predicts t₀ … tₙ. Each
token of the corpus is a target once per epoch, every sequence begins with `<bos>`, and attention
and positions stay inside a piece.

A keyed permutation chooses sample i of an epoch. Any batch can therefore be built without the
batches before it, and resuming or splitting over processes needs only the step's number.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from xinye.data.mixing import mix
from xinye.errors import XinyeError

IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """Windows of tokens; every tensor has shape (B, T).

    `tokens` are the inputs and `targets` the tokens to predict; targets of `IGNORED` do not count
    in the loss. `positions` count from 0 in each piece, and `documents` number the pieces of a
    window (-1 for padding). Both are None if every window holds a single piece. On a GPU `borders`
    are those of `piece_borders`.
    """

    tokens: Tensor
    targets: Tensor
    positions: Tensor | None
    documents: Tensor | None
    borders: Tensor | None = None

    @property
    def counted(self) -> int:
        """The number of targets that count in the loss."""
        return int((self.targets != IGNORED).sum())

    def to(self, device: str | torch.device) -> "Batch":
        """The same batch with all tensors on another device."""
        borders = self.borders
        if borders is None and self.documents is not None and torch.device(device).type == "cuda":
            borders = piece_borders(self.documents)
        return Batch(
            self.tokens.to(device),
            self.targets.to(device),
            None if self.positions is None else self.positions.to(device),
            None if self.documents is None else self.documents.to(device),
            None if borders is None else borders.to(device),
        )


def piece_borders(documents: Tensor) -> Tensor:
    """The places where pieces begin, if the rows of `documents` (B, T) stand one after another, and
    at the end B · T: (n + 1,) of int32. Padding is a piece, too.

    How many pieces there are differs from batch to batch, and a GPU would have to be asked and
    waited for. So they are counted on the CPU, before the batch moves. n is a power of two, so that
    compiled code meets few shapes; pieces beyond the last one are empty.
    """
    begins = torch.ones_like(documents, dtype=torch.bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    places = begins.flatten().nonzero()[:, 0]
    count = 1 << (len(places) - 1).bit_length()
    borders = torch.full((count + 1,), documents.numel(), dtype=torch.int32)
    borders[: len(places)] = places
    return borders


class Windows:
    """The training windows of some spans of a corpus.

    `tokens` has shape (N,); `spans` (S, 2) holds the start and end of each document in it. Each
    epoch has its own order of windows. With `shuffle`, each epoch also cuts long documents at other
    places. Raises `XinyeError` if all spans are empty.
    """

    def __init__(
        self,
        tokens: np.ndarray,
        spans: np.ndarray,
        context: int,
        bos_id: int,
        seed: int = 0,
        shuffle: bool = True,
    ) -> None:
        self.tokens, self.spans, self.context, self.bos_id = tokens, spans, context, bos_id
        if not self.tokens_per_epoch:
            raise XinyeError("no text to train on: every document is empty")
        self.seed, self.shuffle = seed, shuffle
        self._more = np.empty(0, tokens.dtype)  # spans beyond `tokens` lie in it
        self._ends: list[int] = []  # for each epoch: how many samples it and all before it have
        self.epoch_windows = lru_cache(maxsize=2)(self._epoch_windows)

    def joined(self, tokens: np.ndarray, spans: np.ndarray) -> "Windows":
        """Windows of these spans and of the `spans` of other tokens (M,)."""
        both = np.concatenate((self.spans, spans + len(self.tokens)))
        windows = Windows(self.tokens, both, self.context, self.bos_id, self.seed, self.shuffle)
        windows._more = tokens.astype(self.tokens.dtype)
        return windows

    def __len__(self) -> int:
        """The number of windows in the first epoch."""
        return len(self.epoch_windows(0)[1]) - 1

    @property
    def tokens_per_epoch(self) -> int:
        """The number of tokens in all spans."""
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    def _epoch_windows(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Pieces (P, 2) in the order of the windows, and the index at which each window's pieces
        begin (W + 1,).
        """
        return pack(self._cut(epoch), self.context)

    def _cut(self, epoch: int) -> np.ndarray:
        """The pieces (P, 2) of an epoch. Short documents stay whole; long ones are first cut at a
        place that changes with the epoch.
        """
        starts, ends = self.spans[self.spans[:, 0] < self.spans[:, 1]].T
        length = np.uint64(self.context)
        key = np.uint64((self.seed * 1_000_003 + epoch) % 2**64)
        first = (mix(starts.astype(np.uint64) ^ mix(np.array(key))) % length).astype(np.int64)
        if not self.shuffle:
            first[:] = 0
        # length of a document's first piece
        first[(ends - starts <= self.context) | (first == 0)] = self.context
        counts = 1 + np.maximum(0, -(-(ends - starts - first) // self.context))
        document = np.repeat(np.arange(len(starts)), counts)
        number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
        piece_starts = starts[document] + np.where(
            number > 0, first[document] + (number - 1) * self.context, 0
        )
        piece_ends = np.minimum(
            ends[document], starts[document] + first[document] + number * self.context
        )
        return np.stack((piece_starts, piece_ends), axis=1)

    def _locate(self, sample: int) -> tuple[int, int]:
        """The epoch that a sample belongs to, and its number within that epoch."""
        while not self._ends or self._ends[-1] <= sample:
            windows = len(self.epoch_windows(len(self._ends))[1]) - 1
            self._ends.append((self._ends[-1] if self._ends else 0) + windows)
        epoch = int(np.searchsorted(self._ends, sample, side="right"))
        return epoch, sample - (self._ends[epoch - 1] if epoch else 0)

    def epoch(self, sample: int) -> float:
        """How many epochs have passed after `sample` windows, as a fraction."""
        epoch, number = self._locate(sample)
        return epoch + number / (len(self.epoch_windows(epoch)[1]) - 1)

    def micro_batches(self, first: int, size: int, micro_batch_size: int) -> list[Batch]:
        """Samples `first` to `first + size - 1`, in batches of at most `micro_batch_size`."""
        return [
            self.batch(first + done, min(micro_batch_size, size - done))
            for done in range(0, size, micro_batch_size)
        ]

    def batch(self, first: int, size: int) -> Batch:
        """Samples `first` to `first + size - 1` of the endless sequence of epochs."""
        tokens = np.full((size, self.context), self.bos_id, np.int64)
        targets = np.full((size, self.context), IGNORED, np.int64)
        positions = np.zeros((size, self.context), np.int64)
        documents = np.full((size, self.context), -1, np.int64)
        several = False
        for row in range(size):
            epoch, number = self._locate(first + row)
            pieces, borders = self.epoch_windows(epoch)
            number = permute(number, len(borders) - 1, self.seed * 1_000_003 + epoch)
            window, at = pieces[borders[number] : borders[number + 1]], 0
            several |= len(window) > 1
            for document, (start, end) in enumerate(window):
                part = slice(at, at + end - start)
                targets[row, part] = self._slice(start, end)
                tokens[row, at + 1 : part.stop] = targets[row, at : part.stop - 1]
                positions[row, part] = np.arange(end - start)
                documents[row, part] = document
                at = part.stop
        extra = (
            (torch.from_numpy(positions), torch.from_numpy(documents)) if several else (None, None)
        )
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), *extra)

    def _slice(self, start: int, end: int) -> np.ndarray:
        size = len(self.tokens)
        return self.tokens[start:end] if start < size else self._more[start - size : end - size]

    def in_order(self, size: int, most: int | None = None) -> Iterator[Batch]:
        """The windows of the first epoch in batches of `size`, or only the first `most` windows.
        Windows come in random order, so those are a fair sample of all.
        """
        count = min(len(self), most or len(self))
        for first in range(0, count, size):
            yield self.batch(first, min(size, count - first))


def pack(pieces: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """Pack pieces (P, 2) into windows of `room` tokens by best fit, the longest pieces first.

    Returns the pieces in the order of the windows, and the index at which each window's pieces
    begin (W + 1,); its last entry is P.
    """
    lengths = pieces[:, 1] - pieces[:, 0]
    order = np.argsort(-lengths, kind="stable")
    full = int((lengths == room).sum())  # each of these fills a window
    window_of = np.empty(len(pieces), np.int64)
    window_of[order[:full]] = np.arange(full)
    # keyed by the room that is left in them
    open_windows: defaultdict[int, list[int]] = defaultdict(list)
    rooms, count = 0, full  # bit r of `rooms` is set if a window with room r is open
    for piece, length in zip(order[full:].tolist(), lengths[order[full:]].tolist(), strict=True):
        fitting = rooms >> length
        if fitting:
            left = length + (fitting & -fitting).bit_length() - 1
            window = open_windows[left].pop()
            if not open_windows[left]:
                rooms &= ~(1 << left)
        else:
            left, window, count = room, count, count + 1
        window_of[piece] = window
        if left > length:
            open_windows[left - length].append(window)
            rooms |= 1 << (left - length)
    by_window = np.argsort(window_of, kind="stable")
    return pieces[by_window], np.searchsorted(window_of[by_window], np.arange(count + 1))


def permute(index: int, count: int, key: int) -> int:
    """The place of `index` (0 … count-1) in the permutation that `key` selects.

    A Feistel network over the next power of four, repeated until the result is below `count` (Black
    & Rogaway 2002, "Ciphers with arbitrary finite domains").
    """
    half = max(1, (count - 1).bit_length() + 1 >> 1)
    low = (1 << half) - 1
    while True:
        left, right = index >> half, index & low
        for round_number in range(4):
            mixed = (
                (right + 1) * 0x9E3779B97F4A7C15
                + key * 0xD1B54A32D192ED03
                + round_number * 0x8CB92BA72F3D8DD7
            )
            mixed &= 0xFFFFFFFFFFFFFFFF
            mixed = (mixed ^ mixed >> 29) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
            left, right = right, left ^ ((mixed ^ mixed >> 32) & low)
        index = left << half | right
        if index < count:
            return index
