"""The log of a monitor: who did what. It holds no text of a document, and only grows."""

from dataclasses import asdict, dataclass

from xinye.apps.store import Store, Transaction

SYSTEM = "system"


@dataclass(frozen=True)
class Entry:
    """A line of the log. `who` is "system" or the name of a person."""

    at: float
    who: str
    what: str
    document: int | None = None
    alert: int | None = None

    def write(self, transaction: Transaction) -> int:
        """Append the entry. Returns its number."""
        return transaction.insert("log", **asdict(self))


class Log:
    """What can be read of the log of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self, after: int = 0, count: int = 200) -> list[tuple[int, Entry]]:
        """The first `count` entries with numbers above `after`, each with its number."""
        with self._store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM log WHERE number > ? ORDER BY number LIMIT ?", after, count
            )
        return [
            (row["number"], Entry(**{name: row[name] for name in Entry.__dataclass_fields__}))
            for row in rows
        ]

    def last(self) -> int:
        """The number of the last entry, 0 if there is none."""
        with self._store.reading() as transaction:
            (row,) = transaction.select("SELECT coalesce(max(number), 0) FROM log")
        return int(row[0])
