"""`Documents`: finding documents of the store."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.documents import Document
from xinye.apps.monitor.labels import read_analyses
from xinye.apps.store import Transaction
from xinye.errors import NotFound


@dataclass(frozen=True)
class Filter:
    """Which documents are wanted. "" stands for all topics, companies or sources, and None for all
    moods. Documents that repeat others are left out unless `repeats` is true."""

    topic: str = ""
    company: str = ""
    mood: str | None = None
    source: str = ""
    since: float = 0.0
    until: float = math.inf
    repeats: bool = False


EVERY = Filter()


class Documents:
    """Finds documents. Those whose texts were deleted for their age are left out."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def get(self, number: int) -> Document:
        """The document with this number. Raises `NotFound`."""
        with self._archive.store.reading() as transaction:
            row = _row(transaction, number)
            return read_documents(transaction, [row])[0]

    def find(
        self, wanted: Filter = EVERY, after: int | None = None, count: int = 50
    ) -> list[Document]:
        """The first `count` documents, at most `Limits.page`, the newest first. `after` is the
        number of the last document of the page before. Raises `NotFound` if it does not exist."""
        count = max(0, min(count, self._archive.limits.page))
        with self._archive.store.reading() as transaction:
            end: tuple[float, int] | None = None
            if after is not None:
                end = (_row(transaction, after)["at"], after)
            return read_documents(transaction, _found(transaction, wanted, end, count))

    def every(self, wanted: Filter = EVERY) -> Iterator[Document]:
        """All documents, the newest first, without those that come meanwhile."""
        after = None
        while page := self.find(wanted, after, self._archive.limits.page):
            yield from page
            after = page[-1].number

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


def _row(transaction: Transaction, number: int) -> Row:
    row = transaction.select_one("SELECT * FROM documents WHERE number = ?", number)
    if row is None:
        raise NotFound(f"there is no document {number}")
    return row


def _found(
    transaction: Transaction, wanted: Filter, end: tuple[float, int] | None, count: int
) -> list[Row]:
    """The rows of the newest documents before `end`, a time and a number. They are read in order of
    time from the shortest list: that of the company, of the topic, or of all."""
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
    return transaction.select(
        f"SELECT documents.* FROM {tables} WHERE {' AND '.join(tests)} "
        f"ORDER BY {time} DESC, {number} DESC LIMIT ?",
        *values, count,
    )  # fmt: skip


def _labelled(table: str) -> tuple[str, str, str]:
    """Documents in the order of a table of labels: the tables, the time and the number."""
    joined = f"{table} AS labels CROSS JOIN documents ON number = labels.document"
    return joined, "labels.at", "labels.document"
