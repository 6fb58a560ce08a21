"""What a proofreading network reads and decides: tokens, and a label for each unit of a text.

The label of a unit stands at the token before it, because there the base model has learned to
predict it, so fine-tuning starts from what the base knows (BehnamGhader et al. 2024,
arXiv:2404.05961, "masked next token prediction"). A text begins with one more token, for its first
unit; the label at its last token says whether something is missing at the end.

The labels are "keep", "delete", "insert" (a unit is missing before this one), and "=x" for the unit
x that should be here. A unit that is correct is labelled as itself; only one that has no label, or
stands for the end of the text, is labelled "keep". In training some units are hidden: their token
is the padding, and the label says what was there (Wu et al. 2023, arXiv:2305.17721: it makes a
corrector learn the language and not only the errors). So the network can fill the gap of an
"insert", too.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.edits import Unit, steps_between, units_of
from xinye.model.heads import IGNORED
from xinye.tasks.proofread_records import ProofText, pieces
from xinye.tasks.records import Example, Examples
from xinye.tasks.tag_spans import segments_of

KEEP, DELETE, INSERT = "keep", "delete", "insert"
SPECIAL = (KEEP, DELETE, INSERT)
WINDOW = 128  # tokens that are read at once
HIDDEN = 0.15  # share of the units that are hidden in training
CLEAN = 0.2  # share of the correct texts that are learned without errors
OWN_ERRORS = 0.5  # of the times that a pair is learned, it has the errors of its own
ERROR_RATE = 0.08  # errors per unit in the others


def unit_label(unit: str) -> str:
    """The label that says which unit should be here."""
    return f"={unit}"


@dataclass(frozen=True)
class Part:
    """A text, or a part of a long one, as tokens.

    `place` maps the number of each unit that can be decided to the index of the token that decides
    it; the number behind the last unit stands for the end of the text. `own` has the indices of
    each unit's tokens."""

    tokens: list[int]
    place: dict[int, int]
    own: dict[int, range]


def parts_of(tokenizer: Tokenizer, text: str, units: Sequence[Unit], context: int) -> list[Part]:
    """The text in parts of at most `context` tokens and `WINDOW`, cut behind sentences if
    possible. A unit that begins inside a token is in none of them."""
    numbers = {unit.start: number for number, unit in enumerate(units)}
    parts = []
    for segment in segments_of(tokenizer, text, min(context, WINDOW) - 1):
        part = Part([tokenizer.bos_id, *segment.tokens], {}, {})
        latest = -1
        for at, (start, end) in enumerate(segment.offsets, 1):
            if start == end:
                continue
            number = numbers.get(start, -1)
            if number > latest:
                part.place[number], part.own[number] = at - 1, range(at, at + 1)
                latest = number
            elif latest in part.own and start < units[latest].end:
                part.own[latest] = range(part.own[latest].start, at + 1)
        parts.append(part)
    if units and len(units) - 1 in parts[-1].own:
        parts[-1].place[len(units)] = parts[-1].own[len(units) - 1][-1]
    return parts


def labels_of(wrong: Sequence[Unit], right: str) -> list[str]:
    """The label of each unit of a wrong text, and of its end. Of several units that are missing at
    one place only one is inserted."""
    labels = [KEEP] * (len(wrong) + 1)
    steps = steps_between([unit.text for unit in wrong], [unit.text for unit in units_of(right)])
    for first, end, new in steps or ():
        if first == end:
            labels[first] = INSERT
        elif labels[first] != INSERT:
            labels[first] = unit_label(new) if new else DELETE
    return labels


@dataclass(frozen=True)
class Drawing:
    """Turns records into examples. `number` maps each label to its number."""

    tokenizer: Tokenizer
    number: Mapping[str, int]
    context: int

    def as_it_is(self, record: ProofText) -> list[Example]:
        """The examples of a record with its own errors, and nothing hidden."""
        return list(self._examples(record.wrong, record.right, None))

    def drawn(self, record: ProofText, chance: Random) -> list[Example]:
        """The examples of a record as it is learned: with new errors made by rule, or with those
        of a person, and with hidden units."""
        wrong = record.wrong
        if record.made or chance.random() >= OWN_ERRORS:
            wrong = record.right
            most = max(1, round(2 * ERROR_RATE * len(units_of(wrong))))
            if chance.random() >= CLEAN:
                wrong = record.maker.spoiled(wrong, chance.randint(1, most), chance)
        return list(self._examples(wrong, record.right, chance))

    def _examples(self, wrong: str, right: str, chance: Random | None) -> Iterator[Example]:
        units = units_of(wrong)
        labels = labels_of(units, right)
        for part in parts_of(self.tokenizer, wrong, units, self.context):
            hidden = set()
            if chance:
                hidden = {
                    unit for unit in part.own if chance.random() < HIDDEN and labels[unit] == KEEP
                }
            yield self._example(part, units, labels, hidden)

    def _example(
        self, part: Part, units: Sequence[Unit], labels: Sequence[str], hidden: set[int]
    ) -> Example:
        """A part with its targets. The tokens of a hidden unit become a single padding."""
        targets = [IGNORED] * len(part.tokens)
        for unit, at in part.place.items():
            label = labels[unit]
            own = unit_label(units[unit].text) if unit < len(units) else KEEP
            if unit in hidden or (label == KEEP and own in self.number):
                label = own
            targets[at] = self.number.get(label, IGNORED)
        tokens = list(part.tokens)
        for unit in sorted(hidden, reverse=True):
            at, end = part.own[unit].start, part.own[unit].stop
            tokens[at:end] = [self.tokenizer.pad_id]
            targets[at:end] = [targets[end - 1]]  # the last token decides the unit behind it
        return Example(tokens, targets)


class FreshErrors(Examples):
    """Training examples with other errors and other hidden units in every epoch. What a sample is
    depends on its number and the seed alone."""

    def __init__(self, drawing: Drawing, records: Sequence[ProofText], seed: int) -> None:
        # A sample draws all of its record, so a record that takes many is cut before.
        short = [
            piece
            for record in records
            for piece in (pieces(record) if len(drawing.as_it_is(record)) > 1 else [record])
        ]
        parts = [
            (record, at, example)
            for record in short
            for at, example in enumerate(drawing.drawn(record, Random(f"{seed} {record.right}")))
        ]
        super().__init__([example for *_, example in parts], drawing.tokenizer.pad_id, seed)
        self.drawing, self.parts = drawing, [(record, at) for record, at, _ in parts]

    def augmented(self, sample: int, number: int) -> Example:
        """The example of a sample, drawn anew."""
        record, at = self.parts[number]
        drawn = self.drawing.drawn(record, Random(f"{self.seed} {sample}"))
        return drawn[min(at, len(drawn) - 1)]
