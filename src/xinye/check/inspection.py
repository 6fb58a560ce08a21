"""Measures text: characters by script, wrongly decoded passages, and lengths.

The functions work on texts of about a million characters, and their results do not grow with the
text.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xinye.data.encodings import COMMON_CHINESE

CODE_POINTS = 0x110000
STEPS = 12  # the most steps of a histogram; each is a power of two times as long as the one before


# -- characters ------------------------------------------------------------------------------------

_NAMES = {"CJK": "Chinese", "IDEOGRAPHIC": "Chinese", "HIRAGANA": "kana", "KATAKANA": "kana"} | {
    script.upper(): script
    for script in (
        "Latin", "Cyrillic", "Greek", "Hangul", "Arabic", "Hebrew", "Devanagari", "Thai", "Tibetan",
        "Mongolian",
    )
}  # fmt: skip
_KINDS = {
    "N": "digits",
    "P": "punctuation",
    "S": "symbols",
    "Z": "white space",
    "C": "control characters",
}
# Frequent characters that the other script does not use.
SIMPLIFIED = (
    "们这来说时为会国对过还没问见书长门东车马鱼鸟龙风义乐习乡"
    "买卖亲产亿从众优伤传伟价个当应学发经开关头实现无两"
)
TRADITIONAL = (
    "們這來說時為會國對過還沒問見書長門東車馬魚鳥龍風義樂習鄉"
    "買賣親產億從眾優傷傳偉價個當應學發經開關頭實現無兩"
)


def scripts(counts: np.ndarray) -> dict[str, int]:
    """The number of characters by script or kind, the most frequent first. `counts` (CODE_POINTS,)
    holds the count of each code point.
    """
    totals: Counter[str] = Counter()
    for code in np.flatnonzero(counts):
        character = chr(code)
        category = unicodedata.category(character)[0]
        if category in "LM":
            name = re.sub("^(FULL|HALF)WIDTH ", "", unicodedata.name(character, "?"))
            kind = _NAMES.get(name.split()[0], "other letters")
        else:
            kind = "white space" if character in "\t\n\r" else _KINDS[category]
        totals[kind] += int(counts[code])
    return dict(totals.most_common())


def chinese_scripts(counts: np.ndarray) -> dict[str, int]:
    """How often frequent characters occur that exist only in simplified or only in traditional
    Chinese.
    """
    return {
        name: int(counts[list(map(ord, characters))].sum())
        for name, characters in (("simplified", SIMPLIFIED), ("traditional", TRADITIONAL))
    }


# -- wrongly decoded text --------------------------------------------------------------------------

_BYTE_OF = {
    bytes([byte]).decode("cp1252", "ignore") or chr(byte): byte for byte in range(0x80, 0xA0)
} | {chr(byte): byte for byte in range(0x80, 0x100)}
_LATIN_RUN = re.compile(f"[{re.escape(''.join(_BYTE_OF))}]{{2,}}")
# UTF-8 decoded as one character per byte. It takes two sequences in a row, or one that no language
# writes: "é »" is French, "â€™" is nothing.
_UTF8 = re.compile(
    rb"(?:\xe2\x80[\x80-\xbf]|\xef\xbb\xbf|\xef\xbc[\x81-\xbf]|[\xc2\xc3][\x80-\xbf]"
    rb"|\xf0\x9f[\x80-\xbf]{2}"
    rb"|(?:[\xc2-\xdf][\x80-\xbf]|[\xe3-\xe9\xef][\x80-\xbf]{2}){2,})+"
)
_GB2312 = re.compile(rb"(?:[\xb0-\xf7\xa1\xa3][\xa1-\xfe]){3,}")
_REPLACED = re.compile("\ufffd+|(?:锟斤拷)+|烫{3,}|屯{3,}")


def _classes_of_utf8_read_as_gbk() -> np.ndarray:
    """For each code point, the positions that its character can have where GBK decodes two
    characters of UTF-8 (six bytes) as three.
    """
    table = np.zeros(CODE_POINTS, np.uint8)
    first, rest = range(0xE4, 0xEA), range(0x80, 0xC0)
    for bit, (leads, trails) in enumerate(((first, rest), (rest, first), (rest, rest))):
        for pair in (bytes((lead, trail)) for lead in leads for trail in trails):
            for character in pair.decode("gb18030", "ignore"):
                table[ord(character)] |= 1 << bit
    return table


_GBK_CLASSES = _classes_of_utf8_read_as_gbk()


@dataclass(frozen=True, slots=True)
class Passage:
    """A passage of a text that begins at `start`: what to show of it, and its `meaning`, the right
    text.
    """

    start: int
    shown: str
    meaning: str


def mojibake(text: str, codes: np.ndarray, counts: np.ndarray) -> Iterator[Passage]:
    """Passages that were decoded in a wrong encoding. `meaning` is the right text, or "" if it is
    lost. `codes` (N,) are the text's code points, and `counts` (CODE_POINTS,) their counts.

    >>> from xinye.data.duplicates import code_points
    >>> codes = code_points("ä½\\xa0å¥½")
    >>> counts = np.bincount(codes, minlength=CODE_POINTS)
    >>> [found.meaning for found in mojibake("ä½\\xa0å¥½", codes, counts)]
    ['你好']
    """
    if counts[0xB0:0xF8].any():
        for run in _LATIN_RUN.finditer(text):
            raw = bytes(_BYTE_OF[character] for character in run[0])
            found = _GB2312.search(raw)
            meaning = found[0].decode("gb18030", "ignore") if found else ""
            if len(COMMON_CHINESE.findall(meaning)) <= len(meaning) / 6:
                found = _UTF8.search(raw)
                meaning = found[0].decode("utf-8", "ignore") if found else ""
            if found:
                yield Passage(
                    run.start() + found.start(), run[0][found.start() : found.end()], meaning
                )
    classes = _GBK_CLASSES[codes]
    if len(classes) >= 6:
        # three characters that were two in UTF-8
        pairs = (classes[:-2] & 1) & (classes[1:-1] >> 1 & 1) & (classes[2:] >> 2 & 1)
        end = 0
        for start in np.flatnonzero(pairs[:-3] & pairs[3:]).tolist():
            if start >= end:
                end = start
                while end < len(pairs) and pairs[end]:
                    end += 3
                wrong = text[start:end]
                yield Passage(start, wrong, wrong.encode("gb18030").decode("utf-8", "ignore"))
    if counts[[0xFFFD, ord("锟"), ord("烫"), ord("屯")]].any():
        for lost in _REPLACED.finditer(text):
            yield Passage(lost.start(), lost[0], "")


# -- lengths ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LengthSummary:
    """Statistics of lengths. `histogram` has rows of (from, to, count)."""

    count: int
    mean: float
    shortest: int
    median: int
    p90: int
    p99: int
    longest: int
    histogram: list[tuple[int, int, int]]


class Lengths:
    """Counts lengths. It stores a count for each different length."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, lengths: np.ndarray) -> None:
        """Add lengths (N,), each at least 1."""
        values, counts = np.unique(lengths, return_counts=True)
        self.counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def quantile(self, share: float) -> int:
        """The smallest length that at least this share does not exceed; 0 if there are none."""
        lengths = sorted(self.counts)
        reached = np.cumsum([self.counts[length] for length in lengths])
        index = int(np.searchsorted(reached, share * self.counts.total() - 1e-9))
        return lengths[index] if lengths else 0

    def below(self, length: int) -> int:
        """How many lengths are below this one."""
        return sum(count for each, count in self.counts.items() if each < length)

    def summary(self) -> LengthSummary:
        """The statistics of all lengths."""
        octaves: Counter[int] = Counter()
        for length, count in self.counts.items():
            octaves[length.bit_length() - 1] += count
        first, last = min(octaves, default=0), max(octaves, default=-1)
        step = -(-(last + 1 - first) // STEPS)
        total = sum(length * count for length, count in self.counts.items())
        return LengthSummary(
            count=self.counts.total(),
            mean=round(total / max(1, self.counts.total()), 1),
            shortest=min(self.counts, default=0),
            median=self.quantile(0.5),
            p90=self.quantile(0.9),
            p99=self.quantile(0.99),
            longest=max(self.counts, default=0),
            histogram=[
                (2**i, 2 ** (i + step) - 1, sum(octaves[octave] for octave in range(i, i + step)))
                for i in range(first, last + 1, step or 1)
            ],
        )


# -- display ---------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """The text with each control character as "·", which a terminal does not interpret."""
    return "".join(
        "·" if unicodedata.category(character) in ("Cc", "Cs", "Co", "Cn") else character
        for character in text
    )


def excerpt(text: str, most: int) -> str:
    """At most the first `most` characters, without cutting accents from a letter or an emoji
    apart.
    """
    if len(text) <= most:
        return text
    end = most
    while end > most // 2 and (_joins(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[:end] + "…"


def _joins(character: str) -> bool:
    """True if a character belongs to the one before it: accents, variation selectors, joiners, skin
    tones.
    """
    return (
        unicodedata.category(character)[0] == "M"
        or character == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
    )
