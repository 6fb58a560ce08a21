"""The states of a conversation, and who may change them.

    bot → waiting → human → closed

The bot speaks in the state "bot" only. A person who does not reply for a while loses the
conversation, which then waits again."""

from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.store import Transaction
from xinye.apps.support.limits import Limits
from xinye.apps.support.log import Entry
from xinye.errors import Conflict

BOT, WAITING, HUMAN, CLOSED = "bot", "waiting", "human", "closed"
NEXT = {
    BOT: (WAITING, HUMAN, CLOSED),
    WAITING: (HUMAN, CLOSED),
    HUMAN: (WAITING, CLOSED),
    CLOSED: (),
}


@dataclass(frozen=True)
class Conversation:
    """A conversation without its messages. `messages` is the number of the last one, `waiting`
    since when the customer waits for a person, and `reason` why (one of `log.REASONS`)."""

    id: str
    state: str
    begun: float
    changed: float
    messages: int
    reason: str
    waiting: float | None
    operator: str | None
    claimed_until: float | None

    @classmethod
    def of(cls, row: Row, now: float) -> "Conversation":
        """The conversation in a row of the table. A claim that has run out counts as given up."""
        columns = {name: row[name] for name in cls.__dataclass_fields__}
        if row["state"] == HUMAN and row["claimed_until"] <= now:
            columns |= {"state": WAITING, "operator": None, "claimed_until": None}
            columns["waiting"] = row["waiting"] or row["claimed_until"]
        return cls(**columns)


def check_open(conversation: Row) -> None:
    """Raises `Conflict` if a conversation is closed."""
    if conversation["state"] == CLOSED:
        raise Conflict("this conversation is closed; begin a new one")


def move(
    transaction: Transaction, conversation: Row, to: str, now: float, **columns: object
) -> None:
    """Give a conversation another state, and set other columns. Raises `Conflict` if it is closed.

    When the bot loses the conversation, it need not answer what is still pending."""
    check_open(conversation)
    assert to in NEXT[conversation["state"]]
    identity = conversation["id"]
    columns = {"changed": now, **columns, "state": to}
    names = ", ".join(f"{name} = ?" for name in columns)
    transaction.execute(
        f"UPDATE conversations SET {names} WHERE id = ?", *columns.values(), identity
    )
    transaction.execute("DELETE FROM pending WHERE conversation = ?", identity)


def end_claims(transaction: Transaction, now: float) -> None:
    """Let conversations wait again whose operator has not replied in time."""
    for row in transaction.select(
        "SELECT * FROM conversations WHERE state = 'human' AND claimed_until <= ?", now
    ):
        put_back(transaction, row, now)
        Entry(now, "system", "claim_ended", row["id"], name=row["operator"]).write(transaction)


def put_back(transaction: Transaction, conversation: Row, now: float) -> None:
    """Let the conversation of an operator wait for another one. It waits since the customer last
    had no reply."""
    since = conversation["waiting"] or min(now, conversation["claimed_until"])
    unclaimed = {"operator": None, "claimed_until": None, "changed": conversation["changed"]}
    move(transaction, conversation, WAITING, now, waiting=since, **unclaimed)


def close_idle(transaction: Transaction, now: float, limits: Limits) -> int:
    """Close the conversations in which nothing has happened for too long. Returns how many."""
    rows = transaction.select(
        "SELECT * FROM conversations WHERE state IN ('bot', 'waiting', 'human') "
        "AND (changed <= ? OR changed <= ? AND messages = 0)",
        now - limits.idle_hours * 3600, now - limits.empty_hours * 3600,
    )  # fmt: skip
    for row in rows:
        close(transaction, row, Entry(now, "system", "idle", row["id"]))
    return len(rows)


def close(transaction: Transaction, conversation: Row, entry: Entry) -> None:
    """Close a conversation for good. That nothing happens any more is no change."""
    changed = conversation["changed"] if entry.who == "system" else entry.at
    ended = {"waiting": None, "operator": None, "claimed_until": None, "changed": changed}
    move(transaction, conversation, CLOSED, entry.at, **ended)
    entry.write(transaction)
