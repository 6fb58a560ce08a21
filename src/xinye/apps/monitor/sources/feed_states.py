"""What the store knows of each feed: when it is due, whether it answers, and since when it does
not."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from sqlite3 import Row

from xinye.apps.store import Store, Transaction

LONGEST_ERROR = 500  # characters
LONGEST_TITLE = 200  # characters
LONGEST_TAG = 1_000  # characters of an ETag or a date; longer ones are not kept


@dataclass(frozen=True)
class FeedState:
    """The state of a feed. `stale` is since when it has given nothing because it fails, None if it
    answers. `notes` are what was left out or repaired in its last answer."""

    url: str
    title: str = ""
    etag: str = ""
    modified: str = ""
    due: float = 0.0
    failures: int = 0
    checked: float | None = None
    fresh: float | None = None
    stale: float | None = None
    error: str = ""
    notes: tuple[str, ...] = ()

    def is_due(self, now: float) -> bool:
        """Whether to fetch it now; also if the clock was set back since it was fetched."""
        return self.due <= now or (self.checked is not None and self.checked > now)

    def answered(self, now: float, due: float) -> "FeedState":
        """The state after the feed has answered. It is due again at `due`."""
        return replace(self, due=due, failures=0, checked=now, fresh=now, stale=None, error="")

    def noted(self, notes: Iterable[str]) -> "FeedState":
        """The state with what is unusual about the feed's answer."""
        return replace(self, notes=tuple(note[:LONGEST_ERROR] for note in notes))

    def tagged(self, etag: str, modified: str) -> "FeedState":
        """The state with what tells the server later whether the feed has changed since."""
        return replace(self, etag=_tag(etag), modified=_tag(modified))

    def titled(self, title: str) -> "FeedState":
        """The state with a title, or with the one that it has if this is empty."""
        return replace(self, title=title[:LONGEST_TITLE] or self.title)

    def failed(self, now: float, due: float, error: str) -> "FeedState":
        """The state after the feed could not be read."""
        stale = next((each for each in (self.stale, self.fresh) if each is not None), now)
        return replace(
            self, due=due, failures=self.failures + 1, checked=now, stale=stale,
            error=error[:LONGEST_ERROR],
        )  # fmt: skip


class FeedStates:
    """The states of feeds in a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def find(self, urls: Sequence[str]) -> list[FeedState]:
        """The states of these feeds, in order. One that was never fetched is due."""
        with self._store.reading() as transaction:
            return [_find(transaction, url) for url in urls]

    def known(self, count: int = 500) -> list[FeedState]:
        """The states of feeds that were fetched, at most `count`; those that fail come first."""
        with self._store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM feeds ORDER BY stale IS NULL, stale, url LIMIT ?", count
            )
        return [_from_row(row) for row in rows]

    def forget(self, urls: Iterable[str]) -> None:
        """Delete the states of these feeds."""
        with self._store.writing() as transaction:
            transaction.execute_many("DELETE FROM feeds WHERE url = ?", [(url,) for url in urls])

    def save(self, state: FeedState) -> None:
        """Save the state of a feed."""
        columns = asdict(state) | {"notes": json.dumps(state.notes, ensure_ascii=False)}
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        with self._store.writing() as transaction:
            transaction.execute(
                f"INSERT OR REPLACE INTO feeds ({names}) VALUES ({marks})", *columns.values()
            )


def _find(transaction: Transaction, url: str) -> FeedState:
    row = transaction.select_one("SELECT * FROM feeds WHERE url = ?", url)
    return _from_row(row) if row else FeedState(url)


def _from_row(row: Row) -> FeedState:
    return FeedState(**dict(row) | {"notes": tuple(json.loads(row["notes"]))})


def _tag(value: str) -> str:
    """An ETag or a date to send back; one that is very long is not kept."""
    return value if len(value) <= LONGEST_TAG else ""
