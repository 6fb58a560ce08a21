"""The rows of a file with texts and their summaries, with columns that have names.

Tables without a header, and JSON files of pairs, are read too. There the summary is the side that
is shorter throughout, and a column that says the same in every row, such as "to title", is none of
the two. A file with `content`, `title` and `summary` is read as such files of LCSTS are meant:
`title` is the right summary, and `summary` was written by a model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.evaluation.summaries import is_chinese
from xinye.evaluation.tokenizers import count_words

SOURCES = (
    "text", "content", "正文", "document", "article", "body", "passage", "source", "dialogue",
    "原文", "文章", "内容", "文本", "新闻", "abstract", "摘要",
)  # fmt: skip
TARGETS = (
    "summary", "summaries", "title", "摘要", "标题", "headline", "highlights", "abstract", "target",
    "总结", "概要",
)  # fmt: skip
_JUDGED = {"content", "title", "summary"}  # all the columns of results on LCSTS
_TITLE = "'title' is read as the summary; to read 'summary' instead: --answer-field summary"
SHORTER = 0.9  # of the pairs without names, the share in which the summary is shorter, at least

Placed = tuple[str, Any]  # a place, such as "a.csv, line 3", and the row that stands there


def named_rows(
    path: Path, rows: Sequence[Placed], columns: Mapping[str, str | None], notes: Notes
) -> tuple[list[Placed], dict[str, str | None]]:
    """The rows as objects, and the names of the columns to read, of which those that a person named
    stay. `notes` report what is left out. Raises `XinyeError` for rows without names in which no
    side is shorter."""
    found, chosen = [], dict(columns)
    for place, row in rows:
        if isinstance(row, list) and len(row) > 1:
            row = {str(number): value for number, value in enumerate(row, 1)}
        if isinstance(row, dict) and row and not any(isinstance(v, str) for v in row.values()):
            notes.add(place, "there is no text in it, so it is left out")
            continue
        found.append((place, row))
    names = {name for _, row in found if isinstance(row, dict) for name in row}
    if any(columns.values()) or not names:
        return found, chosen
    if names == _JUDGED:
        notes.add(str(path), _TITLE)
        chosen |= {"prompt_field": "content", "answer_field": "title"}
    elif names == {str(number) for number in range(1, len(names) + 1)}:
        text, summary = _sides(path, [row for _, row in found], notes)
        chosen |= {"prompt_field": text, "answer_field": summary}
    return found, chosen


def _sides(path: Path, rows: Sequence[Any], notes: Notes) -> tuple[str, str]:
    """The columns of the texts and of their summaries, of rows whose columns have only numbers."""
    rows = [row for row in rows if isinstance(row, dict)]
    lengths: dict[str, list[int]] = {}
    for name in sorted({name for row in rows for name in row}, key=int):
        values = [row.get(name) for row in rows]
        if len(rows) > 1 and all(value == values[0] for value in values):
            continue
        lengths[name] = [len(value) if isinstance(value, str) else 0 for value in values]
    order = sorted(lengths, key=lambda name: -sum(lengths[name]))
    if len(order) == 2:
        text, summary = order
        pairs = zip(lengths[text], lengths[summary], strict=True)
        if sum(short < long for long, short in pairs) >= SHORTER * len(rows):
            notes.add(
                str(path), f"column {text} is read as the text, column {summary} as its summary"
            )
            return text, summary
    raise XinyeError(
        f"{path}: cannot tell which column holds the texts and which their summaries. Name them by "
        "their numbers, such as --prompt-field 1 --answer-field 2"
    )


def left_out(source: str, target: str) -> str:
    """Why a pair of a text and its summary is not learned from, or "" if it is."""
    if " ".join(source.split()) == " ".join(target.split()):
        return "the summary is the whole text, so the record is left out"
    return ""


def oddities(source: str, target: str) -> list[str]:
    """What a person should know of a pair that is kept."""
    found = []
    if len(target) > len(source):
        found.append("the summary is longer than its text")
    if any(count_words([target])) and is_chinese(source) != is_chinese(target):
        found.append("the summary is in another language than its text")
    return found
