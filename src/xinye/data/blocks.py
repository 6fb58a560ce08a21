"""The text that windows are cut from, block by block: a block is read and packed whole."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np


class Blocks(ABC):
    """Tokens in blocks. `sizes` are the tokens that the spans of each block have together. `key`
    identifies the text; "" if it has no name.
    """

    def __init__(self, sizes: Sequence[int], key: str = "") -> None:
        self.sizes, self.key = tuple(sizes), key

    def __len__(self) -> int:
        return len(self.sizes)

    @abstractmethod
    def spans(self, block: int) -> np.ndarray:
        """The start and end of each document of a block, (S, 2)."""

    @abstractmethod
    def length(self, block: int) -> int:
        """The number of tokens of a block, with those that are in no span."""

    @abstractmethod
    def tokens(self, block: int) -> Any:
        """The tokens of a block, of which slices can be taken."""

    def expect(self, block: int) -> None:
        """Hear that the tokens of a block will be wanted soon."""
        return None


class OneBlock(Blocks):
    """Tokens (N,) and the spans of their documents (S, 2)."""

    def __init__(self, tokens: np.ndarray, spans: np.ndarray) -> None:
        super().__init__([int((spans[:, 1] - spans[:, 0]).sum())])
        self._tokens, self._spans = tokens, spans

    def spans(self, block: int) -> np.ndarray:
        return self._spans

    def length(self, block: int) -> int:
        return len(self._tokens)

    def tokens(self, block: int) -> np.ndarray:
        return self._tokens


class Joined(Blocks):
    """Blocks, and the spans (S, 2) of other tokens (M,), which are dealt out to the blocks."""

    def __init__(self, blocks: Blocks, tokens: np.ndarray, spans: np.ndarray) -> None:
        self.blocks, self.more, self.dealt = blocks, tokens, spans
        count = len(blocks)
        lengths = spans[:, 1] - spans[:, 0]
        dealt = [int(lengths[block::count].sum()) for block in range(count)]
        sizes = [size + more for size, more in zip(blocks.sizes, dealt, strict=True)]
        content = hashlib.blake2b(tokens.tobytes() + spans.tobytes(), digest_size=16).hexdigest()
        super().__init__(sizes, f"{blocks.key} {content}" if blocks.key else "")

    def spans(self, block: int) -> np.ndarray:
        dealt = self.dealt[block :: len(self.blocks)] + self.blocks.length(block)
        return np.concatenate((self.blocks.spans(block), dealt))

    def length(self, block: int) -> int:
        return self.blocks.length(block) + len(self.more)

    def tokens(self, block: int) -> "_Both":
        return _Both(self.blocks.tokens(block), self.more)

    def expect(self, block: int) -> None:
        self.blocks.expect(block)


class _Both:
    """Tokens (N,), and behind them others (M,). A slice lies in one of the two."""

    def __init__(self, tokens: Any, more: np.ndarray) -> None:
        self.tokens, self.more = tokens, more

    def __getitem__(self, part: slice) -> np.ndarray:
        size = len(self.tokens)
        tokens: np.ndarray = self.tokens[part]
        return tokens if part.start < size else self.more[part.start - size : part.stop - size]
