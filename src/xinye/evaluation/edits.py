"""The difference of two texts, in characters of Chinese and words of other scripts."""

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from typing import NamedTuple

from xinye.data.scripts import HAN, is_han

_UNIT = re.compile(rf"[{HAN}]|[^\W_{HAN}]+(?:['’][^\W_{HAN}]+)*|\S")
# Two texts are compared with bands of these widths in turn: as many changes as a band is wide are
# found in any case, in a time that is linear in the texts. Short texts may differ everywhere, if
# the table that compares them has no more cells than this.
BANDS = (8, 64)
CELLS = 82_000


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

    def moved(self, by: int) -> "Edit":
        """The same edit in a text with so many more characters before it."""
        return self._replace(start=self.start + by, end=self.end + by)


def units_of(text: str) -> list[Unit]:
    """The units of a text. Spaces belong to none.

    >>> [unit.text for unit in units_of("我用 Python，it's fun")]
    ['我', '用', 'Python', '，', "it's", 'fun']
    """
    return [Unit(*match.span(), match.group()) for match in _UNIT.finditer(text)]


def steps_between(wrong: Sequence[str], right: Sequence[str]) -> list[tuple[int, int, str]] | None:
    """The fewest changes that turn one sequence of units into another, from left to right: each
    replaces the units `first` to `end - 1` of `wrong`, one or none, by one unit or by "".

    None if long sequences differ too much to compare them (`BANDS`, `CELLS`).
    """
    before = same_length(wrong, right)
    shorter = min(len(wrong), len(right)) - before
    behind = min(same_length(reversed(wrong), reversed(right)), shorter)
    ours, theirs = wrong[before : len(wrong) - behind], right[before : len(right) - behind]
    if not ours:
        return [(before, before, new) for new in theirs]
    if not theirs:
        return [(before + at, before + at + 1, "") for at in range(len(ours))]
    bands = [*BANDS]
    if _cells(len(ours), widest := max(len(ours), len(theirs))) <= CELLS:
        bands.append(widest)
    for band in bands:
        steps = _shortest(ours, theirs, band)
        if steps is not None:
            return [(before + first, before + end, new) for first, end, new in steps]
    return None


def same_length(one: Iterable[object], other: Iterable[object]) -> int:
    """How many units two sequences share at their beginning."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _cells(rows: int, band: int) -> int:
    """How many cells `_shortest` computes or keeps."""
    return (rows + 1) * (2 * band + 3)


def _shortest(
    ours: Sequence[str], theirs: Sequence[str], band: int
) -> list[tuple[int, int, str]] | None:
    """The changes of `steps_between` by the table of Wagner and Fischer (1974), of which only the
    cells up to `band` beside the diagonal are computed (Ukkonen 1985); None if it takes more
    changes than that."""
    if abs(len(ours) - len(theirs)) > band:
        return None
    far = len(ours) + len(theirs) + 1
    middle = band + 1  # column `at` of row `number` is stored at `at - number + middle`
    rows = [[far] * middle + [*range(len(theirs) + 1), *[far] * (band + 2)]]
    for number, ours_here in enumerate(ours, 1):
        above, row = rows[-1], [far] * (2 * band + 3)
        shift = middle - number
        if number <= band:
            row[shift] = number
        for at in range(max(1, number - band), min(len(theirs), number + band) + 1):
            different = ours_here != theirs[at - 1]
            left, here = at + shift - 1, at + shift
            row[here] = min(above[here] + different, above[here + 1] + 1, row[left] + 1)
        rows.append(row)
    if rows[-1][len(theirs) - len(ours) + middle] > band:
        return None
    steps: list[tuple[int, int, str]] = []
    one, other = len(ours), len(theirs)
    while one or other:
        here = other - one + middle
        cost = rows[one][here]
        same = one > 0 and other > 0 and ours[one - 1] == theirs[other - 1]
        if one and other and rows[one - 1][here] + (not same) == cost:
            one, other = one - 1, other - 1
            if not same:
                steps.append((one, one + 1, theirs[other]))
        elif one and rows[one - 1][here + 1] + 1 == cost:
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
