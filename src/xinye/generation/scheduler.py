"""Who is read in the next step, and how much of each.

A step reads one token of each text that is being written and, of prompts, at most a chunk, so that
a long prompt keeps nobody waiting. Where the cache is full, the text that came last gives its place
up and is read again later.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from xinye.generation.cache import BlockCache
from xinye.generation.sequence import Sequence

# how a sequence may go on; at most so far as it may be written
Guess = Callable[[Sequence], list[int]]


@dataclass(frozen=True)
class Part:
    """The tokens of a text that are read in a step, behind those that its blocks hold already."""

    sequence: Sequence
    tokens: list[int]
    # Of how many of them, counted from the last, logits are needed: none while a prompt is not at
    # its end.
    wanted: int
    guesses: int = 0  # how many of them, counted from the last, are only guessed (speculation.py)


class Scheduler:
    def __init__(
        self, cache: BlockCache, max_running: int, chunk: int, guess: Guess | None = None
    ) -> None:
        self.cache, self.max_running, self.chunk, self.guess = cache, max_running, chunk, guess
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in the order in which they came

    def schedule(self) -> list[Part]:
        """What is read now; the blocks for it are there. Nothing only where there is nothing to
        do."""
        parts: list[Part] = []
        left = self.chunk
        for sequence in [*self.running]:
            left = self._take(sequence, left, parts)
        while self.waiting and len(self.running) < self.max_running and left > 0:
            sequence = self.waiting[0]
            if self._is_being_read(sequence) or not self.cache.begin(sequence):
                break
            self.running.append(self.waiting.popleft())
            left = self._take(sequence, left, parts)
        return parts

    def _take(self, sequence: Sequence, left: int, parts: list[Part]) -> int:
        """Let as much of a sequence be read as may be; returns what is left of the chunk."""
        ahead = len(sequence.window) - sequence.read
        count = ahead if ahead == 1 else min(ahead, left)
        if count == 0 or not self._make_room(sequence, sequence.read + count):
            return left
        tokens = sequence.window[sequence.read : sequence.read + count]
        guesses = self.guess(sequence) if self.guess is not None and ahead == 1 else []
        if guesses and not self.cache.extend(sequence, sequence.read + 1 + len(guesses)):
            guesses = []  # no text gives way to a guess
        parts.append(
            Part(sequence, tokens + guesses, int(count == ahead) + len(guesses), len(guesses))
        )
        return left if ahead == 1 else left - count

    def _make_room(self, sequence: Sequence, length: int) -> bool:
        """See that a running sequence has blocks for so many tokens, if need be those of who came
        after it."""
        while sequence in self.running:
            if self.cache.extend(sequence, length):
                return True
            last = self.running.pop()
            self.cache.release(last)
            self.waiting.appendleft(last)
        return False

    def _is_being_read(self, sequence: Sequence) -> bool:
        """Whether its next block is being read for another that begins alike: then it waits a step
        and shares it."""
        end = len(self.cache.find(sequence.window)[0]) * self.cache.block + self.cache.block
        return end < len(sequence.window) and any(
            other.read < end <= len(other.window) and other.window[:end] == sequence.window[:end]
            for other in self.running
        )

    def remove(self, sequence: Sequence) -> None:
        """Let a sequence go, wherever it is; its blocks can be taken by others."""
        if sequence in self.running:
            self.running.remove(sequence)
            self.cache.release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
