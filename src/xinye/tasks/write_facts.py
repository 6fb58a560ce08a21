"""The facts that a text is written from: `key: value`, one a line, and which of them it uses."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from xinye.data.scripts import has_han
from xinye.errors import XinyeError
from xinye.evaluation.summaries import is_chinese
from xinye.retrieval.numbers import numbers
from xinye.retrieval.support import OPENING
from xinye.retrieval.terms import terms

HALF = 0.5  # of the words of a value that a text must have …
FEW = 4  # … unless there are fewer than these: then it must have all of them
LONGEST_KEY = 30  # characters
LONGEST_NUMBER = 100  # characters of two values whose numbers are compared
# A colon within 10:30 or https:// ends no key.
_KEY = re.compile(rf"([^=:：\n]{{0,{LONGEST_KEY}}}?)\s*(?:[=：]|(?<!\d):(?!//))(.*)", re.DOTALL)
LISTED = 15  # characters of the longest value in a list with 、
# The middle of four characters is within a word of Latin letters, or within a number.
_WITHIN = re.compile(r".[0-9a-z][0-9a-z]|[0-9][.,][0-9]|.[0-9][.,][0-9]")
_NUMERAL = re.compile("[零一二三四五六七八九〇两十百千万亿]+")


@dataclass(frozen=True)
class Fact:
    """A fact. `key` is "" for one that is a sentence of its own."""

    key: str
    value: str

    def __str__(self) -> str:
        if not self.key:
            return self.value
        return f"{self.key}：{self.value}" if has_han(self.key) else f"{self.key}: {self.value}"

    @property
    def halved(self) -> "Fact":
        """The fact without the second half of its value."""
        return Fact(self.key, self.value[: len(self.value) // 2].rstrip())

    @property
    def values(self) -> list[str]:
        """The values that it lists, separated by ; or, if they are short, by 、. Each counts."""
        parts = re.split("[、；;]", self.value)
        if max(map(len, parts)) > LISTED:
            parts = re.split("[；;]", self.value)
        return [part.strip() for part in parts if part.strip()] or [self.value]


def read_facts(given: object, where: str) -> tuple[Fact, ...]:
    """Facts from an object, a list of `key=value` or sentences, or a text with one a line (or, in
    only one line, `key: value` between ；). A key that occurs twice with the same value counts
    once.

    Raises `XinyeError`, which begins with `where`, for anything else, for a fact without a value
    and for facts that contradict each other.

    >>> [str(each) for each in read_facts("时间=8点；地点：茶铺", "facts")]
    ['时间：8点', '地点：茶铺']
    """
    if isinstance(given, dict):
        found = [Fact(_plain(str(key)), _value(value, where)) for key, value in given.items()]
    elif isinstance(given, list | tuple):
        found = [read_fact(_value(each, where)) for each in given]
    elif isinstance(given, str):
        lines = [read_fact(line) for line in given.splitlines() if line.strip()]
        parts = [read_fact(part) for part in re.split("[；;]", given) if part.strip()]
        # date: May 4; May 5 is one fact, and date: May 4; place: here are two.
        several = len(lines) == 1 < len(parts) and all(part.key for part in parts)
        found = parts if several else lines
    else:
        raise XinyeError(f"{where}: expected facts as an object, a list or a text")
    return checked_facts(found, where)


def read_fact(text: str) -> Fact:
    """The fact in `key=value`, `key: value` or a sentence."""
    match = _KEY.match(text.strip())
    if match and re.search(r"[^\W\d_]", match[1]):
        return Fact(_plain(match[1]), _plain(match[2]))
    return Fact("", _plain(text))


def checked_facts(facts: Iterable[Fact], where: str) -> tuple[Fact, ...]:
    """The facts, each once. Raises `XinyeError` if there are none, if one has no value, or if a key
    has two values."""
    values: dict[tuple[str, str], Fact] = {}
    for fact in facts:
        if not fact.value:
            raise XinyeError(f"{where}: the fact {fact.key!r} has no value")
        key = re.sub(r"[\s_]+", "", _folded(fact.key))
        # A fact without a key is only the same as another one without a key.
        name = key, "" if key else _folded(fact.value)
        before = values.setdefault(name, fact)
        if not _same(before.value, fact.value):
            both = _joined_values([before.value, fact.value])
            raise XinyeError(
                f"{where}: the facts contradict each other: {fact.key!r} is {before.value!r} and "
                f"{fact.value!r}. Keep one, or list both: {fact.key}={both}"
            )
    if not values:
        raise XinyeError(f"{where}: there are no facts")
    return tuple(values.values())


def lines_of(facts: Iterable[Fact]) -> str:
    """The facts as a model reads them, one a line."""
    return "\n".join(map(str, facts))


def of_lines(source: str) -> tuple[Fact, ...]:
    """The facts of a text that `lines_of` made, in which a ； separates none."""
    return tuple(read_fact(line) for line in source.splitlines())


def only_facts(facts: Sequence[Fact], text: str) -> bool:
    """Whether a text has only the facts, with or without their keys, one after the other."""
    values = (fact.value for fact in facts)
    return _squeezed(text) in (_squeezed("".join(map(str, facts))), _squeezed("".join(values)))


def missing(facts: Sequence[Fact], text: str) -> list[Fact]:
    """The facts of which a text lacks a value."""
    said = Said(text)
    return [fact for fact in facts if not all(map(said.has, fact.values))]


def share_used(facts: Sequence[Fact], text: str) -> float:
    """The share of the values of all facts that a text has."""
    said = Said(text)
    found = [said.has(value) for fact in facts for value in fact.values]
    return sum(found) / max(1, len(found))


def invented(text: str, given: str) -> list[str]:
    """The numbers of a text that what was given, facts and mail, does not have in any form.
    A one in words, as in 一斤, says nothing new."""
    there = {each.value for each in numbers(given)}
    new = (each for each in numbers(text) if each.sure and each.value not in there)
    found = (each.text for each in new if each.value != 1 or each.text[0].isdecimal())
    return list(dict.fromkeys(found))


class Said:
    """What a text says, to look up values in it."""

    def __init__(self, text: str) -> None:
        self.text = _folded(text)

    @cached_property
    def numbers(self) -> set[Decimal]:
        """The values of its numbers."""
        return _values_of(self.text)

    @cached_property
    def words(self) -> set[str]:
        """Its words."""
        return _words(self.text)

    def has(self, value: str) -> bool:
        """Whether the text has a value: as it is written, or all of its numbers and at least half
        of its other words; of fewer than four all. Words of Chinese are pairs of neighbouring
        characters."""
        if _stands_in(_folded(value), self.text):
            return True
        wanted, words = _values_of(value), _words(value)
        if not wanted <= self.numbers:
            return False
        if not words:
            return bool(wanted)
        return len(words & self.words) >= (HALF if len(words) >= FEW else 1) * len(words)


def _stands_in(value: str, text: str) -> bool:
    """Whether a text has a value as a whole: 5% does not stand in 1.5%, nor "tea" in "team"."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if not _joined(text, at) and not _joined(text, end):
            return True
        at = text.find(value, end)
    return False


def _joined(text: str, at: int) -> bool:
    """Whether the characters on both sides of a place belong to one word or number."""
    return bool(_WITHIN.match(text[max(at - 2, 0) : at].rjust(2) + text[at : at + 2].ljust(2)))


def _values_of(text: str) -> set[Decimal]:
    return {each.value for each in numbers(text) if each.sure}


def _words(text: str) -> set[str]:
    """The words of a text that are no numbers; of Chinese the pairs of characters."""
    text = _NUMERAL.sub(" ", text)
    found = {each for each in terms(text) if len(each) > 1 and not re.search(r"\d", each)}
    return found - OPENING or found


def _same(one: str, other: str) -> bool:
    """Whether two values of a key are the same, up to the way they are written: 十二元 and 12元."""
    if _folded(one) == _folded(other) or len(one) + len(other) > LONGEST_NUMBER:
        return _folded(one) == _folded(other)
    mine, theirs = ([*numbers(value)] for value in (one, other))
    return (
        [(each.value, each.unit) for each in mine] == [(each.value, each.unit) for each in theirs]
        and bool(mine)
        and _without_numbers(one) == _without_numbers(other)
    )


def _without_numbers(value: str) -> str:
    folded = _folded(value)
    for number in numbers(folded):
        folded = folded.replace(number.text, " ", 1)
    return folded


def _folded(text: str) -> str:
    """A text in small letters and narrow forms, with one space for several."""
    return _plain(unicodedata.normalize("NFKC", text).casefold())


def _plain(text: str) -> str:
    return " ".join(text.split())


def _squeezed(text: str) -> str:
    """The letters, digits and signs of a text, without what only separates facts."""
    return re.sub(r"[\s；;、，,。.]+", "", _folded(text))


def _joined_values(values: Sequence[str]) -> str:
    """Several values of a fact as one."""
    return ("、" if is_chinese("".join(values)) else "; ").join(values)


def _value(given: object, where: str) -> str:
    """A value of a fact as text; a list of values is joined."""
    if isinstance(given, list | tuple):
        return _joined_values([_value(each, where) for each in given])
    if isinstance(given, str):
        return _plain(given)
    if isinstance(given, int | float) and not isinstance(given, bool):
        return str(given)
    raise XinyeError(f"{where}: a fact must be a text or a number, found {given!r:.60}")
