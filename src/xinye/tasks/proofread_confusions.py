"""Characters and words that people take for each other: by sound, from a file, and by typing."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from pathlib import Path

from xinye.data.scripts import is_han
from xinye.data.sources import read_lines
from xinye.errors import XinyeError
from xinye.libraries import need

READINGS = 2  # of a character, the most usual ones
# Sounds that many speakers do not tell apart.
_NEAR = re.compile(r"(?<=^[zcs])h|(?<=[aei]n)g$")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
HOMOPHONES = (
    "their/there/they're", "your/you're", "its/it's", "to/too/two", "then/than", "here/hear",
    "know/no", "knew/new", "write/right", "where/wear", "whether/weather", "accept/except",
    "affect/effect", "lose/loose", "quiet/quite", "piece/peace", "by/buy/bye", "week/weak",
    "for/four", "our/hour", "one/won", "sea/see", "son/sun", "through/threw", "whose/who's",
    "passed/past", "principal/principle", "brake/break", "meet/meat", "which/witch",
)  # fmt: skip
_SAME = {
    word: tuple(other for other in row.split("/") if other != word)
    for row in HOMOPHONES
    for word in row.split("/")
}
REMEMBERED = 1 << 14  # characters whose sounds are kept in memory: all that are common


@cache
def common_characters(traditional: bool) -> tuple[str, ...]:
    """The common characters: the first level of GB 2312 (3,755, simplified), or of Big5 (5,401)."""
    if traditional:
        codes = [(high, low) for high in range(0xA4, 0xC7) for low in range(0x40, 0xFF)]
    else:
        codes = [(high, low) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF)]
    decoded = (bytes(code).decode("big5" if traditional else "gb2312", "ignore") for code in codes)
    return tuple(character for character in decoded if len(character) == 1 and is_han(character))


@lru_cache(REMEMBERED)
def sounds_of(character: str) -> tuple[str, ...]:
    """The readings of a Han character without tones, of which those that are easily confused are
    written alike: 是 and 四 are both "si". Empty for a character that is not in the dictionary."""
    need("proofreading of Chinese", "pypinyin")
    from pypinyin import Style, pinyin

    [read] = pinyin(character, style=Style.NORMAL, heteronym=True, errors="ignore") or [[]]
    return tuple(dict.fromkeys(_NEAR.sub("", each) for each in read))[:READINGS]


@cache
def _by_sound(traditional: bool) -> dict[str, list[str]]:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for character in common_characters(traditional):
        for sound in sounds_of(character):
            found[sound].append(character)
    return dict(found)


@cache
def _simplified() -> frozenset[str]:
    return frozenset(common_characters(traditional=False))


@lru_cache(REMEMBERED)
def same_sound(character: str) -> tuple[str, ...]:
    """The common characters that sound like this one, written in the same script."""
    if not is_han(character):
        return ()
    known = _by_sound(traditional=character not in _simplified())
    found = (each for sound in sounds_of(character) for each in known.get(sound, ()))
    return tuple(dict.fromkeys(each for each in found if each != character))


def homophones(word: str) -> tuple[str, ...]:
    """The English words that sound like this one, with its capitals."""
    return tuple(_like(word, each) for each in _SAME.get(word.lower(), ()))


def _like(word: str, other: str) -> str:
    """The other word with a capital if this one has it."""
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def neighbours(letter: str) -> str:
    """The letters beside this one on the keyboard."""
    row = next((keys for keys in _KEYS if letter.lower() in keys), "")
    at = row.find(letter.lower())
    near = row[max(0, at - 1) : at] + row[at + 1 : at + 2] if row else ""
    return near.upper() if letter.isupper() else near


def typing_errors(word: str) -> Iterator[str]:
    """The ways to mistype a word behind its first letter: two letters swapped, one missing, doubled
    or replaced by its neighbour on the keyboard."""
    for at in range(1, len(word)):
        before, letter, behind = word[:at], word[at], word[at + 1 :]
        yield before + behind
        yield before + letter * 2 + behind
        for near in neighbours(letter):
            yield before + near + behind
        if behind and behind[0] != letter:
            yield before + behind[0] + letter + behind[1:]


class Confusions:
    """The characters of files of confusions, each with those that are taken for it. A line has a
    character and, behind tabs or spaces, the others."""

    def __init__(self, files: Sequence[str | Path] = ()) -> None:
        self.files = tuple(map(str, files))
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for path in map(Path, self.files):
            for number, line in read_lines(path):
                first, *others = line.split() or [""]
                if not line.strip() or line.startswith("#"):
                    continue
                if len(first) != 1 or not others:
                    raise XinyeError(
                        f"{path}, line {number}: expected a character, a tab and the characters "
                        f"that are taken for it, found {line[:40]!r}"
                    )
                for other in "".join(others):
                    found[first][other] = found[other][first] = None
        self.table = {first: tuple(each for each in others if each != first)
                      for first, others in found.items()}  # fmt: skip

    def of(self, character: str) -> tuple[str, ...]:
        """The characters that are taken for this one."""
        return self.table.get(character, ())


class Alike:
    """For each of the known units, those that are taken for it: by sound, or by one mistyped
    letter."""

    def __init__(self, units: Iterable[str]) -> None:
        self.by_sound: defaultdict[str, list[str]] = defaultdict(list)
        self.by_letters: defaultdict[str, list[str]] = defaultdict(list)
        self.known: dict[str, tuple[str, ...]] = {}
        for unit in units:
            if is_han(unit):
                for sound in sounds_of(unit):
                    self.by_sound[sound].append(unit)
            elif unit[0].isalpha():
                for key in _without_a_letter(unit):
                    self.by_letters[key].append(unit)

    def of(self, unit: str) -> tuple[str, ...]:
        """The known units that are like this one, and the English words that sound like it."""
        if unit not in self.known:
            if len(self.known) == REMEMBERED:
                self.known.clear()
            keys: Iterable[str] = ()
            table = self.by_sound
            if is_han(unit):
                keys = sounds_of(unit)
            elif unit[0].isalpha() and len(unit) <= LONGEST:
                keys, table = _without_a_letter(unit), self.by_letters
            found = [other for key in keys for other in table.get(key, ())]
            self.known[unit] = tuple(dict.fromkeys(each for each in found if each != unit))
            if not is_han(unit):
                self.known[unit] += homophones(unit)
        return self.known[unit]


LONGEST = 30  # letters of a word that is compared with others


def _without_a_letter(word: str) -> set[str]:
    """A word and what is left of it without one of its letters: two words that differ by one
    typing error share one of these (Garbe 2012, symmetric delete)."""
    if not 3 <= len(word) <= LONGEST:
        return {word}
    return {word, *(word[:at] + word[at + 1 :] for at in range(len(word)))}
