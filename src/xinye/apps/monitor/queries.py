"""`Documents`: finding documents of the store."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.documents import Document
from xinye.apps.monitor.labels import read_analyses, read_row
from xinye.apps.store import Transaction


@dataclass(frozen=True)
class Filter:
    """Which documents are wanted. "" stands for all topics, companies or sources, and None for all
    moods. `words` are a part of the title or the text. Documents that repeat others are left out
    unless `repeats` is true."""

    topic: str = ""
    company: str = ""
    mood: str | None = None
    source: str = ""
    since: float = 0.0
    until: float = math.inf
    repeats: bool = False
    words: str = ""


EVERY = Filter()
End = tuple[float, int] | None  # the time and the number of the last document of a page


@dataclass(frozen=True)
class Found:
    """A page of documents. The next one comes after the document with the number `last`; None if
    there is none. A page may be short, or even empty, if words are rare."""

    documents: list[Document]
    last: int | None


class Documents:
    """Finds documents. Those whose texts were deleted for their age are left out."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def get(self, number: int) -> Document:
        """The document with this number. Raises `NotFound`."""
        with self._archive.store.reading() as transaction:
            row = read_row(transaction, number)
            return read_documents(transaction, [row])[0]

    def page(self, wanted: Filter = EVERY, after: int | None = None, count: int = 50) -> Found:
        """The first `count` documents, at most `Limits.page`, the newest first, of which at most
        `Limits.searched` are searched for words. `after` is the number of the last document of the
        page before. Raises `NotFound` if it does not exist."""
        limits = self._archive.limits
        count = max(1, min(count, limits.page))
        with self._archive.store.reading() as transaction:
            end: End = None
            if after is not None:
                end = (read_row(transaction, after)["at"], after)
            last: int | None
            if not wanted.words:
                statement, values = _query(wanted, end, count)
                rows = transaction.select(statement, *values)
                last = rows[-1]["number"] if len(rows) == count else None
            else:
                rows, last = _searched(transaction, wanted, end, count, limits.searched)
            return Found(read_documents(transaction, rows), last)

    def last(self) -> int:
        """The number of the last document, 0 if there is none."""
        with self._archive.store.reading() as transaction:
            (row,) = transaction.select("SELECT coalesce(max(number), 0) FROM documents")
        return int(row[0])

    def repeats(self, number: int, count: int = 50) -> list[Document]:
        """The first `count` documents that nearly equal this one."""
        count = max(0, min(count, self._archive.limits.page))
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM documents WHERE first = ? AND erased IS NULL ORDER BY number "
                "LIMIT ?",
                number, count,
            )  # fmt: skip
            return read_documents(transaction, rows)


def read_documents(transaction: Transaction, rows: Sequence[Row]) -> list[Document]:
    """The documents of these rows of their table."""
    names = [name for name in Document.__dataclass_fields__ if name != "analysis"]
    return [
        Document(**{name: row[name] for name in names}, analysis=analysis)
        for row, analysis in zip(rows, read_analyses(transaction, rows), strict=True)
    ]


def _searched(
    transaction: Transaction, wanted: Filter, end: End, count: int, most: int
) -> tuple[list[Row], int | None]:
    """The rows of the newest documents before `end` that have the words, of the first `most`; and
    the number of the last one that was searched, None if it was the last of all."""
    statement, values = _query(wanted, end, most)
    pattern = "%" + re.sub(r"([\\%_])", r"\\\1", wanted.words) + "%"
    rows = transaction.select(
        f"SELECT * FROM ({statement}) WHERE title LIKE ? ESCAPE '\\' OR text LIKE ? ESCAPE '\\' "
        "LIMIT ?",
        *values, pattern, pattern, count,
    )  # fmt: skip
    if len(rows) == count:
        return rows, rows[-1]["number"]
    statement, values = _query(wanted, end, most, "documents.number")
    numbers = transaction.select(statement, *values)
    return rows, numbers[-1]["number"] if len(numbers) == most else None


def _query(
    wanted: Filter, end: End, count: int, what: str = "documents.*"
) -> tuple[str, list[object]]:
    """A statement that selects the newest documents before `end`, and its values. They are read in
    order of time from the shortest list: that of the company, of the topic, or of all."""
    tables, time, number = "documents", "at", "number"
    values: list[object] = []
    tests = ["erased IS NULL"]
    if wanted.company:
        tables, time, number = _labelled("document_companies")
        tests.append("labels.company = ?")
        values.append(wanted.company)
        if wanted.topic:
            tests.append(
                "EXISTS (SELECT 1 FROM document_topics WHERE document = number AND topic = ?)"
            )
            values.append(wanted.topic)
    elif wanted.topic:
        tables, time, number = _labelled("document_topics")
        tests.append("labels.topic = ?")
        values.append(wanted.topic)
    tests.append(f"{time} >= ?")
    values.append(wanted.since)
    for test, value in (
        (f"{time} < ?", wanted.until if wanted.until < math.inf else None),
        ("mood = ?", wanted.mood),
        ("source = ?", wanted.source or None),
    ):
        if value is not None:
            tests.append(test)
            values.append(value)
    if not wanted.repeats:
        tests.append("first IS NULL")
    if end is not None:
        tests.append(f"({time}, {number}) < (?, ?)")
        values += end
    statement = (
        f"SELECT {what} FROM {tables} WHERE {' AND '.join(tests)} "
        f"ORDER BY {time} DESC, {number} DESC LIMIT ?"
    )
    return statement, [*values, count]


def _labelled(table: str) -> tuple[str, str, str]:
    """Documents in the order of a table of labels: the tables, the time and the number."""
    joined = f"{table} AS labels CROSS JOIN documents ON number = labels.document"
    return joined, "labels.at", "labels.document"
