"""Tells which documents are new, and which the store knows already."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from xinye.apps.keys import keyed_hash
from xinye.apps.monitor.documents import Incoming
from xinye.apps.store import Transaction


@dataclass(frozen=True, slots=True)
class Identity:
    """What a document is known by. `key` is a hash of all its parts: one that is equal in all parts
    is the same document, wherever it is read, so that a file can be renamed. `named` is a hash of
    its id and of where that is unique: one with the same id and other parts is a new version of the
    same document, unless several documents have this id (`shared`)."""

    key: str
    named: str
    shared: bool


def identity(document: Incoming, secret: bytes) -> Identity:
    """What a document is known by. Without an id, only by all its parts."""
    parts = [document.title, document.text, document.url, document.published]
    key = _hash(secret, "document", [document.source, document.id, *parts])
    place = document.origin.place if document.origin else ""
    named = _hash(secret, "id", [place, document.source, document.id]) if document.id else key
    return Identity(key, named, document.shared)


def find_new(transaction: Transaction, documents: Sequence[Identity]) -> list[int]:
    """The places of the documents that are new.

    The answer does not depend on what else is read now: an id that several documents of the store
    have stays shared, and a document is known by its key before and after its id is shared."""
    marks = ", ".join("?" * len(documents))
    rows = transaction.select(
        f"SELECT key FROM documents WHERE key IN ({marks})", *(each.key for each in documents)
    )
    known = {row["key"] for row in rows}
    rows = transaction.select(
        f"SELECT named, count(*) AS count FROM documents WHERE named IN ({marks}) GROUP BY named",
        *(each.named for each in documents),
    )
    having = defaultdict[str, int](int, {row["named"]: row["count"] for row in rows})
    new = []
    for place, each in enumerate(documents):
        if each.key in known:
            continue
        known.add(each.key)
        if having[each.named] == 1 and not each.shared:
            continue  # a new version
        having[each.named] += 1
        new.append(place)
    return new


def _hash(secret: bytes, kind: str, parts: Sequence[object]) -> str:
    return keyed_hash(secret, kind, "\n".join(map(repr, parts)))
