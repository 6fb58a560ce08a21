"""Records as tokens and targets, in batches that are a pure function of the step."""

import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.data.batches import permute
from xinye.data.corpus import mix
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.heads import IGNORED, Head, Labelled


@dataclass(frozen=True)
class Example:
    """A record, or a part of a long one, as a network reads it. `targets` is the number of its label, 0 or 1 for each
    label, or the number of each token's label; `cut` counts the tokens that were left out."""

    tokens: list[int]
    targets: int | list[float] | list[int]
    cut: int = 0


class Examples:
    """Examples to learn from: in another order in every epoch, and each batch known from its step alone."""

    def __init__(self, examples: Sequence[Example], pad_id: int, seed: int = 0, mask_tokens: float = 0.0) -> None:
        self.examples, self.pad_id, self.seed, self.mask_tokens = examples, pad_id, seed, mask_tokens

    def __len__(self) -> int:
        return len(self.examples)

    def numbers(self, first: int, size: int) -> list[tuple[int, int]]:
        """Samples `first` … `first + size - 1` of the endless sequence, as (sample, its example), short ones first."""
        count = len(self)
        found = [(i, permute(i % count, count, self.seed * 1_000_003 + i // count)) for i in range(first, first + size)]
        return sorted(found, key=lambda pair: (len(self.examples[pair[1]].tokens), pair))

    def micro_batches(self, first: int, size: int, micro_batch_size: int) -> list[Labelled]:
        """The same samples in batches, for training: those of like length together."""
        numbers = self.numbers(first, size)
        return [
            batch(
                [self.examples[number] for _, number in numbers[at : at + micro_batch_size]],
                self.pad_id,
                partial(self._masked, [sample for sample, _ in numbers[at : at + micro_batch_size]]),
            )
            for at in range(0, size, micro_batch_size)
        ]

    def in_order(self, size: int) -> Iterator[tuple[list[int], Labelled]]:
        """All examples once, short ones first, in batches with their numbers."""
        order = sorted(range(len(self)), key=lambda number: len(self.examples[number].tokens))
        for at in range(0, len(order), size):
            yield order[at : at + size], batch([self.examples[number] for number in order[at : at + size]], self.pad_id)

    def _masked(self, samples: Sequence[int], row: int, length: int) -> np.ndarray:
        """Which tokens of a sample are blotted out, but never its first or last, (T,)."""
        key = mix(np.array(self.seed * 1_000_003 + samples[row], np.uint64))
        drawn = mix(np.arange(length, dtype=np.uint64) + key)
        masked = drawn < np.uint64(self.mask_tokens * 2**64)
        masked[[0, -1]] = False
        return masked


def batch(examples: Sequence[Example], pad_id: int, masked: "partial[np.ndarray] | None" = None) -> Labelled:
    """Examples side by side, padded behind."""
    longest = max(len(example.tokens) for example in examples)
    tokens = np.full((len(examples), longest), pad_id, np.int64)
    for row, example in enumerate(examples):
        tokens[row, : len(example.tokens)] = example.tokens
        if masked is not None:
            tokens[row, : len(example.tokens)][masked(row, len(example.tokens))] = pad_id
    lengths = torch.tensor([len(example.tokens) for example in examples])
    first = examples[0].targets
    if isinstance(first, list) and not isinstance(first[0], float):  # of each token
        rows = np.full((len(examples), longest), IGNORED, np.int64)
        for row, example in enumerate(examples):
            rows[row, : len(example.tokens)] = example.targets
        targets = torch.from_numpy(rows)
    else:
        targets = torch.tensor([example.targets for example in examples])
    return Labelled(torch.from_numpy(tokens), lengths, targets)


OnBad = Callable[[XinyeError], None]


def refuse(error: XinyeError) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise error from None


def refuse_line(on_bad: OnBad) -> Callable[[Path, int, str], None]:
    """The same for what is not even a record."""
    return lambda path, line, problem: on_bad(XinyeError(f"{path}, line {line}: {problem}"))


def spelled_alike(names: Iterable[str]) -> Iterator[str]:
    """Findings: names that differ in case, width and spaces only."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spelled[re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()].append(name)
    for same in spelled.values():
        if len(same) > 1:
            yield f"labels that look like one spelled in {len(same)} ways: {', '.join(map(repr, same))}"


def places(one: str, other: str, between: str = " and ") -> str:
    """Two places, the file named once where it is the same."""
    file, found, line = other.rpartition(", line ")
    return f"{one}{between}{f'line {line}' if found and one.startswith(f'{file}, line ') else other}"


def split_by_text(records: Sequence[Any], share: float, seed: int) -> tuple[list[Any], list[Any]]:
    """A part of the records to judge on, and the others, by the seed; equal texts stay together."""
    texts = list(dict.fromkeys(record.whole for record in records))
    random.Random(seed).shuffle(texts)
    kept = set(texts[: round(share * len(texts))])
    if not kept:
        raise XinyeError(
            f"{len(records)} records are too few to keep a part of them to judge on; name a file with --validation"
        )
    others, judged = ([r for r in records if (r.whole in kept) == inside] for inside in (False, True))
    return others, judged


def loss(model: Head, batch: Labelled) -> Tensor:
    """Sum of the losses of a network with a head."""
    return model.loss(batch)


@torch.no_grad()
def losses(model: Head, tokenizer: Tokenizer, examples: Examples) -> dict[str, Any]:
    """`loss` in nats for each judgement of a network with a head."""
    device, nats, counted = next(model.parameters()).device, 0.0, 0
    for _, batch in examples.in_order(32):
        nats, counted = nats + float(model.loss(batch.to(device))), counted + batch.counted
    return {"loss": nats / max(1, counted)}
