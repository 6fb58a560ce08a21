"""Which column of records holds the text."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path

from xinye.data.records import Row
from xinye.errors import XinyeError

HEAD_RECORDS = 100  # records looked at to find the column of text
FIELD_NAMES = (
    "text", "content", "paragraphs", "body", "story", "review", "document", "article", "sentence",
    "正文", "内容", "文本", "段落", "文章", "评论", "留言",
)  # fmt: skip
# How names of columns of text end in Chinese, as 评论内容 and 客户留言 do.
ENDINGS = ("正文", "内容", "文本", "原文", "评论", "留言", "评语", "描述")


def as_text(value: object) -> str | None:
    """A text, or a list of lines, as one text; None for what is neither."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return None


def by_usual_name(columns: Iterable[str]) -> dict[str, str]:
    """The columns by their names in lower case and without spaces around them; of those with one
    name the first."""
    return {str(column).strip().lower(): column for column in reversed([*columns])}


def find_column(columns: Iterable[str], usual: Iterable[str]) -> str | None:
    """The column that has one of these `usual` names, in whatever case and with whatever spaces
    around it; None where none has. The names that come first are looked for first.

    >>> find_column(["id", " Review "], ["text", "review"])
    ' Review '
    """
    by_name = by_usual_name(columns)
    return next((by_name[name] for name in usual if name in by_name), None)


def choose_field(path: Path, rows: Sequence[Row]) -> str:
    """The column of text: by name, or the only one that holds words, or the one that holds at least
    twice as many.
    """
    columns = list(dict.fromkeys(chain.from_iterable(rows)))
    if (name := find_column(columns, FIELD_NAMES)) is not None:
        return name
    ending = [name for name in columns if str(name).strip().endswith(ENDINGS)]
    if len(ending) == 1 and all(isinstance(row.get(ending[0], ""), str) for row in rows):
        return ending[0]
    lengths: Counter[str] = Counter()
    nested = set()
    for column, value in ((column, row.get(column)) for column in columns for row in rows):
        text = as_text(value)
        inner = value[0] if text is None and isinstance(value, list) else value
        if text and re.search(r"[^\W\d_]", text):
            lengths[column] += len(text)
        elif text is None and isinstance(inner, dict | list):
            nested.add(column)  # conversations and the like: their id beside them is not the text
            lengths[column] += len(str(value))
    best, second, *_ = [*lengths.most_common(2), ("", 0), ("", 0)]
    if best[1] and best[0] not in nested and best[1] >= 2 * second[1]:
        return best[0]
    there = ", ".join(map(str, columns))
    raise XinyeError(
        f"{path}: cannot tell which column is the text. Name it with --field; the columns are: "
        f"{there}"
    )
