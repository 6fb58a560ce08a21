"""Documents as a table (CSV), which spreadsheet programs open."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo

from xinye.apps.monitor.documents import Document

COLUMNS = (
    "number", "published", "source", "title", "text", "url", "origin", "topics", "mood",
    "mood_probability", "companies", "language", "repeats", "repeats_document",
)  # fmt: skip
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_INSIDE = re.compile(r"([;\t\r\n]\s*)(?=[=+\-@＝＋－＠])")
BETWEEN = "; "  # of several topics or companies in a cell


def csv_lines(
    documents: Iterable[Document], zone: tzinfo = UTC, head: bool = True
) -> Iterator[str]:
    """The lines of the table. The `head` has the names of the columns, behind a mark by which
    spreadsheet programs recognize UTF-8. No cell is a formula, nor is a part of it in a program
    that divides at semicolons: what begins like one gets an apostrophe."""
    if head:
        yield "\ufeff" + _line(COLUMNS)
    for each in documents:
        yield _line(_cells(each, zone))


def _cells(document: Document, zone: tzinfo) -> tuple[str, ...]:
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
        analysis.mood,
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
