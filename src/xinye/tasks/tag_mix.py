"""What a tagger learns beside its network, at the end of its training: a linear tagger from the
same records, and its share in the scores of both."""

import os
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.linear_tagger import LinearTagger, TaggedPieces
from xinye.model.loss import IGNORED
from xinye.tasks.tag_spans import (
    Segment,
    TaggedText,
    first_transitions,
    segments_of,
    targets_of,
    type_of,
)

FILE = "linear_tagger.safetensors"  # in the run's folder
MOST_TOKENS = 2_000_000  # about 2.4 GB of features
LINEAR_ALONE = "the linear tagger alone"
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)  # of the linear tagger; one is chosen on validation records


@dataclass(frozen=True)
class TagMix:
    """A linear tagger and its share."""

    linear: LinearTagger
    share: float

    @property
    def has_network(self) -> bool:
        return self.share < 1

    def __call__(
        self, scores: Sequence[Tensor], transitions: Tensor, segments: Sequence[Segment]
    ) -> tuple[list[Tensor], Tensor]:
        """The mixed scores of segments and transitions, from those of the network."""
        others = [self.linear.scores(segment.pieces) for segment in segments]
        return mixed((scores, transitions), (others, self.linear.transitions), self.share)

    def save(self, folder: Path, labels: Sequence[str]) -> None:
        self.linear.save(folder / FILE, self.share, labels)

    @classmethod
    def load(cls, folder: Path, labels: Sequence[str]) -> Self | None:
        """The mix in a run's folder; None if there is none. Raises `XinyeError` if it is damaged or
        belongs to another network."""
        path = folder / FILE
        if not os.path.lexists(path):
            return None
        linear, share, own = LinearTagger.load(path)
        if own != tuple(labels):
            raise XinyeError(f"{path}: it has other labels than the network; train the run again")
        return cls(linear, share)


Scored = tuple[Sequence[Tensor], Tensor]  # the scores of segments, and of transitions


def mixed(one: Scored, other: Scored, share: float) -> tuple[list[Tensor], Tensor]:
    """The weighted mean of scores. They are logarithms, so this multiplies the probabilities that
    both give a sequence of tags."""
    scores = [a * (1 - share) + b * share for a, b in zip(one[0], other[0], strict=True)]
    return scores, one[1] * (1 - share) + other[1] * share


def learned(
    tokenizer: Tokenizer,
    records: Sequence[TaggedText],
    labels: Sequence[str],
    context: int,
    seed: int,
) -> tuple[LinearTagger, int]:
    """A linear tagger, and from how many of these records it has learned: from all, or of very
    many from those that were drawn."""
    number = {label: index for index, label in enumerate(labels)}
    types = sorted({type_of(label)[0] for label in labels if label != "O"})
    texts: dict[int, list[TaggedPieces]] = {}
    tokens = 0
    for at in random.Random(seed).sample(range(len(records)), len(records)):
        if tokens > MOST_TOKENS:
            break
        texts[at] = []
        for segment in segments_of(tokenizer, records[at].text, context):
            targets = targets_of(segment.offsets, records[at].spans, number)
            texts[at].append(_tagged(segment, targets, labels, types))
            tokens += len(segment.pieces)
    drawn = [piece for at in sorted(texts) for piece in texts[at]]
    linear = LinearTagger.learn(drawn, len(types), first_transitions(labels), seed)
    return linear, len(texts)


def _tagged(
    segment: Segment, targets: Sequence[int], labels: Sequence[str], types: Sequence[str]
) -> TaggedPieces:
    """What a linear tagger learns from a segment."""
    tags = [target for target in targets if target != IGNORED]
    spans: list[tuple[int, int, int]] = []
    for at, tag in enumerate(tags):
        if labels[tag].startswith("B-"):
            spans.append((at, at + 1, types.index(labels[tag][2:])))
        elif labels[tag] != "O" and spans:
            spans[-1] = (spans[-1][0], at + 1, spans[-1][2])
    return TaggedPieces(segment.pieces, tags, spans)
