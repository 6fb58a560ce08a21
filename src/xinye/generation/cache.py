"""Which blocks of the key-value cache belong to which sequence. A block holds a fixed number of
tokens.

Sequences that begin alike share their full blocks. A full block is found by its tokens and the
block before it, even after its sequence has ended, until its place is reused. The keys and values
themselves are in the `Runner`.
"""

from collections import OrderedDict
from itertools import count

from xinye.generation.sequence import Sequence

# what a full block is found by: the serial number of the block before it (0: none), and its tokens
Key = tuple[int, tuple[int, ...]]


class BlockCache:
    """The blocks of a key-value cache, their users, and the full blocks that can be shared."""

    def __init__(self, blocks: int, block: int) -> None:
        """`blocks` is the number of blocks, `block` the number of tokens in each."""
        self.block, self.blocks = block, blocks
        self._users = [0] * blocks
        # in the order in which they will be reused
        self._unused = OrderedDict.fromkeys(range(blocks))
        self._found: dict[
            Key, tuple[int, int]
        ] = {}  # full blocks: number, and a serial number that is never reused
        self._keys: dict[int, Key] = {}  # the key of each full block, by its number
        self._serials = count(1)

    @property
    def total(self) -> int:
        """The number of tokens that all blocks hold."""
        return self.blocks * self.block

    @property
    def free(self) -> int:
        """The number of tokens that the blocks without a user hold."""
        return len(self._unused) * self.block

    @property
    def used(self) -> int:
        return self.total - self.free

    def find(self, tokens: list[int]) -> tuple[list[int], int]:
        """The blocks that hold the beginning of these tokens, and the serial number of the last of
        them.

        The last token is never among them: the model has to read it to predict the next one.
        """
        found: list[int] = []
        serial = 0
        for begin in range(0, len(tokens) - self.block, self.block):
            hit = self._found.get((serial, tuple(tokens[begin : begin + self.block])))
            if hit is None:
                break
            number, serial = hit
            found.append(number)
        return found, serial

    def begin(self, sequence: Sequence) -> bool:
        """Give a sequence without blocks those for its whole window, shared ones if possible.
        Returns False if there is not enough room."""
        shared, serial = self.find(sequence.window)
        unused = sum(self._users[number] == 0 for number in shared)
        if self._needed(len(sequence.window)) - len(shared) > len(self._unused) - unused:
            return False
        for number in shared:
            self._unused.pop(number, None)
            self._users[number] += 1
        sequence.blocks, sequence.kept, sequence.serial = shared, len(shared), serial
        sequence.read = len(shared) * self.block
        return self.extend(sequence, len(sequence.window))

    def extend(self, sequence: Sequence, length: int) -> bool:
        """Give a sequence enough blocks for `length` tokens. Returns False, and changes nothing, if
        there is not enough room."""
        missing = self._needed(length) - len(sequence.blocks)
        if missing > len(self._unused):
            return False
        for _ in range(missing):
            number, _ = self._unused.popitem(last=False)
            if number in self._keys:
                del self._found[self._keys.pop(number)]
            self._users[number] = 1
            sequence.blocks.append(number)
        return True

    def keep(self, sequence: Sequence) -> None:
        """Let other sequences find the blocks that this sequence has filled."""
        while (sequence.kept + 1) * self.block <= sequence.read:
            begin, number = sequence.kept * self.block, sequence.blocks[sequence.kept]
            key = sequence.serial, tuple(sequence.window[begin : begin + self.block])
            if key not in self._found:
                self._found[key], self._keys[number] = (number, next(self._serials)), key
            sequence.serial = self._found[key][1]
            sequence.kept += 1

    def release(self, sequence: Sequence) -> None:
        """Take back the blocks of a sequence. Full blocks are reused last, and among these the
        beginning of a text."""
        for number in reversed(sequence.blocks):
            self._users[number] -= 1
            if self._users[number] == 0:
                self._unused[number] = None
                self._unused.move_to_end(number, last=number in self._keys)
        sequence.blocks, sequence.kept, sequence.serial, sequence.read = [], 0, 0, 0

    def _needed(self, length: int) -> int:
        return -(-length // self.block)
