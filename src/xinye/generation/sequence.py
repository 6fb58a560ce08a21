"""One text that is being written: what is asked for, what has come of it, and where its keys and
values lie."""

from dataclasses import dataclass, field
from random import Random
from typing import Literal

from xinye.errors import XinyeError
from xinye.generation.constraint import Constraint
from xinye.generation.sampling import Sampling
from xinye.generation.stream import TextStream

# of a token, and of the likeliest with theirs
LogProbability = tuple[int, float, list[tuple[int, float]]]


@dataclass(eq=False)
class Sequence:
    """A prompt and what is written behind it. An `Engine` takes it through all its steps."""

    tokens: list[int]  # the tokenizer's prefix, such as `<bos>`, the prompt, and what was written
    prompt_tokens: int
    sampling: Sampling
    # Which of several completions of a prompt: with the same seed each draws other random numbers.
    number: int = 0

    pieces: list[str] = field(default_factory=list)
    # of each token written, where `sampling` asks for it
    logprobs: list[LogProbability] = field(default_factory=list)
    finish_reason: Literal["stop", "length"] | None = None
    error: XinyeError | None = None  # what ended it before its time

    # the engine's own
    # what the model reads: all tokens, or the last that fit
    window: list[int] = field(default_factory=list)
    read: int = 0  # how many of the window are in the cache
    blocks: list[int] = field(default_factory=list)  # where there, in order
    kept: int = 0  # how many of these blocks others can find,
    serial: int = 0  # and the serial number of the last of them
    stream: TextStream = field(default_factory=lambda: TextStream(()))
    ends: frozenset[int] = frozenset()  # the tokens that end it
    constraint: Constraint | None = None  # what it must be

    def __post_init__(self) -> None:
        self.window = [*self.tokens]
        seed = self.sampling.seed
        self.random = Random(None if seed is None else f"{seed} {self.number}")

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens

    @property
    def ended(self) -> bool:
        return self.finish_reason is not None or self.error is not None

    def append(self, token: int) -> str:
        """Go on with this token; returns the text that it makes certain, which ends with the
        sequence."""
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
