"""The words of English and Chinese texts for translating by counts, and texts made from words."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from xinye.data.scripts import HAN

_HAN = re.compile(f"[{HAN}]")
_LETTER = re.compile(f"[^\\W\\d_{HAN}]")
_LATIN = re.compile("[A-Za-zÀ-ÖØ-öø-ɏ]+(?:['’-][A-Za-zÀ-ÖØ-öø-ɏ]+)*")
# of a page or a mail
ADDRESS = re.compile(r"(?:https?://|www\.)[!-~]+|[!-?A-~]{1,64}@[!-?A-~]+")
# A Han character, a run of other letters or digits with what an apostrophe joins to it, or a mark.
_WORD = re.compile(f"[{HAN}]|\\d+(?:[.,:]\\d+)*|[^\\W_{HAN}]+|['’][^\\W\\d_{HAN}]+|\\S")
_BEFORE_NO_SPACE = re.compile(r"[.,!?;:%)\]}”…。，！？；：、）】》]|['’].*")
_OPENING = frozenset("([{“$#@（【《")


def words(text: str, language: str) -> list[str]:
    """The words of a text: Han characters, words in small letters, numbers and marks.

    >>> words("I'm 3 km away.", "en"), words("我在3公里外。", "zh")
    (['i', "'m", '3', 'km', 'away', '.'], ['我', '在', '3', '公', '里', '外', '。'])
    """
    found: list[str] = _WORD.findall(text)
    return [word.lower() for word in found] if language == "en" else found


def joined(words: list[str], language: str) -> str:
    """A text from words: in Chinese without spaces, except between words of other scripts.

    >>> joined(["i", "'m", "here", "."], "en"), joined(["去", "New", "York", "。"], "zh")
    ("I'm here.", '去New York。')
    """
    text, before = "", ""
    for word in words:
        apart = not _BEFORE_NO_SPACE.fullmatch(word) and before not in _OPENING
        if language == "zh":
            apart = bool(_LATIN.match(word) and _LATIN.match(before))
        text += " " * (apart and bool(text)) + word
        before = word
    if language == "zh":
        return text
    return text[:1].upper() + text[1:]


def usual_forms(texts: Iterable[str]) -> dict[str, str]:
    """For each English word that texts write with capitals, though it does not begin them: how they
    write it most often.

    >>> usual_forms(["He and I met Tom.", "Tom came."])
    {'i': 'I', 'tom': 'Tom'}
    """
    forms: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for text in texts:
        for word in _WORD.findall(text)[1:]:
            forms[word.lower()][word] += 1
    usual = {word: counts.most_common(1)[0][0] for word, counts in forms.items()}
    return {word: form for word, form in usual.items() if form != word}


class Shares(NamedTuple):
    """How much of a text is English and Chinese, in words; a Chinese word has 1.5 characters."""

    en: float
    zh: float
    other: float  # in characters

    @property
    def language(self) -> str | None:
        """The language of most of the text; None if that is neither, or if it has no words."""
        if self.foreign or not (self.en or self.zh):
            return None
        return "zh" if self.zh >= self.en else "en"

    @property
    def foreign(self) -> bool:
        """True if most of the text is in other scripts, such as kana or Cyrillic letters."""
        return self.other > self.en + self.zh

    @property
    def unclear(self) -> bool:
        """True if the other language has more than a third of the words."""
        return min(self.en, self.zh) > (self.en + self.zh) / 3


def shares(text: str) -> Shares:
    """How much of a text is in which language. Addresses of pages and mails do not count.

    >>> shares("我在 GitHub 上。"), shares("https://a.org 😀").language
    (Shares(en=1.0, zh=2.0, other=0), None)
    """
    bare = ADDRESS.sub(" ", text)
    foreign = len(_LETTER.findall(_LATIN.sub("", _HAN.sub("", bare))))
    return Shares(float(len(_LATIN.findall(bare))), len(_HAN.findall(bare)) / 1.5, foreign)
