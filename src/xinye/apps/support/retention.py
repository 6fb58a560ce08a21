"""Deleting: what a customer asks to be forgotten, and what is older than it may be.

The texts are deleted and overwritten; the row of a conversation and its log stay, for the figures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.store import Transaction
from xinye.apps.support.desk import Desk
from xinye.apps.support.log import Entry
from xinye.apps.support.states import CLOSED, close, close_idle

_TABLES = ("pending", "feedback", "messages", "log_texts")  # in the order of their references


@dataclass(frozen=True)
class Erased:
    """How much was deleted."""

    conversations: int
    messages: int


@dataclass(frozen=True)
class Tidied:
    """What `Retention.tidy` did: how many idle conversations it closed, and what it deleted."""

    closed: int
    expired: Erased


class Retention:
    """Deletes conversations. Then no byte of their texts is in the files of the store."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._unscrubbed = False

    def forget(self, account: str) -> Erased:
        """Delete the conversations of an account, with feedback and training records. If this fails
        because another program uses the store, do it again: it also overwrites what an earlier call
        has deleted."""
        hashed = self._desk.account_hash(account)
        with self._desk.writing() as (transaction, now):
            rows = transaction.select("SELECT * FROM conversations WHERE user = ?", hashed)
            erased = _erase(transaction, rows, "forgotten", now)
        self._desk.store.scrub()
        return erased

    def forget_conversation(self, conversation: str) -> Erased:
        """Delete one conversation, such as that of a customer who has no account. Raises
        `NotFound`."""
        with self._desk.writing() as (transaction, now):
            row = self._desk.find(transaction, conversation)
            erased = _erase(transaction, [row], "forgotten", now)
        self._desk.store.scrub()
        return erased

    def tidy(self) -> Tidied:
        """Close conversations in which nothing happens any more, and delete those that are older
        than `Limits.retention_days`. A server calls this once a day."""
        limits = self._desk.limits
        with self._desk.writing() as (transaction, now):
            closed = close_idle(transaction, now, limits)
            rows = transaction.select(
                "SELECT * FROM conversations WHERE erased IS NULL AND changed <= ?",
                now - limits.retention_days * 86_400,
            )
            expired = _erase(transaction, rows, "expired", now)
        self._unscrubbed = self._unscrubbed or bool(rows)
        if self._unscrubbed:
            self._desk.store.scrub()  # if this fails, it is done the next time
            self._unscrubbed = False
        return Tidied(closed, expired)


def _erase(transaction: Transaction, rows: Sequence[Row], what: str, now: float) -> Erased:
    messages = 0
    for row in rows:
        identity = row["id"]
        if row["state"] != CLOSED:
            close(transaction, row, Entry(now, "system", "closed", identity))
        transaction.execute(
            "UPDATE conversations SET erased = ?, token = '', user = NULL, masks = '{}' "
            "WHERE id = ?",
            now, identity,
        )  # fmt: skip
        for table in _TABLES:
            deleted = transaction.execute(f"DELETE FROM {table} WHERE conversation = ?", identity)
            messages += deleted if table == "messages" else 0
        Entry(now, "system", what, identity).write(transaction)
    return Erased(len(rows), messages)
