"""Finds the column of a table that holds the text."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from xinye.data.records import Row
from xinye.errors import XinyeError

HEAD_RECORDS = 100  # records that are read to find the column of text
FIELD_NAMES = (
    "text", "content", "paragraphs", "body", "story", "review", "document", "article", "sentence",
    "正文", "内容", "文本", "段落", "文章", "评论", "留言",
)  # fmt: skip
# Chinese names of text columns often end in one of these, such as 评论内容 and 客户留言.
_CHINESE_NAME = re.compile("[\u4e00-\u9fff]{2,}")
ENDINGS = ("正文", "内容", "文本", "原文", "评论", "留言", "评语", "描述")


def as_text(value: object) -> str | None:
    """A string as it is, a list of strings as lines of one text, and None as ""; None for any other
    value.
    """
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return None


def by_usual_name(columns: Iterable[str]) -> dict[str, str]:
    """The columns keyed by their names in lower case without surrounding spaces. If two names
    become equal, the first column is kept.
    """
    return {str(column).strip().lower(): column for column in reversed([*columns])}


def find_column(columns: Iterable[str], usual: Iterable[str], endings: bool = False) -> str | None:
    """The first column that has one of the `usual` names, or None. Case and surrounding spaces do
    not count. Earlier names in `usual` win. With `endings` also the only column whose name ends in
    a usual Chinese name, because such names begin with what the text belongs to: 新闻标题.

    >>> find_column(["id", " Review "], ["text", "review"])
    ' Review '
    >>> find_column(["新闻标题", "新闻正文"], ["标题", "题目"], endings=True)
    '新闻标题'
    """
    by_name = by_usual_name(columns)
    usual = [*usual]
    for name in usual:
        if name in by_name:
            return by_name[name]
    chinese = filter(_CHINESE_NAME.fullmatch, usual) if endings else ()
    return _only_ending(by_name.values(), chinese)


def _only_ending(columns: Iterable[str], endings: Iterable[str]) -> str | None:
    """The column whose name ends in one of these, or None if there is not exactly one."""
    last = tuple(endings)
    found = [column for column in columns if str(column).strip().endswith(last)]
    return found[0] if len(found) == 1 else None


def choose_field(path: Path, rows: Sequence[Row]) -> str:
    """The name of the column that holds the text. A usual name decides; otherwise the column must
    be the only one with words, or have at least twice as many characters as any other.

    Raises `XinyeError` with the list of columns if none stands out.
    """
    columns = list(dict.fromkeys(chain.from_iterable(rows)))
    if (name := find_column(columns, FIELD_NAMES)) is not None:
        return name
    ending = _only_ending(columns, ENDINGS)
    if ending is not None and all(isinstance(row.get(ending, ""), str) for row in rows):
        return ending
    lengths: Counter[str] = Counter()
    nested = set()
    for column, value in ((column, row.get(column)) for column in columns for row in rows):
        text = as_text(value)
        inner = value[0] if text is None and isinstance(value, list) else value
        if text and re.search(r"[^\W\d_]", text):
            lengths[column] += len(text)
        elif text is None and isinstance(inner, dict | list):
            # A column of conversations, for example: the id next to it is not the text.
            nested.add(column)
            lengths[column] += len(str(value))
    best, second, *_ = [*lengths.most_common(2), ("", 0), ("", 0)]
    if best[1] and best[0] not in nested and best[1] >= 2 * second[1]:
        return best[0]
    there = ", ".join(map(str, columns))
    raise XinyeError(
        f"{path}: cannot tell which column is the text. Name it with --field; the columns are: "
        f"{there}"
    )
