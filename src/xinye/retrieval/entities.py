"""Finds the names of a list that a text contains: exact, without what stands in brackets, or
similar.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

SIMILAR = 0.6  # share of a name's pairs of characters that a text must contain
FEWEST_PAIRS = 3  # that a text must share with a similar name
LONGEST_NAME = 200  # characters


def folded(text: str) -> str:
    """The text as names are compared: in small letters and narrow forms, one for each character."""
    letters = (unicodedata.normalize("NFKC", letter).casefold() for letter in text)
    return "".join(new if len(new) == 1 else old for old, new in zip(text, letters, strict=True))


@dataclass(frozen=True)
class Mention:
    """A name in a text: `text[start:end]`."""

    name: str
    start: int
    end: int


class Names:
    """Names to look for in texts."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = [*names]
        self._spellings: dict[str, list[str]] = {}
        short: dict[str, list[str]] = {}
        for name in self.names:
            whole = folded(name)
            self._spellings.setdefault(whole, []).append(name)
            bare = _without_brackets(whole)
            if bare != whole and len(bare) > 1:
                short.setdefault(bare, []).append(name)
        for bare, meant in short.items():
            self._spellings.setdefault(bare, meant)
        lengths: dict[str, set[int]] = defaultdict(set)
        for spelling in self._spellings:
            lengths[spelling[:2]].add(len(spelling))
        # of the spellings that begin with two characters, or are one; the longest first
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}

    def mentions(self, text: str) -> list[Mention]:
        """Where names stand in the text. Of names within one another the longest counts. A name may
        lack what stands in brackets at its end; if several names are the same without it, none is
        found.
        """
        found = []
        letters = folded(text)
        at = 0
        while at < len(letters):
            spelling = next(
                (
                    letters[at : at + length]
                    for size in (2, 1)
                    for length in self._lengths.get(letters[at : at + size], ())
                    if letters[at : at + length] in self._spellings
                    and _is_whole(letters, at, at + length)
                ),
                "",
            )
            end = at + (len(spelling) or 1)
            if spelling and (name := self._meant(spelling, text[at:end])):
                found.append(Mention(name, at, end))
            at = end
        return found

    def within(self, text: str) -> list[str]:
        """The names in the text, in its order, each once.

        >>> Names(["Swan", "Swan Inn", "Fox (North)"]).within("From the swan inn to the Fox?")
        ['Swan Inn', 'Fox (North)']
        """
        return list(dict.fromkeys(mention.name for mention in self.mentions(text)))

    def _meant(self, spelling: str, text: str) -> str:
        """The name that is spelled like this where the text is as given, or "" if several have the
        same beginning before their brackets."""
        names = self._spellings[spelling]
        if len(names) > 1 and folded(names[0]) != spelling:
            return ""
        return text if text in names else names[0]

    def similar(self, text: str) -> list[str]:
        """The names most like a part of the text, measured by the share of their pairs of
        characters that the text has: several if they are equally alike, none if none is alike."""
        pairs = _pairs(folded(text))
        having, sizes = self._numbers_of_pairs, self._counts_of_pairs
        shared = Counter(number for pair in pairs for number in having.get(pair, ()))
        alike: dict[int, float] = {
            number: count / sizes[number]
            for number, count in shared.items()
            if count >= FEWEST_PAIRS
        }
        best = max(alike.values(), default=0.0)
        if best < SIMILAR:
            return []
        return [self.names[number] for number, share in alike.items() if share == best]

    @cached_property
    def _numbers_of_pairs(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for number, name in enumerate(self.names):
            for pair in _pairs(folded(name)):
                found.setdefault(pair, []).append(number)
        return found

    @cached_property
    def _counts_of_pairs(self) -> Counter[int]:
        return Counter(number for having in self._numbers_of_pairs.values() for number in having)


def replaced(text: str, mentions: Iterable[Mention], new: str) -> str:
    """The text with `new` in place of these names in it."""
    parts, begin = [], 0
    for mention in mentions:
        parts += [text[begin : mention.start], new]
        begin = mention.end
    return "".join([*parts, text[begin:]])


def _without_brackets(name: str) -> str:
    """A folded name without what stands in brackets at its end."""
    before, _, within = name.rstrip().rpartition("(")
    closed = within.endswith(")") and within.count(")") == 1
    return before.rstrip() if closed else name


def _pairs(text: str) -> set[str]:
    """The pairs of neighbouring letters and digits of a text, whatever stands between them."""
    text = re.sub(r"[\W_]", "", text)
    return {text[at : at + 2] for at in range(len(text) - 1)}


def _is_whole(text: str, begin: int, end: int) -> bool:
    """True if the part of the text begins and ends at the border of a word; every Chinese character
    is one."""
    around = ((begin - 1, begin), (end - 1, end))
    return not any(
        left >= 0 and right < len(text) and _is_latin(text[left]) and _is_latin(text[right])
        for left, right in around
    )


def _is_latin(letter: str) -> bool:
    return letter.isalnum() and letter.isascii()
