"""The difference of two texts, in characters of Chinese and words of other scripts."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_UNIT = re.compile(rf"[{_HAN}]|[^\W_{_HAN}]+(?:['’][^\W_{_HAN}]+)*|\S")
_IS_HAN = re.compile(rf"[{_HAN}]")
# Two texts are compared unit by unit only if the product of the units in which they differ is at
# most this: the table of the comparison has as many cells.
CELLS = 40_000


class Unit(NamedTuple):
    """A Han character, a word of another script, or a sign, with its place in the text."""

    start: int
    end: int
    text: str

    @property
    def is_word(self) -> bool:
        """True for a word, which stands between spaces."""
        return self.text[0].isalnum() and not is_han(self.text)


class Edit(NamedTuple):
    """The characters `start` to `end - 1` of a text become `replacement`. If `start` equals `end`,
    it is inserted there; if it is empty, the characters are deleted."""

    start: int
    end: int
    replacement: str


def is_han(text: str) -> bool:
    """True if a text begins with a Han character."""
    return bool(_IS_HAN.match(text))


def units_of(text: str) -> list[Unit]:
    """The units of a text. Spaces belong to none.

    >>> [unit.text for unit in units_of("我用 Python，it's fun")]
    ['我', '用', 'Python', '，', "it's", 'fun']
    """
    return [Unit(*match.span(), match.group()) for match in _UNIT.finditer(text)]


def steps_between(wrong: Sequence[str], right: Sequence[str]) -> list[tuple[int, int, str]] | None:
    """The fewest changes that turn one sequence of units into another, from left to right: each
    replaces the units `first` to `end - 1` of `wrong`, one or none, by one unit or by "".

    None if the sequences differ too much to compare them (`CELLS`).
    """
    before = _same(wrong, right)
    shorter = min(len(wrong), len(right)) - before
    behind = min(_same(reversed(wrong), reversed(right)), shorter)
    ours, theirs = wrong[before : len(wrong) - behind], right[before : len(right) - behind]
    if len(ours) * len(theirs) > CELLS:
        return None
    return [(before + first, before + end, new) for first, end, new in _shortest(ours, theirs)]


def _same(one: Iterable[str], other: Iterable[str]) -> int:
    """How many units two sequences share at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _shortest(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int, str]]:
    """The changes of `steps_between` by the table of Wagner and Fischer (1974)."""
    rows = [[*range(len(theirs) + 1)]]
    for number, ours_here in enumerate(ours, 1):
        above, row = rows[-1], [number]
        for at, theirs_here in enumerate(theirs, 1):
            different = ours_here != theirs_here
            row.append(min(above[at - 1] + different, above[at] + 1, row[-1] + 1))
        rows.append(row)
    steps: list[tuple[int, int, str]] = []
    one, other = len(ours), len(theirs)
    while one or other:
        cost = rows[one][other]
        same = one > 0 and other > 0 and ours[one - 1] == theirs[other - 1]
        if one and other and rows[one - 1][other - 1] + (not same) == cost:
            one, other = one - 1, other - 1
            if not same:
                steps.append((one, one + 1, theirs[other]))
        elif one and rows[one - 1][other] + 1 == cost:
            one -= 1
            steps.append((one, one + 1, ""))
        else:
            other -= 1
            steps.append((one, one, theirs[other]))
    return steps[::-1]


def change(text: str, units: Sequence[Unit], first: int, end: int, new: str) -> Edit:
    """The change of a text that replaces the units `first` to `end - 1` by the unit `new`, or
    deletes them, or inserts `new` before them. Words keep one space between them."""
    if first < end and new:
        return Edit(units[first].start, units[end - 1].end, new)
    if first < end:
        start, stop = units[first].start, units[end - 1].end
        if text[start - 1 : start] == " " and text[stop : stop + 1] in ("", " ", *",.;:!?)"):
            start -= 1
        elif not start and text[stop : stop + 1] == " ":
            stop += 1
        return Edit(start, stop, "")
    is_word = Unit(0, 0, new).is_word
    follows = first < len(units) and units[first].is_word
    if is_word and first and units[first - 1].is_word and not follows:
        return Edit(units[first - 1].end, units[first - 1].end, f" {new}")
    place = units[first].start if first < len(units) else (units[-1].end if units else len(text))
    return Edit(place, place, f"{new} " if is_word and follows else new)


def applied(text: str, edits: Iterable[Edit]) -> str:
    """The text with these edits, which do not overlap."""
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda edit: (edit.start, edit.end)):
        pieces += [text[at : edit.start], edit.replacement]
        at = edit.end
    return "".join([*pieces, text[at:]])
