"""A linear tagger, which stands beside a network: a conditional random field whose scores are sums
of weights, one for each feature of a token and each label.

The features are the tokens around it, alone and in sequences of up to four, and the spans of the
training texts that are found again (`span_lexicon.py`). It remembers rare words of the training
texts, which a network learns slowly.
"""

import json
import random
import re
import unicodedata
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xinye.data.files import written_beside
from xinye.data.mixing import mix
from xinye.errors import XinyeError
from xinye.evaluation.span_lexicon import Lexicon, PieceSpan, counted
from xinye.model import crf
from xinye.ranking.tensor_files import DAMAGE, read_arrays

# The first place, relative to the token, and the number of tokens.
WINDOWS = [(first, size) for size in (1, 2, 3, 4) for first in range(-3, 5 - size)]
REACH = 3  # tokens before and after a token that its features look at
SHAPES = ((0, 1), (-1, 3), (-2, 5))  # the same for the shapes of tokens
RARE = 5  # features that occur less often in the training texts are not learned
DROPPED = 0.4  # the share of features that a step of training does not see
EPOCHS = 3
STEPS = 100  # about, at the least, so that few texts are read more often
BATCH = 32
RATE = 0.1


@dataclass(frozen=True)
class TaggedPieces:
    """A text as its tokens' strings, with a label's number for each, and its spans."""

    pieces: Sequence[str]
    labels: Sequence[int]
    spans: Sequence[PieceSpan]


@dataclass(frozen=True)
class LinearTagger:
    """A trained linear tagger: hashes of its features, sorted (N,), their `weights` (N, L), the
    scores of `transitions` (L + 2, L) as in `crf.py`, and a lexicon."""

    features: np.ndarray
    weights: Tensor
    transitions: Tensor
    lexicon: Lexicon

    @classmethod
    def learn(
        cls, texts: Sequence[TaggedPieces], types: int, transitions: Tensor, seed: int
    ) -> Self:
        """Learn from texts. `transitions` are the scores to begin with: 0, or `FORBIDDEN`. The seed
        decides the order of the texts and which features are dropped."""
        counts = counted(((text.pieces, text.spans) for text in texts), types)
        most = max((end - start for text in texts for start, end, _ in text.spans), default=0)
        lexicon = Lexicon(counts, most)
        hashes = []
        for text in texts:
            own = counted([(text.pieces, text.spans)], types)
            hashes.append(features_of(text.pieces, lexicon.features(text.pieces, own)))
        known, often = np.unique(np.concatenate(hashes), return_counts=True)
        known = known[(often >= RARE) & (known > 0)]
        rows = [torch.from_numpy(rows_of(each, known)) for each in hashes]
        learner = _Learner(len(known), transitions, seed)
        learner.learn(rows, [text.labels for text in texts])
        return cls(known, learner.weights.detach()[:-1], learner.transitions.detach(), lexicon)

    def scores(self, pieces: Sequence[str]) -> Tensor:
        """The score of each label for each token of a text, (T, L)."""
        if not pieces:
            return self.weights.new_zeros(0, self.weights.shape[1])
        rows = rows_of(features_of(pieces, self.lexicon.features(pieces)), self.features)
        return _sums(torch.from_numpy(rows), self.weights)

    def save(self, path: Path, share: float, labels: Sequence[str]) -> None:
        """Write the tagger to a file of safetensors, with its share in a mix, and its labels."""
        lexicon = {"most": self.lexicon.most, "forms": [*self.lexicon.counts]}
        about = {"share": share, "labels": [*labels], **lexicon}
        counts = [*self.lexicon.counts.values()]
        tensors = {
            "about": torch.tensor([*json.dumps(about).encode()], dtype=torch.uint8),
            "features": torch.from_numpy(self.features.view(np.int64)),
            "weights": self.weights.half(),
            "transitions": self.transitions,
            "counts": torch.from_numpy(np.array(counts, np.int32)),
        }
        with written_beside(path) as beside:
            beside.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: Path) -> tuple[Self, float, tuple[str, ...]]:
        """The tagger in a file, its share and labels. Raises `XinyeError` if it is damaged."""
        found = read_arrays(path)
        try:
            about = json.loads(found["about"].tobytes())
            features = found["features"].view(np.uint64)
            weights, transitions = (
                torch.from_numpy(found[name]).float() for name in ("weights", "transitions")
            )
            labels = tuple(map(str, about["labels"]))
            share, count = float(about["share"]), len(labels)
            shapes = len(features), count, count + 2, count
            if (*weights.shape, *transitions.shape) != shapes or not 0 <= share <= 1:
                raise ValueError("inconsistent")
            if features.ndim > 1 or (features[1:] <= features[:-1]).any():
                raise ValueError("inconsistent")
            forms, counts = [str(form) for form in about["forms"]], found["counts"]
            if counts.shape != (len(forms), count // 2) or (counts < 0).any():
                raise ValueError("inconsistent")
            lexicon = Lexicon(dict(zip(forms, counts, strict=True)), int(about["most"]))
            return cls(features, weights, transitions, lexicon), share, labels
        except DAMAGE as error:
            raise XinyeError(f"{path}: damaged file ({error}); train the run again") from None


def features_of(pieces: Sequence[str], of_lexicon: np.ndarray) -> np.ndarray:
    """The hashes of all features of each token, (T, F); 0 for a feature that it lacks."""
    codes = _codes([re.sub(r"\d", "0", piece.lower()) for piece in pieces])
    shapes = _codes(["".join(map(unicodedata.category, piece[:2])) for piece in pieces])
    windows = [
        _sequences(each, size)[REACH + first :][: len(pieces)]
        for each, places in ((codes, WINDOWS), (shapes, SHAPES))
        for first, size in places
    ]
    columns = np.concatenate([np.stack(windows, 1), of_lexicon], 1)
    keys = mix(np.arange(columns.shape[1], dtype=np.uint64))
    return np.where(columns > 0, mix(columns ^ keys), 0)


def _codes(pieces: Sequence[str]) -> np.ndarray:
    """A number for each token, and for places before the first and behind the last one."""
    codes = [zlib.crc32(piece.encode("utf-8", "surrogatepass")) for piece in pieces]
    return np.array([1] * REACH + codes + [2] * REACH, np.uint64)


def _sequences(codes: np.ndarray, size: int) -> np.ndarray:
    """The hash of the `size` tokens from each place on."""
    count = len(codes) - size + 1
    found = codes[:count]
    for at in range(1, size):
        found = mix(found) ^ codes[at : at + count]
    return mix(found)


def rows_of(features: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The row of each feature in the sorted `known` ones, or their number if it is not there."""
    rows = np.searchsorted(known, features)
    there = known[rows.clip(max=max(0, len(known) - 1))] == features if len(known) else False
    return np.where(there, rows, len(known))


def _sums(rows: Tensor, weights: Tensor, sparse: bool = False) -> Tensor:
    """The sum of the weights in these rows, (T, F) to (T, L); the row after the last one is 0."""
    weights = weights if sparse else F.pad(weights, (0, 0, 0, 1))
    return F.embedding_bag(rows, weights, mode="sum", sparse=sparse, padding_idx=len(weights) - 1)


# -- training --------------------------------------------------------------------------------------


class _Learner:
    """Weights in training: one row more than there are features, which stays 0."""

    def __init__(self, features: int, transitions: Tensor, seed: int) -> None:
        labels = transitions.shape[1]
        self.weights = torch.zeros(features + 1, labels, requires_grad=True)
        self.transitions = transitions.clone().requires_grad_()
        self.optimizer = torch.optim.Adagrad([self.weights, self.transitions], lr=RATE)
        self.generator, self.order = torch.Generator().manual_seed(seed), random.Random(seed)

    @torch.enable_grad()
    @torch.sparse.check_sparse_tensor_invariants(False)  # otherwise Adagrad warns
    def learn(self, rows: Sequence[Tensor], labels: Sequence[Sequence[int]]) -> None:
        """Learn from texts, with the rows of their tokens' features (T, F) and their labels."""
        lengths = [len(each) for each in rows]
        for _ in range(max(EPOCHS, STEPS * BATCH // len(rows))):
            for numbers in _batches(lengths, self.order):
                self._step([rows[at] for at in numbers], [labels[at] for at in numbers])

    def _step(self, rows: Sequence[Tensor], labels: Sequence[Sequence[int]]) -> None:
        lengths = torch.tensor([len(each) for each in rows])
        together = torch.cat([*rows])
        dropped = torch.rand(together.shape, generator=self.generator) < DROPPED
        together = together.masked_fill(dropped, len(self.weights) - 1)
        each = _sums(together, self.weights, sparse=True).split(lengths.tolist())
        scores = pad_sequence(each, batch_first=True)
        targets = pad_sequence([torch.tensor(each) for each in labels], batch_first=True)
        real = torch.arange(scores.shape[1]) < lengths[:, None]
        loss = -crf.log_likelihood(scores, real, self.transitions, targets).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def _batches(lengths: Sequence[int], order: random.Random) -> list[list[int]]:
    """The numbers of all texts in batches of similar length, in random order."""
    numbers = [number for number, length in enumerate(lengths) if length]
    order.shuffle(numbers)
    batches = []
    for at in range(0, len(numbers), 16 * BATCH):
        some = sorted(numbers[at : at + 16 * BATCH], key=lambda number: lengths[number])
        batches += [some[first : first + BATCH] for first in range(0, len(some), BATCH)]
    order.shuffle(batches)
    return batches
