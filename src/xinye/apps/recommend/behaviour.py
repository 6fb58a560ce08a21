"""`Behaviour`: what users did since the training, and the items that were added since."""

import json
import time
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row

from xinye.apps.keys import keyed_hash, secret_of
from xinye.apps.recommend.limits import EVENTS_OF_USER, ITEMS
from xinye.apps.recommend.schema import MIGRATIONS
from xinye.apps.store import TIMEOUT, Store, Transaction
from xinye.errors import XinyeError
from xinye.ranking.items import Item

KIND = "recommend"


@dataclass(frozen=True)
class Event:
    """A user used an item. `at` is in seconds since 1970, None for now."""

    user: str
    item: str
    at: float | None = None
    kind: str = ""  # such as "purchase"


@dataclass(frozen=True)
class Added:
    """How many events were new, and how many had arrived before."""

    new: int
    repeated: int


@dataclass(frozen=True)
class Newer:
    """What is known of a user since the training: items, oldest first, each once; and whether the
    history from the training may still be used."""

    items: list[str]
    forgotten: bool


def store_of(run: Path) -> Path:
    """Where the store of a run is unless another place is given: beside its folder, so that it
    stays when the run is trained again."""
    run = run.absolute()
    return run.with_name(f"{run.name}.recommend.db")


class Behaviour:
    """Events and items in one file, which several threads and processes can use at the same time.
    What a method has saved stays saved if the process is killed.

    >>> behaviour = Behaviour("shop.recommend.db")  # doctest: +SKIP
    >>> behaviour.add([Event("li.lei", "book-7")])  # doctest: +SKIP
    Added(new=1, repeated=0)

    `clock` gives seconds since 1970."""

    def __init__(
        self,
        path: str | Path,
        clock: Callable[[], float] = time.time,
        create: bool = True,
        timeout: float = TIMEOUT,
    ) -> None:
        """Open the store, or make it. Raises `XinyeError` as `Store` does."""
        self.store = Store(path, KIND, MIGRATIONS, create, timeout)
        self._clock = clock
        try:
            self._secret = secret_of(self.store)
        except BaseException:
            self.store.close()
            raise

    def close(self) -> None:
        """Close the store's file."""
        self.store.close()

    # -- users -------------------------------------------------------------------------------------

    def add(self, events: Sequence[Event]) -> Added:
        """Save events, all or none. An equal event of the same user with the same item is not
        saved again. Raises `XinyeError` if a user has too many."""
        now = self._clock()
        rows = [
            (each.user, each.item, each.kind, now if each.at is None else min(each.at, now))
            for each in events
        ]
        with self.store.writing() as transaction:
            new = transaction.execute_many(
                "INSERT OR IGNORE INTO events (user, item, kind, at) VALUES (?, ?, ?, ?)", rows
            )
            for user in {each.user for each in events}:
                if _count(transaction, user) > EVENTS_OF_USER:
                    raise XinyeError(
                        f"a user can have at most {EVENTS_OF_USER:,} events, and {user!r} has more "
                        "with these; nothing was saved"
                    )
        return Added(new, len(events) - new)

    def newer(self, user: str, kinds: Set[str] = frozenset()) -> Newer:
        """What is known of a user since the training. If kinds of events are given, in lower case,
        only these and events without a kind count."""
        with self.store.reading() as transaction:
            rows = transaction.select(
                "SELECT item, kind FROM events WHERE user = ? ORDER BY at, number", user
            )
            forgotten = transaction.select_one(
                "SELECT 1 FROM forgotten WHERE user = ?", self._hash(user)
            )
        counting = [
            row["item"]
            for row in rows
            if not kinds or not row["kind"] or row["kind"].casefold() in kinds
        ]
        return Newer([*dict.fromkeys(counting)], forgotten is not None)

    def events_of(self, user: str) -> list[Event]:
        """All events of a user that were saved, oldest first."""
        with self.store.reading() as transaction:
            rows = transaction.select(
                "SELECT user, item, at, kind FROM events WHERE user = ? ORDER BY at, number", user
            )
        return [Event(**{name: row[name] for name in row.keys()}) for row in rows]  # noqa: SIM118

    def forget(self, user: str) -> int:
        """Delete the events of a user, so that no byte of them is left, and use the history from
        the training no more. Returns how many events there were. If this fails because another
        program uses the store, do it again."""
        with self.store.writing() as transaction:
            deleted = transaction.execute("DELETE FROM events WHERE user = ?", user)
            transaction.execute(
                "INSERT OR IGNORE INTO forgotten (user, at) VALUES (?, ?)",
                self._hash(user), self._clock(),
            )  # fmt: skip
        self.store.scrub()
        return deleted

    def _hash(self, user: str) -> str:
        return keyed_hash(self._secret, "user", user)

    # -- items -------------------------------------------------------------------------------------

    def put(self, item: Item) -> bool:
        """Save an item, or the new state of one. Returns whether it was not saved before. Raises
        `XinyeError` if there are too many."""
        tags = json.dumps(item.tags, ensure_ascii=False)
        with self.store.writing() as transaction:
            known = transaction.execute("DELETE FROM items WHERE id = ?", item.id)
            count = transaction.select("SELECT count(*) FROM items")[0][0]
            if count >= ITEMS:
                raise XinyeError(
                    f"at most {ITEMS:,} items can be added to a run; train it again with an items "
                    "file that has them, and they no longer count"
                )
            transaction.insert(
                "items", id=item.id, title=item.title, text=item.text, tags=tags, at=self._clock()
            )
        return not known

    def items(self) -> list[Item]:
        """The items that were added, in the order in which they were put."""
        with self.store.reading() as transaction:
            rows = transaction.select("SELECT id, title, text, tags FROM items ORDER BY at, id")
        return [_item(row) for row in rows]

    def drop(self, items: Sequence[Item]) -> None:
        """Take saved items out of the store."""
        with self.store.writing() as transaction:
            transaction.execute_many(
                "DELETE FROM items WHERE id = ?", [(each.id,) for each in items]
            )


def _count(transaction: Transaction, user: str) -> int:
    row = transaction.select_one("SELECT count(*) FROM events WHERE user = ?", user)
    return int(row[0]) if row else 0


def _item(row: Row) -> Item:
    """The item in a row. Raises `XinyeError` if the store is damaged."""
    try:
        item = Item(row["id"], row["title"], row["text"], tuple(json.loads(row["tags"])))
        if all(isinstance(text, str) for text in (item.id, item.title, item.text, *item.tags)):
            return item
    except (ValueError, TypeError, RecursionError):
        pass
    raise XinyeError(f"the store is damaged: the item {row['id']!r}; restore a copy of it")
