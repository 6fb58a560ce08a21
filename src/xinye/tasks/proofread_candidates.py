"""What might be right instead of a text: the edits that a proofreader weighs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from xinye.data.scripts import is_han
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.edits import Edit, Unit, change, units_of
from xinye.tasks.proofread_confusions import Alike, same_sound
from xinye.tasks.proofread_known import Known

KINDS = ("sound", "shape", "people", "letters", "delete", "insert")
REPLACED = 64  # replacements of a text that are weighed: those that fit best behind what is before
GAPS = 12  # places where a unit may be missing: before those that fit worst
INSERTED = 32  # units that are tried in such a gap
SURPRISING = -2.5  # nats: nothing is missing before a unit that is more probable than this


class Option(NamedTuple):
    """A possible edit: its kind, one of `KINDS`, the number of the unit at which it stands, and how
    often people made it."""

    edit: Edit
    kind: str
    unit: int
    times: int = 0

    def moved(self, by: int) -> "Option":
        """The same edit in a text with so many more characters before it."""
        return self._replace(edit=self.edit.moved(by))


@dataclass(frozen=True)
class Reading:
    """A text as the language model reads it. `tokens` are those of the text with the one that ends
    it; `table` (T, V) has the log-probabilities for each of them. `places` has the number of the
    token in which each unit begins; a unit that begins inside a token is not there."""

    text: str
    tokens: list[int]
    places: Mapping[int, int]
    table: Tensor

    @cached_property
    def units(self) -> list[Unit]:
        """The units of the text."""
        return units_of(self.text)

    @cached_property
    def own(self) -> list[float]:
        """The log-probability of each token."""
        return self.table.gather(1, torch.tensor(self.tokens)[:, None])[:, 0].tolist()


class Confusable:
    """Knows which units may stand for which, from a tokenizer and from what a run has learned."""

    def __init__(self, tokenizer: Tokenizer, known: Known) -> None:
        self.tokenizer, self.confusions = tokenizer, known.confusions
        self.alone: dict[str, int] = {}  # Han characters that are one token
        self.spaced: dict[str, int] = {}  # words that are one token with the space before them
        for number, raw in enumerate(tokenizer.token_bytes):
            text = raw.decode(errors="replace")
            if len(text) == 1 and is_han(text):
                self.alone[text] = number
            elif text[:1] == " " and text[1:].isalpha() and not is_han(text[1:]):
                self.spaced[text[1:]] = number
        self.alike = Alike([*self.spaced, *known.words])
        self.insertable = {number: word for table in (self.alone, self.spaced)
                           for word, number in table.items()}  # fmt: skip
        self.first: dict[str, int] = {}

    def options(self, reading: Reading) -> list[Option]:
        """The edits of a text that are worth weighing."""
        return [*self._replaced(reading), *self._doubled(reading), *self._missing(reading)]

    def of(self, unit: str) -> dict[str, str]:
        """What may be right instead of a unit, with the kind of the error."""
        known = self.confusions.get(unit, {})
        found = dict.fromkeys(known, "shape")
        if is_han(unit):
            found |= {each: "sound" for each in same_sound(unit) if each in self.alone}
        elif unit.isalpha():
            found |= dict.fromkeys(self.alike.of(unit), "letters")
        return found | {each: "people" for each, times in known.items() if times}

    def _replaced(self, reading: Reading) -> list[Option]:
        gains: list[float] = []
        found: list[Option] = []
        for number, unit in enumerate(reading.units):
            place = reading.places.get(unit.start)
            others = self.of(unit.text)
            if place is None or not others:
                continue
            space = reading.text[unit.start - 1 : unit.start] == " "
            rows = reading.table[place, [self._first(other, space) for other in others]]
            gains += (rows - reading.own[place]).tolist()
            times = self.confusions.get(unit.text, {})
            found += [
                Option(Edit(unit.start, unit.end, other), kind, number, times.get(other, 0))
                for other, kind in others.items()
            ]
        order = sorted(range(len(found)), key=lambda at: -gains[at])
        return [found[at] for at in order[:REPLACED]]

    def _first(self, unit: str, space: bool) -> int:
        """The first token of a unit, with the space before it."""
        text = f" {unit}" if space else unit
        if text not in self.first:
            self.first[text] = self.tokenizer.encode(text)[0]
        return self.first[text]

    def _doubled(self, reading: Reading) -> Iterator[Option]:
        units = reading.units
        for number in range(1, len(units)):
            if units[number].text == units[number - 1].text and units[number].text[0].isalpha():
                edit = change(reading.text, units, number, number + 1, "")
                yield Option(edit, "delete", number)

    def _missing(self, reading: Reading) -> Iterator[Option]:
        units, text = reading.units, reading.text
        places = [(reading.own[place], number, place) for number, unit in enumerate(units)
                  if number and (place := reading.places.get(unit.start)) is not None]  # fmt: skip
        tokens = torch.tensor([*self.insertable])
        for own, number, place in sorted(places)[:GAPS]:
            if own > SURPRISING or not len(tokens):
                break
            row = reading.table[place, tokens]
            for at in row.topk(min(INSERTED, len(tokens))).indices.tolist():
                new = self.insertable[int(tokens[at])]
                if new not in (units[number].text, units[number - 1].text):
                    yield Option(change(text, units, number, number, new), "insert", number)
