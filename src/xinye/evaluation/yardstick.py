"""Some of a text as tokens, and a yardstick beside bits per byte: what plain compressing and plain
counting make of the same text, so that a reader knows what a figure is worth.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xinye.evaluation.compressors import gzip_bits
from xinye.evaluation.ngram import NGram

if TYPE_CHECKING:  # it takes its time to import, and who lists runs needs none
    from xinye.data.tokenizer import Tokenizer

# Of each as much as takes some tenths of a second in all: it is a part of a budget in time.
COMPRESSED = 1_000_000  # bytes of validation text, for gzip
COUNTED = 500_000  # tokens of training text, that the 5-gram model learns from
PREDICTED = 100_000  # tokens of validation text, that it is judged on
SHORT = 64  # tokens of a span, of which less tells nothing of the text


@dataclass(frozen=True)
class Part:
    """Some spans (n, 2) of a tokenized text."""

    tokens: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    def at_most(self, tokens: int) -> "Part":
        """The same share of each span, from its end, so that it is not more than `tokens` in all;
        of many short spans some, evenly spread."""
        if len(self) <= tokens:
            return self
        spans = self.spans
        if len(spans) * SHORT > tokens:
            spans = spans[:: -(-len(self) // tokens)]
        starts, ends = spans.T
        lengths = ends - starts
        kept = lengths * tokens // max(tokens, int(lengths.sum()))
        return Part(self.tokens, np.stack((ends - kept, ends), axis=1))

    def first(self, tokens: int) -> "Part":
        """The first so many tokens."""
        lengths = self.spans[:, 1] - self.spans[:, 0]
        kept = np.clip(tokens - (np.cumsum(lengths) - lengths), 0, lengths)
        spans = np.stack((self.spans[:, 0], self.spans[:, 0] + kept), axis=1)
        return Part(self.tokens, spans[kept > 0])

    def at_most_bytes(self, size: int, tokenizer: "Tokenizer") -> "Part":
        """The same, by about how many bytes it stands for."""
        total = self.size(tokenizer)
        return self if total <= size else self.at_most(len(self) * size // total)

    def size(self, tokenizer: "Tokenizer") -> int:
        """Bytes of text that it stands for."""
        lengths = tokenizer.token_lengths
        return sum(int(lengths[self.tokens[start:end]].sum()) for start, end in self.spans)

    def decoded(self, tokenizer: "Tokenizer") -> bytes:
        table = tokenizer.token_bytes
        return b"".join(
            table[token] for start, end in self.spans for token in self.tokens[start:end].tolist()
        )


@dataclass(frozen=True)
class Yardstick:
    """Bits per byte of validation text, and on how much of it, and after how much training text,
    they were measured."""

    __pydantic_config__: ClassVar = {"strict": False}  # a run's folder keeps it as an object

    gzip: float
    five_gram: float
    compressed_bytes: int
    counted_tokens: int
    predicted_tokens: int

    def __str__(self) -> str:
        return f"gzip {self.gzip:.3f}, 5-gram {self.five_gram:.3f}"


def yardstick(training: Part, validation: Part, tokenizer: "Tokenizer") -> Yardstick:
    """Measured on samples, so that it is quick; the validation has some bytes of text."""
    compressed = validation.at_most_bytes(COMPRESSED, tokenizer).decoded(tokenizer)
    counted, predicted = training.at_most(COUNTED), validation.at_most(PREDICTED)
    return Yardstick(
        gzip=round(gzip_bits(compressed), 4),
        five_gram=round(five_gram_loss(counted, predicted, tokenizer)[1], 4),
        compressed_bytes=len(compressed),
        counted_tokens=len(counted),
        predicted_tokens=len(predicted),
    )


def five_gram_loss(training: Part, judged: Part, tokenizer: "Tokenizer") -> tuple[float, float]:
    """Of a 5-gram model that learned from one part, on another: nats per token, and bits per
    byte."""
    model = NGram(training.tokens, training.spans, tokenizer.vocab_size, tokenizer.bos_id)
    loss = -float(model.log_probabilities(judged.tokens, judged.spans).mean())
    return loss, loss / math.log(2) * len(judged) / max(1, judged.size(tokenizer))
