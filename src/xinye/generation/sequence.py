"""One text that is being generated: its request, its result, and where its keys and values are."""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from xinye.errors import XinyeError
from xinye.generation.constraint import Constraint
from xinye.generation.sampling import Sampling
from xinye.generation.stream import TextStream

# a token, its log-probability, and the likeliest tokens with theirs
LogProbability = tuple[int, float, list[tuple[int, float]]]


@dataclass(eq=False)
class Sequence:
    """A prompt and the tokens generated after it. An `Engine` runs it to its end."""

    tokens: list[int]  # the tokenizer's prefix, such as `<bos>`, the prompt, and new tokens
    prompt_tokens: int
    sampling: Sampling
    # The number of this completion of its prompt. With one seed each draws other random numbers.
    number: int = 0

    pieces: list[str] = field(default_factory=list)
    # for each new token, if `sampling.logprobs` asks for them
    logprobs: list[LogProbability] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None
    error: XinyeError | None = None  # the error that ended it
    drafted: int = 0  # the number of tokens that were guessed for it (speculation.py)
    accepted: int = 0  # the number of those that came true

    # The following fields belong to the engine.
    # the tokens that the model reads: all of them, or the last ones that fit the context
    window: list[int] = field(default_factory=list)
    read: int = 0  # the number of tokens of the window that are in the cache
    blocks: list[int] = field(default_factory=list)  # the cache blocks that hold them, in order
    kept: int = 0  # the number of these blocks that other sequences can find
    serial: int = 0  # the serial number of the last of those
    stream: TextStream = field(default_factory=lambda: TextStream(()))
    ends: frozenset[int] = frozenset()  # the tokens that end the text
    constraint: Constraint | None = None  # what the text must be

    def __post_init__(self) -> None:
        self.window = [*self.tokens]
        seed = self.sampling.seed
        self.random = Random(None if seed is None else f"{seed} {self.number}")

    @property
    def text(self) -> str:
        """The text generated so far, without the prompt."""
        return "".join(self.pieces)

    @property
    def completion_tokens(self) -> int:
        """The number of tokens generated so far."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def ended(self) -> bool:
        """Whether the sequence is complete or has failed."""
        return self.finish_reason is not None or self.error is not None

    def append(self, token: int) -> str:
        """Append a token; returns the new text that is certain now. At the end of the sequence this
        includes all text that was held back."""
        self.tokens.append(token)
        self.window.append(token)
        text = "" if token in self.ends else self.stream.push(token)
        if (
            token in self.ends
            or self.stream.stopped
            or (self.constraint is not None and self.constraint.finished)
        ):
            self.finish_reason = "stop"
        elif self.completion_tokens >= self.sampling.max_tokens:
            self.finish_reason = "length"
        if self.finish_reason is not None:
            text += self.stream.finish()
        if text:
            self.pieces.append(text)
        return text
