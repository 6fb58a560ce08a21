"""Tells which documents of a knowledge base are in force: the newest version of each, and none that
another document repeals."""

import re
from collections.abc import Sequence

from xinye.retrieval.manifest import Entry

# The date of a version, as law collections write it: "劳动合同法(2012-12-28)".
_VERSION = re.compile(
    r"(?<=\S)[ 　]?[(（]([0-9]{4}(?:-(?:0?[1-9]|1[0-2])(?:-(?:0?[1-9]|[12][0-9]|3[01]))?)?)[)）]\Z"
)
_NAMED = r"《([^《》]{2,100})》"
# Titles before the word that repeals them: "《婚姻法》、《继承法》同时废止。"
_REPEALED = re.compile(
    rf"(?:{_NAMED}(?:[（(][^（）()]{{0,80}}[)）])?[、，和及以\s]{{0,4}}){{1,50}}"
    r"(?:同时|即行|予以|自[\d年月日]{4,12}起)废止(?=[。；;，,\s]|\Z)"
)
_EXPLAINED = re.compile(f"关于适用{_NAMED}")  # an interpretation, which ends with its law
_STATE = "中华人民共和国"  # which a law's title may begin with
LAST = "9999"  # after all dates


def name_and_date(title: str) -> tuple[str, str]:
    """A title without the date of its version, and that date, which sorts as a text; "" if it has
    none.

    >>> name_and_date("劳动合同法(2012-12-8)")
    ('劳动合同法', '2012-12-08')
    """
    version = _VERSION.search(title)
    if not version:
        return title, ""
    return title[: version.start()], "-".join(part.zfill(2) for part in version[1].split("-"))


def repealed_by(text: str) -> list[str]:
    """The names of the laws that a text says to be repealed.

    >>> repealed_by("本法自2021年1月1日起施行。《中华人民共和国婚姻法》、《收养法》同时废止。")
    ['婚姻法', '收养法']
    """
    passages = _REPEALED.finditer(text)
    return [_short(name) for each in passages for name in re.findall(_NAMED, each[0])]


def in_force(documents: Sequence[Entry]) -> list[bool]:
    """Whether each document may answer. A removed one may not, nor an older version, nor what a
    newer document repeals; with a repealed law go the interpretations of it. A document without a
    date always may, and what it repeals counts as older."""
    newest, repealed = dict[str, str](), dict[str, str]()  # the last date of each, by name
    for entry in documents:
        if entry.removed:
            continue
        name, date = _name_and_date(entry.title)
        newest[name] = max(newest.get(name, ""), date)
        for other in entry.repeals:
            if other != name:  # a law repeals its own older versions, too
                repealed[other] = max(repealed.get(other, ""), date or LAST)

    def may_answer(entry: Entry) -> bool:
        name, date = _name_and_date(entry.title)
        if not date:
            return True
        law = _EXPLAINED.search(name)
        explained = _short(law[1]) if law else ""
        if newest.get(explained, "") < repealed.get(explained, ""):
            return False
        return date >= max(newest[name], repealed.get(name, ""))

    return [not entry.removed and may_answer(entry) for entry in documents]


def _name_and_date(title: str) -> tuple[str, str]:
    name, date = name_and_date(title)
    return _short(name), date


def _short(name: str) -> str:
    return name.strip().removeprefix(_STATE)
