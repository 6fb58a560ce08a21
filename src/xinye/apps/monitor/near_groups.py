"""Which labelled texts nearly equal each other, by the rule that finds repeats in a stream: what a
model has learned must not be tested on in almost the same words. Numbers do not count: news that
report figures often differ in nothing else."""

import re
from collections.abc import Sequence

from xinye.apps.monitor.near import HELD, Near, Sketched, held, letters, needed, sketch, title_hash

_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")


def near_groups(texts: Sequence[str]) -> list[int]:
    """The number of the group of each text, from 0, in order of their first texts.

    A text joins the group whose first text it nearly equals; so groups do not chain."""
    firsts = _Texts()
    group_of: dict[str, int] = {}  # by letters
    groups = []
    for text in map(_without_numbers, texts):
        plain = letters(text)
        if plain not in group_of:
            found = firsts.find(text)
            group_of[plain] = firsts.add(text) if found is None else found
        groups.append(group_of[plain])
    return groups


def unlike(texts: Sequence[str], others: Sequence[str]) -> list[bool]:
    """Whether each text nearly equals none of the others."""
    known = _Texts()
    for each in others:
        known.add(_without_numbers(each))
    return [known.find(_without_numbers(each)) is None for each in texts]


def _without_numbers(text: str) -> str:
    """A text in which all numbers are equal."""
    return _NUMBER.sub("0", text)


class _Texts:
    """Texts that others are compared with. Of those that are too short to be nearly equal, only
    equal letters are found."""

    def __init__(self) -> None:
        self._near = Near(days=1)
        self._texts: list[str] = []
        self._by_letters: dict[str, int] = {}

    def add(self, text: str) -> int:
        """Remember a text; returns its number."""
        number = len(self._texts)
        self._texts.append(text)
        self._by_letters[letters(text)] = number
        own = sketch("", text)
        if own is not None:
            self._near.add([Sketched(number, 0.0, _title(text), own)])
        return number

    def find(self, text: str) -> int | None:
        """The number of a text that this one nearly equals; None if there is none."""
        equal = self._by_letters.get(letters(text))
        own = sketch("", text)
        if equal is not None or own is None:
            return equal
        (found,) = self._near.find([(0.0, own, needed("", text))])
        if found is not None:
            return found
        titled = self._near.titled(_title(text), 0.0)
        if titled is not None and held(text, self._texts[titled]) >= HELD:
            return titled
        return None


def _title(text: str) -> int:
    return title_hash(text.partition("\n")[0])
