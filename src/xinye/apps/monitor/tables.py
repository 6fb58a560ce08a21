"""Documents as a table (CSV), which spreadsheet programs open."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, tzinfo

from xinye.apps.monitor.documents import Document

COLUMNS = {  # with their Chinese names
    "number": "序号", "published": "发布时间", "source": "来源", "title": "标题", "text": "正文",
    "url": "网址", "origin": "出处", "topics": "主题", "mood": "情感",
    "mood_probability": "情感概率", "companies": "公司", "language": "语言", "repeats": "转载数",
    "repeats_document": "转载自",
}  # fmt: skip
CHINESE: Mapping[str, str] = COLUMNS | {
    "positive": "正面", "neutral": "中性", "negative": "负面", "unsure": "不确定",
}  # fmt: skip
ENGLISH: Mapping[str, str] = {}  # what is in no table of words stays as it is
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_INSIDE = re.compile(r"([;\t\r\n]\s*)(?=[=+\-@＝＋－＠])")
BETWEEN = "; "  # of several topics or companies in a cell


def csv_lines(
    documents: Iterable[Document],
    zone: tzinfo = UTC,
    words: Mapping[str, str] = ENGLISH,
    head: bool = True,
) -> Iterator[str]:
    """The lines of the table, with its own words translated by `words`. The `head` has
    the names of the columns, behind a mark by which spreadsheet programs recognize UTF-8. No cell
    is a formula, nor is a part of it in a program that divides at semicolons: what begins like one
    gets an apostrophe."""
    if head:
        yield "\ufeff" + _line(words.get(name, name) for name in COLUMNS)
    for each in documents:
        yield _line(_cells(each, zone, words))


def _cells(document: Document, zone: tzinfo, words: Mapping[str, str]) -> tuple[str, ...]:
    analysis = document.analysis
    share = analysis.mood_probability
    return (
        str(document.number),
        datetime.fromtimestamp(document.at, zone).isoformat(" ", "seconds"),
        document.source,
        document.title,
        document.text,
        document.url,
        document.origin,
        BETWEEN.join(topic for topic, _ in analysis.topics),
        words.get(analysis.mood, analysis.mood),
        "" if share is None else f"{share:.3f}",
        BETWEEN.join(analysis.companies),
        analysis.language,
        str(document.repeats),
        "" if document.first is None else str(document.first),
    )


def _line(cells: Iterable[str]) -> str:
    written = io.StringIO()
    csv.writer(written).writerow([_safe(cell) for cell in cells])
    return written.getvalue()


def _safe(cell: str) -> str:
    """The cell without control characters that spreadsheet programs refuse, and as a text even if
    it begins like a formula."""
    cell = _INSIDE.sub(r"\1'", cell.replace("\0", ""))
    return f"'{cell}" if cell.lstrip(" ").startswith(FORMULA) else cell
