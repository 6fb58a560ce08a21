"""Windows of tokens for training, as a pure function of the step.

Every document is cut into pieces of at most `context` tokens. Pieces are packed into windows by
best fit, so there is almost no padding and a short document is never cut (Ding et al. 2024,
arXiv:2404.10830). For a piece t₀ … tₙ the model reads `<bos>` t₀ … tₙ₋₁ and predicts t₀ … tₙ. Each
token of the corpus is a target once per epoch, every sequence begins with `<bos>`, and attention
and positions stay inside a piece.

A large text is read in blocks, the shards of its corpus. A keyed permutation orders the blocks of
an epoch, and another one the windows of a block. Any batch can therefore be built without the
batches before it, and resuming or splitting over processes needs only the step's number.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from threading import RLock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.data.blocks import Blocks, Joined
from xinye.data.mixing import mix
from xinye.data.window_counts import WindowCounts
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
    """The training windows of a text that lies in `blocks`.

    Each epoch reads the blocks in an order of its own, and the windows of each block in an order
    of its own. With `shuffle`, each epoch also cuts long documents at other places. Windows are
    packed within their block, so only the blocks that are being read are in memory. One other
    thread may ask for batches. Raises `XinyeError` if all spans are empty.
    """

    def __init__(
        self, blocks: Blocks, context: int, bos_id: int, seed: int = 0, shuffle: bool = True
    ) -> None:
        self.blocks, self.context, self.bos_id = blocks, context, bos_id
        if not self.tokens_per_epoch:
            raise XinyeError("no text to train on: every document is empty")
        self.seed, self.shuffle = seed, shuffle
        self._lock = RLock()
        # for each block in the order in which they are read: how many samples there are up to its
        # end
        self._ends: list[int] = []
        self._at = -1  # how many blocks were read before the present one
        self._counts = WindowCounts(blocks, context, seed, shuffle)
        self.packed = lru_cache(maxsize=2)(self._packed)
        self._block = lru_cache(maxsize=1 << 16)(self._block_at)

    def joined(self, tokens: np.ndarray, spans: np.ndarray) -> "Windows":
        """Windows of this text and of the `spans` of other tokens (M,)."""
        blocks = Joined(self.blocks, tokens, spans)
        return Windows(blocks, self.context, self.bos_id, self.seed, self.shuffle)

    def __len__(self) -> int:
        """The number of windows in the first epoch. This packs every block that was not read
        yet."""
        with self._lock:
            return sum(self._count(0, place) for place in range(len(self.blocks)))

    @property
    def about_per_epoch(self) -> int:
        """The number of windows in the first epoch; if there are several blocks, estimated from
        the first one."""
        first = len(self.packed(0, 0)[1]) - 1
        if len(self.blocks) == 1:
            return first
        return round(first * self.tokens_per_epoch / max(1, self.blocks.sizes[0]))

    @property
    def tokens_per_epoch(self) -> int:
        """The number of tokens in all spans."""
        return sum(self.blocks.sizes)

    @property
    def tokens(self) -> Any:
        """The tokens of the first block, of which slices can be taken: a fair sample of all."""
        return self.blocks.tokens(0)

    @property
    def spans(self) -> np.ndarray:
        """The start and end of each document of the first block, (S, 2)."""
        return self.blocks.spans(0)

    def _key(self, epoch: int, block: int = 0) -> int:
        """What decides the order of an epoch, and of the windows of one block in it."""
        return self.seed * 1_000_003 + epoch + block * 0x9E3779B97F4A7C15

    def _block_at(self, epoch: int, place: int) -> int:
        """The block that an epoch reads at this place of its order."""
        return permute(place, len(self.blocks), self._key(epoch) ^ 0x5851F42D4C957F2D)

    def _packed(self, epoch: int, block: int) -> tuple[np.ndarray, np.ndarray]:
        """Pieces (P, 2) of a block in the order of the windows, and the index at which each
        window's pieces begin (W + 1,).
        """
        pieces, borders = pack(self._cut(epoch, block), self.context)
        if not self._counts.agrees(epoch, block, len(borders) - 1):
            self._ends.clear()
        return pieces, borders

    def _cut(self, epoch: int, block: int) -> np.ndarray:
        """The pieces (P, 2) of a block in an epoch. Short documents stay whole; long ones are first
        cut at a place that changes with the epoch.
        """
        spans = self.blocks.spans(block)
        starts, ends = spans[spans[:, 0] < spans[:, 1]].T
        length = np.uint64(self.context)
        key = np.uint64(self._key(epoch, block) % 2**64)
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

    def _count(self, epoch: int, place: int) -> int:
        """The number of windows of the block at a place of an epoch's order."""
        block = self._block(epoch, place)
        if not self.blocks.sizes[block]:
            return 0
        known = self._counts.of(epoch, block)
        return len(self.packed(epoch, block)[1]) - 1 if known is None else known

    def _locate(self, sample: int) -> tuple[int, int]:
        """How many blocks are read before that of a sample, over all epochs, and the sample's
        number in its block."""
        while not self._ends or self._ends[-1] <= sample:
            at = len(self._ends)
            windows = self._count(*divmod(at, len(self.blocks)))
            if len(self._ends) == at:
                self._ends.append((self._ends[-1] if at else 0) + windows)
        at = bisect_right(self._ends, sample)
        return at, sample - (self._ends[at - 1] if at else 0)

    def _window(self, sample: int) -> tuple[int, np.ndarray]:
        """The block of a sample, and the start and end of its pieces (P, 2)."""
        with self._lock:
            pieces, borders = None, None
            # packing a block may show that remembered counts are wrong, and forget them
            while borders is None or not self._ends:
                at, number = self._locate(sample)
                epoch, place = divmod(at, len(self.blocks))
                block = self._block(epoch, place)
                pieces, borders = self.packed(epoch, block)
            if at != self._at and len(self.blocks) > 1:
                self._at = at
                self.blocks.expect(self._block(*divmod(at + 1, len(self.blocks))))
            number = permute(number, len(borders) - 1, self._key(epoch, block))
            assert pieces is not None
            return block, pieces[borders[number] : borders[number + 1]]

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
            block, window = self._window(first + row)
            text, at = self.blocks.tokens(block), 0
            several |= len(window) > 1
            for document, (start, end) in enumerate(window):
                part = slice(at, at + end - start)
                targets[row, part] = text[start:end]
                tokens[row, at + 1 : part.stop] = targets[row, at : part.stop - 1]
                positions[row, part] = np.arange(end - start)
                documents[row, part] = document
                at = part.stop
        extra = (
            (torch.from_numpy(positions), torch.from_numpy(documents)) if several else (None, None)
        )
        return Batch(torch.from_numpy(tokens), torch.from_numpy(targets), *extra)

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
