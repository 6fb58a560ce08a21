"""Records of the task `translate`: pairs of an English and a Chinese text, from tables with or
without a header and from JSON.

A row with a column for each language gives a record in each direction; one with a source and a
target gives one. The texts themselves decide which language is which.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from xinye.data.columns import find_column
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError
from xinye.evaluation.translation import OTHER
from xinye.evaluation.translation_words import shares
from xinye.runs.words import Both
from xinye.tasks.records import expected, note_unread, text_in
from xinye.tasks.writing_records import Named

_PARTS = ("", "原文", "译文", "句子", "文本", "内容")  # 英文, 英文原文 …
ENGLISH = (
    "en", "english", "eng", "en_us", "en-us", "en_text", "text_en", "sentence_en", "英语",
    *(f"英文{part}" for part in _PARTS),
)  # fmt: skip
CHINESE = (
    "zh", "chinese", "cn", "cmn", "zho", "chi", "zh_cn", "zh-cn", "ch", "zh_text", "text_zh",
    "sentence_zh", "汉语", "华文", *(f"中文{part}" for part in _PARTS),
)  # fmt: skip
SOURCES = ("source", "src", "text", "input", "原文", "源文", "源语言")
TARGETS = ("target", "tgt", "translation", "output", "译文", "翻译", "目标语言")
# The prompts, in the language of the text.
PROMPT = Both("Translate into Chinese: ", "译成英文：")


class Texts(NamedTuple):
    """A text, its translation, and how both were read."""

    source: str
    target: str
    read_as: str


def asked_for(source: str, to: str) -> str:
    """The prompt for a translation of a text into a language."""
    return f"{PROMPT.en if to == 'zh' else PROMPT.zh}{source}"


@lru_cache(1 << 16)
def direction(source: str, target: str) -> str | None:
    """The language of the target, en or zh, by both texts. None if they are in the same language,
    or if neither can be told."""
    one, other = shares(source), shares(target)
    if one.language == other.language == "en" and bool(one.zh) != bool(other.zh):
        return "zh" if other.zh else "en"  # a Chinese text about English words
    if one.language is None or one.foreign:
        return other.language if not one.foreign else None
    return OTHER[one.language] if other.language != one.language and not other.foreign else None


def read_pairs(row: Any, place: str, named: Named, notes: Notes) -> list[Texts]:
    """The records in a row: two, one or, with a note, none. Raises `XinyeError` for a row without
    an English and a Chinese text."""
    found: Row = row if isinstance(row, dict) else {}
    if isinstance(found.get("translation"), dict):  # as data sets on the hub have it
        found = found["translation"]
    named.check(found, place)
    columns = _columns(found, named)
    if columns is None:
        raise XinyeError(
            f"{place}: expected the fields 'en' and 'zh', or 'source' and 'target'; found "
            f"{', '.join(map(str, found)) or repr(row)[:60]}. Name other columns with "
            "--prompt-field and --answer-field"
        )
    one, other, both = columns
    texts = []
    for name in (one, other):
        text = text_in(found, name, place).strip()
        if not text:
            raise expected(f"{place}, field {name!r}", "a text", found[name])
        texts.append(text)
    if texts[0] == texts[1]:
        notes.add(place, "the source equals the target; the pair is left out")
        return []
    _check_languages(texts[0], texts[1], place)
    if not _is_numbered(found):
        note_unread(found, (one, other), place, notes)
    read_as = f"{one!r} and {other!r}"
    pair = Texts(texts[0], texts[1], read_as)
    return [pair, Texts(pair.target, pair.source, read_as)] if both else [pair]


def _columns(row: Row, named: Named) -> tuple[str, str, bool] | None:
    """The columns of the two texts, and whether each is a source; None if there are none."""
    if not named.columns:
        english, chinese = find_column(row, ENGLISH), find_column(row, CHINESE)
        if english and chinese:
            return english, chinese, True
        if _is_numbered(row) and len(row) > 1:
            return "1", "2", True
    source, target = named.find(row, SOURCES, TARGETS, endings=True)
    return (source, target, False) if source and target else None


def _is_numbered(row: Row) -> bool:
    """True for a row of a table without a header."""
    return list(row) == [str(number) for number in range(1, len(row) + 1)]


def _check_languages(source: str, target: str, place: str) -> None:
    """Raises `XinyeError` unless one text is English and one Chinese."""
    if direction(source, target):
        return
    languages = {shares(source).language, shares(target).language}
    what = "one of the texts is neither English nor Chinese"
    if languages == {None}:
        what = "no English or Chinese words in both texts"
    elif len(languages) == 1:
        what = "both texts are in the same language"
    raise XinyeError(f"{place}: {what}; a pair needs an English and a Chinese text")


def components(pairs: Sequence[tuple[str, str]]) -> list[int]:
    """For each pair of texts, the number of its group. Pairs that share a text are in one group, so
    a split by groups leaves no text on both sides.

    >>> components([("Hi.", "嗨。"), ("Run!", "跑！"), ("Hi.", "你好。"), ("Hello!", "你好。")])
    [0, 1, 0, 0]
    """
    parents: dict[str, str] = {}

    def root(text: str) -> str:
        parents.setdefault(text, text)
        while parents[text] != text:
            parents[text] = parents[parents[text]]
            text = parents[text]
        return text

    for one, other in pairs:
        parents[root(other)] = root(one)
    numbers: dict[str, int] = {}
    return [numbers.setdefault(root(one), len(numbers)) for one, _ in pairs]
