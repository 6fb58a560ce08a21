"""Tools for records: reading them, reporting on them, and turning them into tokens and targets, in
batches that are a pure function of the step.
"""

import json
import random
import re
import unicodedata
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xinye.data.batches import permute
from xinye.data.mixing import mix
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.errors import XinyeError, plural
from xinye.model.heads import Labelled
from xinye.model.loss import IGNORED

ABOUT = (  # names of fields that say where a record comes from, not what it contains
    "id", "_id", "uuid", "source", "category", "department", "topic", "lang", "language", "type",
    "tag", "tags", "url", "date", "time", "task", "dataset", "split", "name", "domain", "model",
    "metadata", "meta", "来源", "类别", "编号", "科室",
)  # fmt: skip
MOST_UNREAD = 5  # fields of a record that are reported as not read
MISSING = ("nan", "<na>", "#n/a", "null", "none", "n/a")

OnBad = Callable[[XinyeError], None]


def refuse(error: XinyeError) -> None:
    """Raises the error of a bad record. This is the default `on_bad`."""
    raise error from None


def refuse_line(on_bad: OnBad) -> Callable[[Path, int, str], None]:
    """An `on_bad` for the readers of files, which passes file, line and problem on as one error."""
    return lambda path, line, problem: on_bad(XinyeError(f"{place_of(path, line)}: {problem}"))


def each_record(
    rows: Iterable[tuple[str, Any]], read: Callable[[Any, str], Any], on_bad: OnBad
) -> Iterator[Any]:
    """The records that `read(row, place)` returns; `rows` are pairs of place and row. Errors are
    passed to `on_bad`. If `read` returns None, the row is skipped.
    """
    for place, row in rows:
        try:
            record = read(row, place)
        except XinyeError as error:
            on_bad(error)
        else:
            if record is not None:
                yield record


def expected(place: str, what: str, found: Any) -> XinyeError:
    """The error for a value that is not what was expected."""
    return XinyeError(
        f"{place}: expected {what}, found {json.dumps(found, ensure_ascii=False)[:60]}"
    )


def nothing_to_learn(place: str, why: str) -> XinyeError:
    """The error for a record that a model cannot learn from."""
    return XinyeError(f"{place}: {why}, so there is nothing to learn from")


def text_in(row: Row, name: str, place: str) -> str:
    """The text in a field. Raises `XinyeError` for anything else."""
    if not isinstance(row.get(name), str):
        raise expected(f"{place}, field {name!r}", "a text", row.get(name))
    return row[name]


def check_name(what: str, name: str, place: str) -> None:
    """Raises `XinyeError` for a label, tag or role that contains �, because different bad bytes
    would become the same name.
    """
    if "\ufffd" in name:
        raise XinyeError(
            f"{place}: the {what} {name[:40]!r} contains bytes that could not be read; correct it"
        )


def rejected(row: Row) -> bool:
    """True if an annotator rejected or skipped the record, as in Prodigy's files."""
    return row.get("answer") in ("reject", "ignore")


def note_missing(what: str, text: str, place: str, notes: Notes) -> None:
    """Add a note if a text or label is a word that programs write for a missing value."""
    if text.strip().casefold() in MISSING:
        notes.add(
            place,
            f"the {'label' if what == 'label' else 'text'} is {text.strip()!r}, which looks like a "
            "missing value",
        )


def note_unread(row: Row, read: Collection[str], place: str, notes: Notes) -> None:
    """Add a note for each field with text that is not used. Fields that only say where a record
    comes from are ignored.
    """
    unread = (
        name
        for name, value in row.items()
        if isinstance(value, str | list | dict)
        and value
        and name not in read
        and name.strip().lower() not in ABOUT
    )
    for name in islice(unread, MOST_UNREAD):
        notes.add(place, f"the field {name!r} is not read")
    if any(True for _ in unread):
        notes.add(place, "there are more fields that are not read")


def spelled_alike(names: Iterable[str]) -> Iterator[str]:
    """Findings: names that differ only in case, width or spaces."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spelled[re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()].append(name)
    for same in spelled.values():
        if len(same) > 1:
            names_alike = ", ".join(map(repr, same))
            yield f"{len(same)} labels differ only in case, width or spaces: {names_alike}"


def beside(one: str, other: str) -> str:
    """The second of two places, without the file's name if both are in the same file."""
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
    """A finding: validation records that are also in the training data."""
    seen = {record.whole: record for record in reversed(training)}
    inside = [record for record in validation if record.whole in seen]
    if inside:
        first, trained = inside[0].place, seen[inside[0].whole].place
        yield (
            f"the training data contain {len(inside):,} of "
            f"{plural(len(validation), 'validation record')}, which makes the model look better "
            f"than it is: first {first} = {beside(first, trained)}"
        )


def unseen(training: Sequence[Any], records: Sequence[Any]) -> list[Any]:
    """The records whose text is not in the training data: on these, figures are honest."""
    seen = {record.whole for record in training}
    return [record for record in records if record.whole not in seen]


def split(
    records: Sequence[Any],
    share: float,
    seed: int,
    fold: tuple[int, int] | None = None,
    label: Callable[[Any], Hashable] = lambda record: "",
    text: Callable[[Any], str] = lambda record: record.whole,
) -> tuple[list[Any], list[Any]]:
    """The training and the validation records: validation gets a `share` of each label's records,
    or part i of k with `fold` (i, k). The seed decides which. Records with the same text stay
    together; `text` says what that is, if not all of a record.

    Raises `XinyeError` if one of them would be empty.
    """
    by_label: defaultdict[Any, dict[str, list[int]]] = defaultdict(dict)
    label_of: dict[str, Hashable] = {}
    for number, record in enumerate(records):
        its = label_of.setdefault(text(record), label(record))
        by_label[its].setdefault(text(record), []).append(number)
    judged: set[int] = set()
    generator, dealt = random.Random(seed), 0
    for its in sorted(by_label):
        texts = list(by_label[its].values())
        generator.shuffle(texts)
        if fold:  # dealt out in turn; each label continues where the previous one ended
            chosen = texts[(fold[0] - 1 - dealt) % fold[1] :: fold[1]]
            dealt += len(texts)
        else:
            chosen = texts[: round(share * len(texts))]
        judged.update(chain(*chosen))
    if not judged or len(judged) == len(records):
        few = "too few of each label" if len(by_label) > 1 else "too few"
        raise XinyeError(
            f"{plural(len(records), 'record')}: {few} to keep some for validation; name a file "
            "with --validation"
        )
    return [r for i, r in enumerate(records) if i not in judged], [
        records[i] for i in sorted(judged)
    ]


# -- tokens and targets ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """A record, or a part of a long one, as a network reads it.

    `targets` is the number of the label, 0.0 or 1.0 for each label, a label's number for each
    token, or, of a span, its first and last token. `cut` counts the tokens that were left out.
    `sentences` holds the index of the first token of each sentence, and the end of the last one;
    without it, augmentation keeps the text in order and whole. A crop never cuts the text just
    before a token in `inside`.
    """

    tokens: list[int]
    targets: int | list[float] | list[int] | tuple[int, int]
    cut: int = 0
    sentences: tuple[int, ...] = ()
    inside: frozenset[int] = frozenset()

    @property
    def of_tokens(self) -> bool:
        """True if each token has its own target."""
        return isinstance(self.targets, list) and not isinstance(self.targets[0], float)


@dataclass(frozen=True)
class Augmentation:
    """How a text is changed each time the model trains on it.

    `mask_tokens` is the share of its tokens that are replaced by padding, `crop_tokens` the largest
    share that is cut off at its ends, and `shuffle_texts` the share of texts whose sentences are
    shuffled.
    """

    mask_tokens: float = 0.0
    crop_tokens: float = 0.0
    shuffle_texts: float = 0.0


UNCHANGED = Augmentation()


class Examples:
    """Training examples in batches. Each epoch has another order, and each batch depends only on
    the step and the seed.
    """

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
        """Samples `first` to `first + size - 1` of the endless sequence of epochs, as pairs of the
        sample and the index of its example, the shortest first.
        """
        count = len(self)
        found = [
            (i, permute(i % count, count, self.seed * 1_000_003 + i // count))
            for i in range(first, first + size)
        ]
        return sorted(found, key=lambda pair: (len(self.examples[pair[1]].tokens), pair))

    def micro_batches(self, first: int, size: int, micro_batch_size: int) -> list[Labelled]:
        """These samples in batches for training; examples of similar length share a batch."""
        numbers = self.numbers(first, size)
        return [
            batch(
                [self.augmented(*pair) for pair in numbers[at : at + micro_batch_size]], self.pad_id
            )
            for at in range(0, size, micro_batch_size)
        ]

    def in_order(self, size: int) -> Iterator[tuple[list[int], Labelled]]:
        """All examples once, the shortest first, in batches with the indices of their examples."""
        order = sorted(range(len(self)), key=lambda number: len(self.examples[number].tokens))
        for at in range(0, len(order), size):
            yield (
                order[at : at + size],
                batch([self.examples[number] for number in order[at : at + size]], self.pad_id),
            )

    def augmented(self, sample: int, number: int) -> Example:
        """An example with its augmentation, which depends only on the sample's number and the
        seed.
        """
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
        """The indices of the tokens to read, in order. Tokens before and after the text stay."""
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
        """Which tokens of a sample are masked, (T,); never the first or last."""
        key = mix(np.array(self.seed * 1_000_003 + sample, np.uint64))
        drawn = mix(np.arange(length, dtype=np.uint64) + key)
        masked = drawn < np.uint64(self.augmentation.mask_tokens * 2**64)
        masked[[0, -1]] = False
        return masked


def sentence_borders(
    ends: Sequence[int], offsets: Sequence[tuple[int, int]], first: int
) -> tuple[int, ...]:
    """The index of each sentence's first token, and of the end of the last one.

    `ends` are the ends of the sentences in the text, `offsets` the places of the tokens in it, and
    `first` is the index of the first of these tokens.
    """
    # for each token: how many sentences end before it
    passed = [bisect_right(ends, start) for start, _ in offsets]
    begins = [at for at in range(1, len(offsets)) if passed[at] > passed[at - 1]]
    return tuple(first + at for at in (0, *begins, len(offsets)))


def batch(examples: Sequence[Example], pad_id: int) -> Labelled:
    """A batch of examples, padded at the end: tokens (B, T), and targets (B, T) of tokens, (B,) of
    labels, (B, labels) or, for spans, (B, 2).
    """
    lengths = torch.tensor([len(example.tokens) for example in examples])
    targets: list[Any] = [example.targets for example in examples]
    of_tokens = examples[0].of_tokens
    return Labelled(
        _padded([example.tokens for example in examples], pad_id),
        lengths,
        _padded(targets, IGNORED) if of_tokens else torch.tensor(targets),
    )


def _padded(rows: Sequence[list[int]], padding: int) -> torch.Tensor:
    """The rows as one tensor, padded at the end."""
    longest = max(map(len, rows))
    return torch.tensor([row + [padding] * (longest - len(row)) for row in rows])
