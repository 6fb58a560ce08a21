"""Samples of a tokenized text, and a yardstick for bits per byte: what gzip and a 5-gram model
reach on the same text.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from xinye.evaluation.compressors import gzip_bits
from xinye.evaluation.ngram import NGram

if TYPE_CHECKING:  # slow to import, and listing runs does not need it
    from xinye.data.tokenizer import Tokenizer

# Limits at which everything together takes some tenths of a second, because it counts in a time
# budget.
COMPRESSED = 1_000_000  # bytes of validation text, for gzip
COUNTED = 500_000  # tokens of training text for the 5-gram model
PREDICTED = 100_000  # tokens of validation text on which it is measured
SHORT = 64  # tokens; shorter samples of a span say nothing about the text


@dataclass(frozen=True)
class Part:
    """Some spans (n, 2) of a tokenized text. Its length is the number of tokens."""

    tokens: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return int((self.spans[:, 1] - self.spans[:, 0]).sum())

    def at_most(self, tokens: int) -> "Part":
        """A sample of at most `tokens` tokens: the same share from the end of each span, or, if
        spans are short, some spans, evenly spread.
        """
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
        """The first `tokens` tokens."""
        lengths = self.spans[:, 1] - self.spans[:, 0]
        kept = np.clip(tokens - (np.cumsum(lengths) - lengths), 0, lengths)
        spans = np.stack((self.spans[:, 0], self.spans[:, 0] + kept), axis=1)
        return Part(self.tokens, spans[kept > 0])

    def at_most_bytes(self, size: int, tokenizer: "Tokenizer") -> "Part":
        """A sample as in `at_most`, of about `size` bytes of text."""
        total = self.size(tokenizer)
        return self if total <= size else self.at_most(len(self) * size // total)

    def size(self, tokenizer: "Tokenizer") -> int:
        """The number of bytes of the text."""
        lengths = tokenizer.token_lengths
        return sum(int(lengths[self.tokens[start:end]].sum()) for start, end in self.spans)

    def decoded(self, tokenizer: "Tokenizer") -> bytes:
        """The text, in bytes."""
        table = tokenizer.token_bytes
        return b"".join(
            table[token] for start, end in self.spans for token in self.tokens[start:end].tolist()
        )


@dataclass(frozen=True)
class Yardstick:
    """Bits per byte that gzip and a 5-gram model reach on validation text, and the amounts of text
    that were used.
    """

    __pydantic_config__: ClassVar = {"strict": False}  # saved as an object in a run's folder

    gzip: float
    five_gram: float
    compressed_bytes: int
    counted_tokens: int
    predicted_tokens: int

    def __str__(self) -> str:
        return f"gzip {self.gzip:.3f}, 5-gram {self.five_gram:.3f}"


def yardstick(training: Part, validation: Part, tokenizer: "Tokenizer") -> Yardstick:
    """The yardstick, measured on samples to be fast. `validation` must contain text."""
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
    """The loss of a 5-gram model trained on `training`, measured on the text `judged`: nats per
    token, and bits per byte.
    """
    model = NGram(training.tokens, training.spans, tokenizer.vocab_size, tokenizer.bos_id)
    loss = -float(model.log_probabilities(judged.tokens, judged.spans).mean())
    return loss, loss / math.log(2) * len(judged) / max(1, judged.size(tokenizer))
