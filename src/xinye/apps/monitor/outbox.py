"""`Outbox`: messages about alarms that must arrive. They are written with the alert, in the same
transaction, and sent until the receiver has them.

Each is claimed in the store before it is sent, so that two processes do not send it twice. A
process that is killed between sending and marking leaves its claim; when that has run out, the
message is sent again with the same key. So a message arrives at least once, and a receiver that
remembers keys handles it once.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.monitor.channels import Channel
from xinye.apps.monitor.log import SYSTEM, Entry
from xinye.apps.monitor.notices import Wording, read_notice
from xinye.apps.monitor.sending import Undelivered
from xinye.apps.store import Store, Transaction
from xinye.errors import NotFound

WAITING, SENT, DEAD = STATES = ("waiting", "sent", "dead")
CLAIM = 120.0  # seconds; longer than any attempt takes
FIRST_WAIT, LONGEST_WAIT = 10.0, 600.0  # seconds until the next attempt
LONGEST_WISH = 3600.0  # seconds that a receiver may ask us to wait
REST = 30.0  # seconds in which a channel that has just failed is not tried with other messages
GIVE_UP = 72 * 3600.0  # seconds; an older message is dead when it fails
FEWEST_TRIES = 10  # before a message is given up, in case the clock has jumped
MOST = 100  # messages in one call of `send_due`
MOST_SHOWN = 100  # messages in one call of `deliveries`


@dataclass(frozen=True)
class Delivery:
    """A message: its key, for which alert, through which channel, and how far it is. `error` says
    why the last attempt failed."""

    number: int
    key: str
    alert: int
    channel: str
    state: str
    begun: float
    due: float
    tries: int
    error: str
    sent: float | None


@dataclass(frozen=True)
class Sent:
    """What `Outbox.send_due` did: how many messages were delivered, how many will be tried again,
    and how many are dead."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0

    def __add__(self, other: "Sent") -> "Sent":
        return Sent(
            self.delivered + other.delivered, self.failed + other.failed, self.dead + other.dead
        )


@dataclass(frozen=True)
class _Result:
    """What became of a delivery that was claimed."""

    row: Row
    failure: Undelivered | None


def write_deliveries(
    transaction: Transaction, alert: int, now: float, channels: Iterable[str], wording: Wording
) -> int:
    """Write a message about an alert for each channel. Call this in the transaction that opens the
    alert, after its documents are written. Returns how many messages that are."""
    names = tuple(channels)
    if names:
        body = read_notice(transaction, alert).body(wording)
        for name in names:
            write_delivery(transaction, alert, name, body, now)
    return len(names)


def write_delivery(
    transaction: Transaction, alert: int, channel: str, body: str, now: float
) -> str:
    """Write one message. Returns its key."""
    key = secrets.token_urlsafe(16)  # not from the alert's number: a new store begins at 1 again
    transaction.insert(
        "deliveries", key=key, alert=alert, channel=channel, body=body, begun=now, due=now
    )
    return key


class Outbox:
    """Sends what is due through the channels of monitor.toml. Threads and processes can share a
    store, each with an outbox of its own."""

    def __init__(
        self, store: Store, channels: Mapping[str, Channel], clock: Callable[[], float]
    ) -> None:
        self._store, self._channels, self._clock = store, channels, clock
        self._unmarked: list[_Result] = []  # which a full disk kept from being saved

    def send_due(self, most: int = MOST) -> Sent:
        """Send what is due, one message after another. Call it every second or so.

        Raises `Unavailable` if the store cannot be written. Then nothing is sent that was not
        claimed, and the next call first saves what this one could not."""
        self._mark()
        counts = dict.fromkeys((SENT, WAITING, DEAD), 0)
        while sum(counts.values()) < most and (row := self._claim()):
            self._unmarked.append(_Result(row, self._send(row)))
            for state in self._mark():
                counts[state] += 1
        return Sent(counts[SENT], counts[WAITING], counts[DEAD])

    def deliveries(self, state: str, after: int = 0, count: int = MOST_SHOWN) -> list[Delivery]:
        """The first `count` messages of this state with numbers above `after`."""
        with self._store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM deliveries WHERE state = ? AND number > ? ORDER BY number LIMIT ?",
                state, after, count,
            )  # fmt: skip
        return [
            Delivery(**{name: row[name] for name in Delivery.__dataclass_fields__}) for row in rows
        ]

    def counts(self) -> dict[str, int]:
        """How many messages each state has."""
        with self._store.reading() as transaction:
            rows = transaction.select("SELECT state, count(*) FROM deliveries GROUP BY state")
        return dict.fromkeys(STATES, 0) | {state: count for state, count in rows}

    def resend(self, number: int | None = None, who: str = "operator") -> int:
        """Let a dead message wait to be sent again with its old key, or all dead messages. Returns
        how many. Raises `NotFound` for a number that is not one of a dead message."""
        with self._store.writing() as transaction:
            now = self._clock()
            rows = transaction.select(
                "SELECT number, alert FROM deliveries WHERE state = 'dead' "
                "AND (?1 IS NULL OR number = ?1)",
                number,
            )
            if number is not None and not rows:
                raise NotFound(f"no message {number} was given up")
            for row in rows:
                transaction.execute(
                    "UPDATE deliveries SET state = 'waiting', begun = ?, due = ?, tries = 0 "
                    "WHERE number = ?",
                    now, now, row["number"],
                )  # fmt: skip
                Entry(now, who, "resent", alert=row["alert"]).write(transaction)
        return len(rows)

    # -- one message -------------------------------------------------------------------------------

    def _claim(self) -> Row | None:
        """The message that has been due longest, which is now this process's for a while."""
        with self._store.reading() as transaction:
            if not _next(transaction, self._clock()):
                return None
        with self._store.writing() as transaction:
            now = self._clock()
            row = _next(transaction, now)
            if not row:
                return None
            transaction.execute(
                "UPDATE deliveries SET claimed_until = ?, tries = tries + 1 WHERE number = ?",
                now + CLAIM, row["number"],
            )  # fmt: skip
            return transaction.select_one(
                "SELECT * FROM deliveries WHERE number = ?", row["number"]
            )

    def _send(self, row: Row) -> Undelivered | None:
        """Send a message. Returns why it did not arrive, or None."""
        channel = self._channels.get(row["channel"])
        if channel is None:
            return Undelivered("monitor.toml has no channel of this name", for_good=True)
        try:
            channel.send(row["key"], row["body"], self._clock())
        except Undelivered as failure:
            return failure
        except Exception as error:  # one message must not stop the others
            # Only the name, since the text of an unknown error might hold a secret.
            return Undelivered(f"an unexpected error: {type(error).__name__}")
        return None

    def _mark(self) -> list[str]:
        """Save what became of the messages that were sent. Returns their states."""
        if not self._unmarked:
            return []
        with self._store.writing() as transaction:
            now = self._clock()
            states = [_mark(transaction, result, now) for result in self._unmarked]
        self._unmarked.clear()
        return states


def _next(transaction: Transaction, now: float) -> Row | None:
    """The message that is to be sent next. A time that lies further ahead than any that is written
    shows that the clock has gone back; then it does not count."""
    return transaction.select_one(
        "SELECT number FROM deliveries WHERE state = 'waiting' AND (due <= ?1 OR due > ?2) "
        "AND (claimed_until <= ?1 OR claimed_until > ?3) ORDER BY due, number LIMIT 1",
        now, now + LONGEST_WISH, now + CLAIM,
    )  # fmt: skip


def _mark(transaction: Transaction, result: _Result, now: float) -> str:
    """Save what became of a message. Returns its state."""
    row, failure = result.row, result.failure
    if failure is None:
        transaction.execute(
            "UPDATE deliveries SET state = 'sent', sent = ?, error = '', claimed_until = 0 "
            "WHERE number = ?",
            now, row["number"],
        )  # fmt: skip
        Entry(now, SYSTEM, "delivered", alert=row["alert"]).write(transaction)
        return SENT
    old = now - row["begun"] >= GIVE_UP and row["tries"] >= FEWEST_TRIES
    state = DEAD if failure.for_good or old else WAITING
    wait = max(_wait(row["tries"]), min(failure.wait, LONGEST_WISH))
    ours = transaction.execute(  # not if the claim ran out and another process has it
        "UPDATE deliveries SET state = ?, due = ?, error = ?, claimed_until = 0 "
        "WHERE number = ? AND state = 'waiting' AND claimed_until = ?",
        state, now + wait, str(failure), row["number"], row["claimed_until"],
    )  # fmt: skip
    if ours and state == DEAD:
        Entry(now, SYSTEM, "dead", alert=row["alert"]).write(transaction)
    if not failure.for_good:
        rest = max(REST, min(failure.wait, LONGEST_WISH))
        transaction.execute(
            "UPDATE deliveries SET due = ?1 "
            "WHERE channel = ?2 AND state = 'waiting' AND due < ?1 AND number <> ?3",
            now + rest, row["channel"], row["number"],
        )  # fmt: skip
    return state


def _wait(tries: int) -> float:
    """Seconds until the next attempt."""
    return min(FIRST_WAIT * 2.0 ** min(tries - 1, 30), LONGEST_WAIT)
