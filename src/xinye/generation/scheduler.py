"""Which sequences are read in the next step, and how many tokens of each.

A step reads one token of each text that is being generated, and at most one chunk of prompt tokens,
so that a long prompt does not delay the others. If the cache is full, the text that came last gives
its blocks up and is read again later.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from xinye.generation.cache import BlockCache
from xinye.generation.sequence import Sequence

# A function that guesses the next tokens of a sequence, at most as many as it may still generate.
Guess = Callable[[Sequence], list[int]]


@dataclass(frozen=True)
class Part:
    """The tokens of a sequence that are read in a step. They follow those that its blocks hold
    already."""

    sequence: Sequence
    tokens: list[int]
    # The number of last tokens whose logits are needed: none before the end of a prompt is read.
    wanted: int
    guesses: int = 0  # the number of last tokens that are only guessed (speculation.py)


class Scheduler:
    """The queue of waiting sequences and the list of running ones. `chunk` is the most prompt
    tokens in a step."""

    def __init__(
        self, cache: BlockCache, max_running: int, chunk: int, guess: Guess | None = None
    ) -> None:
        self.cache, self.max_running, self.chunk, self.guess = cache, max_running, chunk, guess
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []  # in the order of arrival

    def schedule(self) -> list[Part]:
        """The parts to read now; their blocks are reserved. Empty only if there is nothing to
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
        return [self._with_guesses(part) for part in parts]

    def _take(self, sequence: Sequence, left: int, parts: list[Part]) -> int:
        """Add as many tokens of a sequence as possible to the parts; returns what is left of the
        chunk."""
        ahead = len(sequence.window) - sequence.read
        count = ahead if ahead == 1 else min(ahead, left)
        if count == 0 or not self._make_room(sequence, sequence.read + count):
            return left
        tokens = sequence.window[sequence.read : sequence.read + count]
        parts.append(Part(sequence, tokens, int(count == ahead)))
        return left if ahead == 1 else left - count

    def _with_guesses(self, part: Part) -> Part:
        """The part with guesses, if it is the last token of a text and blocks are left. All texts
        have theirs by now, so none loses its blocks for a guess."""
        sequence = part.sequence
        if self.guess is None or len(part.tokens) > 1 or not part.wanted:
            return part
        guesses = self.guess(sequence)
        if not guesses or not self.cache.extend(sequence, sequence.read + 1 + len(guesses)):
            return part
        return Part(sequence, part.tokens + guesses, 1 + len(guesses), len(guesses))

    def _make_room(self, sequence: Sequence, length: int) -> bool:
        """Reserve blocks for `length` tokens of a running sequence, if necessary those of sequences
        that came after it."""
        while sequence in self.running:
            if self.cache.extend(sequence, length):
                return True
            last = self.running.pop()
            self.cache.release(last)
            self.waiting.appendleft(last)
        return False

    def _is_being_read(self, sequence: Sequence) -> bool:
        """Whether another sequence with the same beginning is reading the next block just now. Then
        this one waits a step and shares it."""
        end = len(self.cache.find(sequence.window)[0]) * self.cache.block + self.cache.block
        return end < len(sequence.window) and any(
            other.read < end <= len(other.window) and other.window[:end] == sequence.window[:end]
            for other in self.running
        )

    def remove(self, sequence: Sequence) -> None:
        """Remove a sequence, wherever it is; others can reuse its blocks."""
        if sequence in self.running:
            self.running.remove(sequence)
            self.cache.release(sequence)
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
