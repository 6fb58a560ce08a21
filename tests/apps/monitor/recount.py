"""Counts the documents of a store again, by a way of its own."""

from xinye.apps.monitor.monitor_store import Monitor

# The counts that the documents have. Each counts for each of its topics and for all, together with
# each of its companies and with all.
_RECOUNTED = """SELECT topic, company, mood, CAST(documents.at / 3600 AS INTEGER) AS hour,
    sum(first IS NULL) AS documents, sum(first IS NOT NULL) AS repeats
FROM documents
JOIN (SELECT document, topic FROM document_topics UNION ALL SELECT number, '' FROM documents) AS t
    ON t.document = number
JOIN (SELECT document, company FROM document_companies UNION ALL SELECT number, '' FROM documents)
    AS c ON c.document = number
GROUP BY 1, 2, 3, 4
"""
_KEPT = "SELECT topic, company, mood, hour, documents, repeats FROM counts"


def differences(monitor: Monitor) -> list[tuple[object, ...]]:
    """The rows of counts that are not those of the documents, and the right ones."""
    with monitor.store.reading() as transaction:
        wrong = transaction.select(f"{_KEPT} EXCEPT SELECT * FROM ({_RECOUNTED})")
        right = transaction.select(f"SELECT * FROM ({_RECOUNTED}) EXCEPT {_KEPT}")
    return [tuple(row) for row in (*wrong, *right)]
