"""The hours in which a monitor was at work: nothing is known of the others, and no documents in
them would look like a quiet time."""

from itertools import pairwise

from xinye.apps.monitor.documents import HOUR
from xinye.apps.store import Transaction

REACH = 48  # hours without the monitor of which sources still list enough when it is back


def note_presence(transaction: Transaction, now: float) -> None:
    """Write that the monitor is at work. Hours of the future show that the clock has gone back;
    they are taken out."""
    hour = int(now // HOUR)
    transaction.execute("DELETE FROM presence WHERE hour > ?", hour)
    transaction.execute("INSERT OR IGNORE INTO presence (hour) VALUES (?)", hour)


def sources_answer(transaction: Transaction) -> bool:
    """Whether there are no feeds, or one at least that does not fail."""
    (row,) = transaction.select("SELECT count(*) AS feeds, count(stale) AS failing FROM feeds")
    return not row["feeds"] or row["failing"] < row["feeds"]


def presence(transaction: Transaction, first: int, last: int) -> tuple[int, frozenset[int]]:
    """The hour in which the monitor began, and those from `first` to `last` of which nothing is
    known: it was off for more than `REACH` hours. What sources list of them is only a part."""
    rows = transaction.select(
        "SELECT hour FROM presence WHERE hour <= ?2 AND "
        "hour >= (SELECT coalesce(max(hour), ?1) FROM presence WHERE hour <= ?1) ORDER BY hour",
        first, last,
    )  # fmt: skip
    hours = [row["hour"] for row in rows]
    off = frozenset(
        hour
        for before, after in pairwise(hours)
        if after - before > REACH
        for hour in range(max(before + 1, first), after)
    )
    (began,) = transaction.select("SELECT coalesce(min(hour), ?) FROM presence", last)
    return int(began[0]), off
