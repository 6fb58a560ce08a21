"""Errors made by rule in correct texts: same sound, same shape, missing, doubled; in words of other
scripts also letters that are swapped, missing, doubled or neighbours on the keyboard."""

from dataclasses import dataclass, field
from random import Random

from xinye.data.scripts import is_han
from xinye.evaluation.edits import Edit, Unit, applied, change, units_of
from xinye.tasks.proofread_confusions import Confusions, homophones, same_sound, typing_errors

# How often each kind is tried. A kind that is impossible for a unit is replaced by another.
HAN_ERRORS = {"sound": 0.5, "shape": 0.2, "missing": 0.15, "doubled": 0.15}
WORD_ERRORS = {"homophone": 0.25, "typing": 0.5, "missing": 0.1, "doubled": 0.15}
# Small words, which writers forget.
SMALL = ("a", "an", "the", "to", "of", "in", "on", "at", "is", "are", "was", "for", "and", "with")
ERRORS = (0.75, 0.2, 0.05)  # share of sentences with one, two and three errors


@dataclass(frozen=True)
class ErrorMaker:
    """Makes errors in correct texts."""

    confusions: Confusions = field(default_factory=Confusions)

    def judged(self, right: str) -> str:
        """The text to evaluate a model on: half of all texts stay as they are, the others get one
        to three errors. It depends on the text alone."""
        chance = Random(right)
        if chance.random() < 0.5:
            return right
        [count] = chance.choices((1, 2, 3), ERRORS)
        return self.spoiled(right, count, chance)

    def spoiled(self, right: str, count: int, chance: Random) -> str:
        """The text with up to `count` errors, none beside another."""
        units = units_of(right)
        places = [at for at, unit in enumerate(units) if unit.text[0].isalpha()]
        chance.shuffle(places)
        edits: list[Edit] = []
        used: set[int] = set()
        for at in places:
            if len(edits) == count:
                break
            if used.isdisjoint((at - 1, at, at + 1)):
                edit = self._error(right, units, at, chance)
                if edit is not None:
                    edits.append(edit)
                    used.add(at)
        return applied(right, edits)

    def _error(self, text: str, units: list[Unit], at: int, chance: Random) -> Edit | None:
        """An error in a unit; None if no kind of error is possible there."""
        unit = units[at]
        shares = dict(HAN_ERRORS if is_han(unit.text) else WORD_ERRORS)
        while shares:
            [kind] = chance.choices([*shares], [*shares.values()])
            if edit := self._of_kind(kind, text, units, at, chance):
                return edit
            del shares[kind]
        return None

    def _of_kind(
        self, kind: str, text: str, units: list[Unit], at: int, chance: Random
    ) -> Edit | None:
        unit = units[at]
        if kind == "doubled":
            space = " " if unit.is_word else ""
            return Edit(unit.end, unit.end, space + unit.text)
        if kind == "missing":
            if len(units) < 4 or (not is_han(unit.text) and unit.text.lower() not in SMALL):
                return None
            return change(text, units, at, at + 1, "")
        if kind == "typing":
            others = list(typing_errors(unit.text)) if 3 <= len(unit.text) <= 30 else []
        elif kind == "homophone":
            others = list(homophones(unit.text))
        else:
            others = list((same_sound if kind == "sound" else self.confusions.of)(unit.text))
        others = [other for other in others if other != unit.text]
        return Edit(unit.start, unit.end, chance.choice(others)) if others else None
