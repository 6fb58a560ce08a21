"""`Alerts`: alarms that were raised, and what people do with them."""

from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.monitor.archive import Archive, checked_name
from xinye.apps.monitor.documents import HOUR, Document
from xinye.apps.monitor.log import Entry
from xinye.apps.monitor.queries import read_documents
from xinye.apps.store import Transaction
from xinye.errors import Conflict, NotFound, XinyeError

OPEN, ACKNOWLEDGED, CLOSED = STATES = ("open", "acknowledged", "closed")
LONGEST_MUTE = 366 * 24.0  # hours


@dataclass(frozen=True)
class Alert:
    """An alarm about a subject, of a `kind`: "topic" or "company". There were `observed` documents
    from the hour `since` to the hour `hour` instead of those expected; `probability` is that of at
    least so many. While the alert is open, these become the least likely hours so far. `changed` is
    when it last was an alarm, or when `who` closed it. `documents` are those of its beginning, the
    most typical first."""

    number: int
    kind: str
    subject: str
    state: str
    opened: float
    changed: float
    since: int
    hour: int
    observed: int
    expected: float
    probability: float
    summary: str
    who: str
    documents: tuple[Document, ...]


@dataclass(frozen=True)
class Mute:
    """A subject about which nobody wants an alert until a time, and who said so."""

    kind: str
    subject: str
    until: float
    who: str


class Alerts:
    """Reading alerts, and what people do with them. Raises `NotFound` for one that does not
    exist."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def get(self, number: int) -> Alert:
        """The alert with this number."""
        with self._archive.store.reading() as transaction:
            return read_alert(transaction, number)

    def find(
        self, state: str | None = None, before: int | None = None, count: int = 50
    ) -> list[Alert]:
        """The last `count` alerts of a state, or of all, at most `Limits.page`, the newest first.
        `before` is the number of the last alert of the page before."""
        if state is not None and state not in STATES:
            raise XinyeError(f"state: {state!r} is unknown; choose {', '.join(STATES)}")
        count = max(0, min(count, self._archive.limits.page))
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM alerts WHERE (?1 IS NULL OR state = ?1) "
                "AND (?2 IS NULL OR number < ?2) ORDER BY number DESC LIMIT ?3",
                state, before, count,
            )  # fmt: skip
            return [_alert(transaction, row) for row in rows]

    def acknowledge(self, number: int, who: str) -> Alert:
        """Say that somebody deals with an alert. If somebody does already, it stays so. Raises
        `Conflict` for a closed one."""
        return self._give(number, who, ACKNOWLEDGED)

    def close(self, number: int, who: str) -> Alert:
        """Close an alert. Its subject gives no other for the cool-down."""
        return self._give(number, who, CLOSED)

    def mute(self, number: int, hours: float, who: str) -> Alert:
        """Acknowledge an alert unless it is closed, and give no others about its subject for so
        many hours."""
        if not 0 < hours <= LONGEST_MUTE:
            raise XinyeError(f"hours: {hours:g} is not more than 0 and at most {LONGEST_MUTE:g}")
        who = checked_name(who, "the name of the person")
        with self._archive.writing() as (transaction, now):
            row = _row(transaction, number)
            transaction.execute(
                "INSERT INTO mutes (kind, subject, until, who) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET until = excluded.until, who = excluded.who",
                row["kind"], row["subject"], now + hours * HOUR, who,
            )  # fmt: skip
            Entry(now, who, "muted", alert=number).write(transaction)
            if row["state"] == OPEN:
                _move(transaction, now, row, ACKNOWLEDGED, who)
            return read_alert(transaction, number)

    def unmute(self, kind: str, subject: str, who: str) -> None:
        """Give alerts about a subject again."""
        who = checked_name(who, "the name of the person")
        with self._archive.writing() as (transaction, now):
            if not transaction.execute(
                "DELETE FROM mutes WHERE kind = ? AND subject = ?", kind, subject
            ):
                raise NotFound(f"the {kind} {subject!r} is not muted")
            last = transaction.select_one(
                "SELECT max(number) AS number FROM alerts WHERE kind = ? AND subject = ?",
                kind, subject,
            )  # fmt: skip
            Entry(now, who, "unmuted", alert=last["number"] if last else None).write(transaction)

    def mutes(self) -> list[Mute]:
        """The subjects that are muted now."""
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM mutes WHERE until > ? ORDER BY kind, subject", self._archive.clock()
            )
        return [Mute(**dict(row)) for row in rows]

    def _give(self, number: int, who: str, state: str) -> Alert:
        who = checked_name(who, "the name of the person")
        with self._archive.writing() as (transaction, now):
            row = _row(transaction, number)
            if row["state"] != state:
                if row["state"] == CLOSED:
                    raise Conflict(f"alert {number} is closed already")
                _move(transaction, now, row, state, who)
            return read_alert(transaction, number)


def read_alert(transaction: Transaction, number: int) -> Alert:
    """The alert with this number. Raises `NotFound`."""
    return _alert(transaction, _row(transaction, number))


def _move(transaction: Transaction, now: float, row: Row, state: str, who: str) -> None:
    """Give an alert another state."""
    transaction.execute(
        "UPDATE alerts SET state = ?, who = ?, changed = ? WHERE number = ?",
        state, who, now if state == CLOSED else row["changed"], row["number"],
    )  # fmt: skip
    Entry(now, who, state, alert=row["number"]).write(transaction)


def _row(transaction: Transaction, number: int) -> Row:
    row = transaction.select_one("SELECT * FROM alerts WHERE number = ?", number)
    if row is None:
        raise NotFound(f"there is no alert {number}")
    return row


def _alert(transaction: Transaction, row: Row) -> Alert:
    rows = transaction.select(
        "SELECT documents.* FROM alert_documents JOIN documents ON number = document "
        "WHERE alert = ? ORDER BY place",
        row["number"],
    )
    return Alert(**dict(row), documents=tuple(read_documents(transaction, rows)))
