"""Reading and writing what models say of documents."""

from collections.abc import Iterable, Sequence
from sqlite3 import Row

from xinye.apps.monitor.documents import Analysis
from xinye.apps.store import Transaction
from xinye.errors import NotFound


def write_labels(
    transaction: Transaction, documents: Iterable[tuple[int, float, Analysis]]
) -> None:
    """Write the topics and companies of documents, each given as its number, time and analysis."""
    labelled = [*documents]
    transaction.execute_many(
        "INSERT INTO document_topics (document, topic, probability, at) VALUES (?, ?, ?, ?)",
        (
            (number, topic, probability, at)
            for number, at, analysis in labelled
            for topic, probability in analysis.topics
        ),
    )
    transaction.execute_many(
        "INSERT INTO document_companies (document, company, at) VALUES (?, ?, ?)",
        (
            (number, company, at)
            for number, at, analysis in labelled
            for company in analysis.companies
        ),
    )


def read_row(transaction: Transaction, number: int) -> Row:
    """The row of a document. Raises `NotFound`."""
    row = transaction.select_one("SELECT * FROM documents WHERE number = ?", number)
    if row is None:
        raise NotFound(f"there is no document {number}")
    return row


def read_analyses(transaction: Transaction, documents: Sequence[Row]) -> list[Analysis]:
    """The analyses of documents, which are given as rows of their table."""
    numbers = [row["number"] for row in documents]
    marks = ", ".join("?" * len(numbers))
    topics: dict[int, list[tuple[str, float]]] = {number: [] for number in numbers}
    companies: dict[int, list[str]] = {number: [] for number in numbers}
    for number, topic, probability in transaction.select(
        f"SELECT document, topic, probability FROM document_topics WHERE document IN ({marks}) "
        "ORDER BY probability DESC, topic",
        *numbers,
    ):
        topics[number].append((topic, probability))
    for number, company in transaction.select(
        f"SELECT document, company FROM document_companies WHERE document IN ({marks}) "
        "ORDER BY company",
        *numbers,
    ):
        companies[number].append(company)
    return [
        Analysis(
            tuple(topics[row["number"]]),
            row["mood"],
            row["mood_probability"],
            tuple(companies[row["number"]]),
            row["language"],
        )
        for row in documents
    ]


def cleaned(analysis: Analysis) -> Analysis:
    """The analysis with each topic and company once, and none without a name."""
    topics = dict(reversed([pair for pair in analysis.topics if pair[0].strip()]))
    return Analysis(
        tuple(reversed(topics.items())),
        analysis.mood,
        analysis.mood_probability,
        tuple(dict.fromkeys(name for name in analysis.companies if name.strip())),
        analysis.language,
    )
