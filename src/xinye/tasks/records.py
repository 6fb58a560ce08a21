"""Records: how they are read, what is reported about them, and how they become tokens and targets,
in batches that are a pure function of the step."""

import json
import random
import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xinye.data.batches import permute
from xinye.data.mixing import mix
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.errors import XinyeError, plural
from xinye.model.heads import IGNORED, Labelled

SENTENCE_END = re.compile(r"(?:[。！？!?…\n]|\.(?=\s|$))+[”’」』）)\"']*")

ABOUT = (  # names of fields that say where a record is from, and not what is in it
    "id", "_id", "uuid", "source", "category", "department", "topic", "lang", "language", "type",
    "tag", "tags", "url", "date", "time", "task", "dataset", "split", "name", "domain", "model",
    "metadata", "meta", "来源", "类别", "编号", "科室",
)  # fmt: skip
MISSING = ("nan", "<na>", "#n/a", "null", "none", "n/a")

OnBad = Callable[[XinyeError], None]


def refuse(error: XinyeError) -> None:
    """What happens to a bad record unless the caller says otherwise: its error is raised."""
    raise error from None


def refuse_line(on_bad: OnBad) -> Callable[[Path, int, str], None]:
    """The same for what is not even a record."""
    return lambda path, line, problem: on_bad(XinyeError(f"{place_of(path, line)}: {problem}"))


def each_record(
    rows: Iterable[tuple[str, Any]], read: Callable[[Any, str], Any], on_bad: OnBad
) -> Iterator[Any]:
    """What is read of rows, each with its place. What cannot be read is given to `on_bad`; nothing
    comes of a row that is left out."""
    for place, row in rows:
        try:
            record = read(row, place)
        except XinyeError as error:
            on_bad(error)
        else:
            if record is not None:
                yield record


def expected(place: str, what: str, found: Any) -> XinyeError:
    """The error for something else than what is expected."""
    return XinyeError(
        f"{place}: expected {what}, found {json.dumps(found, ensure_ascii=False)[:60]}"
    )


def nothing_to_learn(place: str, why: str) -> XinyeError:
    """The error for a record without what a model would learn from it."""
    return XinyeError(f"{place}: {why}, so there is nothing to learn from")


def text_in(row: Row, name: str, place: str) -> str:
    """The text in a field. Raises `XinyeError` for anything else."""
    if not isinstance(row.get(name), str):
        raise expected(f"{place}, field {name!r}", "a text", row.get(name))
    return row[name]


def check_name(what: str, name: str, place: str) -> None:
    """Raises `XinyeError` for a label, tag or role with �: names with different bad bytes would be
    one."""
    if "\ufffd" in name:
        raise XinyeError(
            f"{place}: the {what} {name[:40]!r} contains bytes that could not be read; correct it"
        )


def rejected(row: Row) -> bool:
    """Whether the annotator of a record refused or passed over it, as Prodigy's files say."""
    return row.get("answer") in ("reject", "ignore")


def note_missing(what: str, text: str, place: str, notes: Notes) -> None:
    """Note a text or a label that is a word which programs write where there is none."""
    if text.strip().casefold() in MISSING:
        notes.add(
            place,
            f"the {'label' if what == 'label' else 'text'} is {text.strip()!r}, which looks like a "
            "missing value",
        )


def note_unread(row: Row, read: Collection[str], place: str, notes: Notes) -> None:
    """Note the fields with words that are no part of what is learned. What only says where a
    record is from is not noted."""
    for name, value in row.items():
        words = isinstance(value, str | list | dict) and value
        if words and name not in read and name.strip().lower() not in ABOUT:
            notes.add(place, f"the field {name!r} is not read")


def spelled_alike(names: Iterable[str]) -> Iterator[str]:
    """Findings: names that differ in case, width and spaces only."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spelled[re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()].append(name)
    for same in spelled.values():
        if len(same) > 1:
            names_alike = ", ".join(map(repr, same))
            yield f"{len(same)} labels differ only in case, width or spaces: {names_alike}"


def beside(one: str, other: str) -> str:
    """The second of two places, without its file where that is the same."""
    file, _, line = other.rpartition(", ")  # "line 17", or "record 17"
    return line if one.rpartition(", ")[0] == file else other


def repeated(training: Sequence[Any]) -> Iterator[str]:
    """A finding: training records that repeat an earlier one with the same answer."""
    first: dict[Hashable, Any] = {}
    again = []
    for record in training:
        before = first.setdefault((record.whole, record.answer), record)
        if before is not record:
            again.append((record, before))
    if again:
        record, before = again[0]
        yield (
            f"{plural(len(again), 'duplicate record')}: the first is {record.place} = "
            f"{beside(record.place, before.place)}"
        )


def leaks(training: Sequence[Any], validation: Sequence[Any]) -> Iterator[str]:
    """A finding: validation records that are in the training data."""
    seen = {record.whole: record for record in reversed(training)}
    inside = [record for record in validation if record.whole in seen]
    if inside:
        first, trained = inside[0].place, seen[inside[0].whole].place
        yield (
            f"the training data contain {len(inside):,} of "
            f"{plural(len(validation), 'validation record')}, which makes the model look better "
            f"than it is: first {first} = {beside(first, trained)}"
        )


def split(
    records: Sequence[Any],
    share: float,
    seed: int,
    fold: tuple[int, int] | None = None,
    label: Callable[[Any], Hashable] = lambda record: "",
) -> tuple[list[Any], list[Any]]:
    """The records to learn from and those to judge on: a share of each label's, or part i of k. The
    seed says which; equal texts stay together."""
    by_label: defaultdict[Any, dict[str, list[int]]] = defaultdict(dict)
    label_of: dict[str, Hashable] = {}
    for number, record in enumerate(records):
        its = label_of.setdefault(record.whole, label(record))
        by_label[its].setdefault(record.whole, []).append(number)
    judged: set[int] = set()
    generator, dealt = random.Random(seed), 0
    for its in sorted(by_label):
        texts = list(by_label[its].values())
        generator.shuffle(texts)
        if fold:  # dealt out in turn, each label going on where the one before ended
            chosen = texts[(fold[0] - 1 - dealt) % fold[1] :: fold[1]]
            dealt += len(texts)
        else:
            chosen = texts[: round(share * len(texts))]
        judged.update(chain(*chosen))
    if not judged or len(judged) == len(records):
        raise XinyeError(
            f"{plural(len(records), 'record')}: too few to keep some for validation; name a file "
            "with --validation"
        )
    return [r for i, r in enumerate(records) if i not in judged], [
        records[i] for i in sorted(judged)
    ]


# -- tokens and targets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A record, or a part of a long one, as a network reads it. `targets` is the number of its
    label, 0 or 1 for each label, or the number of each token's label; `cut` counts the tokens that
    were left out. `sentences` are the tokens that its text and each further sentence begin at, and
    the end of the last one; without them it stays in order and whole. Nothing is torn off before
    the tokens `inside`."""

    tokens: list[int]
    targets: int | list[float] | list[int]
    cut: int = 0
    sentences: tuple[int, ...] = ()
    inside: frozenset[int] = frozenset()

    @property
    def of_tokens(self) -> bool:
        """Whether each token has a target of its own."""
        return isinstance(self.targets, list) and not isinstance(self.targets[0], float)


@dataclass(frozen=True)
class Augmentation:
    """How a text is changed, anew each time it is learned from: the share of its tokens that are
    blotted out, the largest share that is left out at its ends, and the share of texts whose
    sentences change places."""

    mask_tokens: float = 0.0
    crop_tokens: float = 0.0
    shuffle_texts: float = 0.0


UNCHANGED = Augmentation()


class Examples:
    """Examples to learn from: in another order in every epoch, and each batch known from its step
    alone."""

    def __init__(
        self,
        examples: Sequence[Example],
        pad_id: int,
        seed: int = 0,
        augmentation: Augmentation = UNCHANGED,
    ) -> None:
        self.examples, self.pad_id, self.seed, self.augmentation = (
            examples,
            pad_id,
            seed,
            augmentation,
        )

    def __len__(self) -> int:
        return len(self.examples)

    def numbers(self, first: int, size: int) -> list[tuple[int, int]]:
        """Samples `first` … `first + size - 1` of the endless sequence, as (sample, its example),
        short ones first."""
        count = len(self)
        found = [
            (i, permute(i % count, count, self.seed * 1_000_003 + i // count))
            for i in range(first, first + size)
        ]
        return sorted(found, key=lambda pair: (len(self.examples[pair[1]].tokens), pair))

    def micro_batches(self, first: int, size: int, micro_batch_size: int) -> list[Labelled]:
        """The same samples in batches, for training: those of like length together."""
        numbers = self.numbers(first, size)
        return [
            batch(
                [self.augmented(*pair) for pair in numbers[at : at + micro_batch_size]], self.pad_id
            )
            for at in range(0, size, micro_batch_size)
        ]

    def in_order(self, size: int) -> Iterator[tuple[list[int], Labelled]]:
        """All examples once, short ones first, in batches with their numbers."""
        order = sorted(range(len(self)), key=lambda number: len(self.examples[number].tokens))
        for at in range(0, len(order), size):
            yield (
                order[at : at + size],
                batch([self.examples[number] for number in order[at : at + size]], self.pad_id),
            )

    def augmented(self, sample: int, number: int) -> Example:
        """An example as it is learned from as that sample, which alone (and the seed) decides what
        changes."""
        if self.augmentation == UNCHANGED:
            return self.examples[number]
        example = self.examples[number]
        places = self._places(example, random.Random(f"{self.seed} {sample}"))
        masked = self._masked(sample, len(places))
        tokens = [
            self.pad_id if blot else example.tokens[at]
            for at, blot in zip(places, masked, strict=True)
        ]
        targets: Any = example.targets
        return Example(tokens, [targets[at] for at in places] if example.of_tokens else targets)

    def _places(self, example: Example, generator: random.Random) -> list[int]:
        """Which of its tokens are read, in which order: those before and behind the text stay."""
        if not example.sentences:
            return list(range(len(example.tokens)))
        sentences = [range(*borders) for borders in pairwise(example.sentences)]
        if generator.random() < self.augmentation.shuffle_texts:
            generator.shuffle(sentences)
        text = list(chain(*sentences))
        left_out = int(generator.random() * (self.augmentation.crop_tokens * len(text) + 1))
        begin = generator.randint(0, left_out)
        end = len(text) - (left_out - begin)
        while 0 < begin < end and text[begin] in example.inside:
            begin += 1
        while begin < end < len(text) and text[end] in example.inside:
            end -= 1
        text = text[begin:end] or text
        return [
            *range(example.sentences[0]),
            *text,
            *range(example.sentences[-1], len(example.tokens)),
        ]

    def _masked(self, sample: int, length: int) -> np.ndarray:
        """Which tokens of a sample are blotted out, but never its first or last, (T,)."""
        key = mix(np.array(self.seed * 1_000_003 + sample, np.uint64))
        drawn = mix(np.arange(length, dtype=np.uint64) + key)
        masked = drawn < np.uint64(self.augmentation.mask_tokens * 2**64)
        masked[[0, -1]] = False
        return masked


def sentence_ends(text: str) -> list[int]:
    """Where the sentences of a text end."""
    return [match.end() for match in SENTENCE_END.finditer(text)]


def sentence_borders(
    ends: Sequence[int], offsets: Sequence[tuple[int, int]], first: int
) -> tuple[int, ...]:
    """The tokens that sentences begin at, and the end of the last one, in a text whose sentences
    have these `ends`; its tokens stand at `offsets`, and the first of them has the number
    `first`."""
    # sentences that end before a token
    passed = [bisect_right(ends, start) for start, _ in offsets]
    begins = [at for at in range(1, len(offsets)) if passed[at] > passed[at - 1]]
    return tuple(first + at for at in (0, *begins, len(offsets)))


def batch(examples: Sequence[Example], pad_id: int) -> Labelled:
    """Examples side by side, padded behind."""
    lengths = torch.tensor([len(example.tokens) for example in examples])
    targets: list[Any] = [example.targets for example in examples]
    of_tokens = examples[0].of_tokens
    return Labelled(
        _padded([example.tokens for example in examples], pad_id),
        lengths,
        _padded(targets, IGNORED) if of_tokens else torch.tensor(targets),
    )


def _padded(rows: Sequence[list[int]], padding: int) -> torch.Tensor:
    """Rows as one table of integers, filled up behind."""
    longest = max(map(len, rows))
    return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
