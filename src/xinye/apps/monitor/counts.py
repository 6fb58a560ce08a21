"""`Counts`: how many documents there are by topic, company, mood and hour."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from sqlite3 import Row

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.documents import HOUR, MOODS, Analysis
from xinye.apps.monitor.labels import read_analyses, write_labels
from xinye.apps.store import Transaction
from xinye.errors import XinyeError

TOPIC, COMPANY = SUBJECTS = ("topic", "company")  # what trends and alarms are about
ALL_MOODS = ("", *MOODS, "unsure")
STEPS = {"hour": 1, "day": 24}
_MOODS = ", ".join(f"'{mood}'" for mood in ALL_MOODS)

Key = tuple[str, str, str, int]  # topic, company, mood, hour
Tally = Mapping[Key, tuple[int, int]]  # documents, repeats


@dataclass(frozen=True)
class Point:
    """The documents from the time `at` to the next point, without repeats, by mood; "" is the mood
    of documents that no model has judged."""

    at: float
    documents: int
    repeats: int
    moods: dict[str, int]


@dataclass(frozen=True)
class Share:
    """The documents of a topic or a company, without repeats, by mood."""

    name: str
    documents: int
    repeats: int
    moods: dict[str, int]


class Counts:
    """Reading the counts. Takes milliseconds, however many documents there are."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def trend(
        self, topic: str, company: str, mood: str | None, since: float, until: float, step: str
    ) -> list[Point]:
        """A point for each hour or day (`step`) from `since` to `until`, beginning with the one
        that `since` lies in. "" stands for all topics or companies, and None for all moods.

        Raises `XinyeError` for another step, and for more than `Limits.points`."""
        if step not in STEPS:
            raise XinyeError(f"step: {step!r} is unknown; choose 'hour' or 'day'")
        size, zone = STEPS[step], self._archive.zone
        begin = (_hour(since) + zone) // size * size - zone
        count = max(0, -((begin - _end(until)) // size))
        if count > self._archive.limits.points:
            raise XinyeError(
                f"this trend has {count:,} points; ask for days, or for a shorter time"
            )
        moods = ALL_MOODS if mood is None else (mood,)
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                "SELECT (hour - ?) / ? AS place, mood, sum(documents), sum(repeats) FROM counts "
                f"WHERE topic = ? AND company = ? AND mood IN ({', '.join('?' * len(moods))}) "
                "AND hour >= ? AND hour < ? GROUP BY 1, 2",
                begin, size, topic, company, *moods, begin, begin + count * size,
            )  # fmt: skip
        documents: list[dict[str, int]] = [{} for _ in range(count)]
        repeats = [0] * count
        for place, name, some, more in rows:
            documents[place][name] = some
            repeats[place] += more
        return [
            Point((begin + place * size) * HOUR, sum(of.values()), repeats[place], of)
            for place, of in enumerate(documents)
        ]

    def topics(self, since: float, until: float) -> list[Share]:
        """The topics of this time, those with the most documents first."""
        return self._shares(TOPIC, since, until)

    def companies(self, since: float, until: float) -> list[Share]:
        """The companies of this time, those with the most documents first."""
        return self._shares(COMPANY, since, until)

    def names(self, subject: str) -> list[str]:
        """All topics or all companies that have ever been counted."""
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"{_names(subject)} SELECT name FROM names WHERE name IS NOT NULL"
            )
        return [row["name"] for row in rows]

    def _shares(self, subject: str, since: float, until: float) -> list[Share]:
        other = COMPANY if subject == TOPIC else TOPIC
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"{_names(subject)} SELECT name, mood, sum(documents), sum(repeats) "
                f"FROM names CROSS JOIN counts ON {subject} = name AND {other} = '' "
                f"AND mood IN ({_MOODS}) AND hour >= ? AND hour < ? GROUP BY 1, 2",
                _hour(since), _end(until),
            )  # fmt: skip
        moods: dict[str, dict[str, int]] = {}
        repeats: Counter[str] = Counter()
        for name, mood, documents, more in rows:
            moods.setdefault(name, {})[mood] = documents
            repeats[name] += more
        found = [Share(name, sum(of.values()), repeats[name], of) for name, of in moods.items()]
        return sorted(found, key=lambda each: (-each.documents, -each.repeats, each.name))


# -- inside a transaction --------------------------------------------------------------------------


def tally(counted: Iterable[tuple[Analysis, float, bool]]) -> dict[Key, tuple[int, int]]:
    """What documents add to the counts. Each is given as its analysis, its time, and whether it
    repeats another."""
    documents: Counter[Key] = Counter()
    repeats: Counter[Key] = Counter()
    for analysis, at, repeat in counted:
        topics = {"", *(topic for topic, _ in analysis.topics)}
        for topic, company in product(topics, {"", *analysis.companies}):
            counts = repeats if repeat else documents
            counts[topic, company, analysis.mood, _hour(at)] += 1
    return {key: (documents[key], repeats[key]) for key in sorted({*documents, *repeats})}


def add(transaction: Transaction, counts: Tally) -> None:
    """Add to the counts."""
    transaction.execute_many(
        "INSERT INTO counts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
        "documents = documents + excluded.documents, repeats = repeats + excluded.repeats",
        ((*key, *both) for key, both in counts.items()),
    )


@dataclass(frozen=True)
class Labels:
    """What people can correct in a document."""

    topics: tuple[tuple[str, float | None], ...]
    mood: str
    mood_probability: float | None


def relabel(transaction: Transaction, rows: Sequence[Row], labels: Sequence[Labels]) -> None:
    """Give documents, which are given as rows of their table, other topics and moods, and count
    them so from now on."""
    old = read_analyses(transaction, rows)
    new = [
        replace(before, topics=each.topics, mood=each.mood, mood_probability=each.mood_probability)
        for before, each in zip(old, labels, strict=True)
    ]
    changed = [change for change in zip(rows, old, new, strict=True) if change[1] != change[2]]
    taken = tally((before, row["at"], row["first"] is not None) for row, before, _ in changed)
    add(transaction, {key: (-some, -more) for key, (some, more) in taken.items()})
    transaction.execute_many(
        "DELETE FROM counts WHERE topic = ? AND company = ? AND mood = ? AND hour = ? "
        "AND documents = 0 AND repeats = 0",
        taken,
    )
    transaction.execute_many(
        "UPDATE documents SET mood = ?, mood_probability = ? WHERE number = ?",
        ((after.mood, after.mood_probability, row["number"]) for row, _, after in changed),
    )
    for table in ("document_topics", "document_companies"):
        transaction.execute_many(
            f"DELETE FROM {table} WHERE document = ?", ((row["number"],) for row, _, _ in changed)
        )
    write_labels(transaction, [(row["number"], row["at"], after) for row, _, after in changed])
    add(
        transaction,
        tally((after, row["at"], row["first"] is not None) for row, _, after in changed),
    )


def of_hours(
    transaction: Transaction, kind: str, subject: str, since: int, until: int
) -> dict[int, int]:
    """The documents of a subject in each hour from `since` up to and with `until`; hours without
    documents are left out."""
    topic, company = (subject, "") if kind == TOPIC else ("", subject)
    rows = transaction.select(
        "SELECT hour, sum(documents) FROM counts WHERE topic = ? AND company = ? "
        f"AND mood IN ({_MOODS}) AND hour >= ? AND hour <= ? GROUP BY hour",
        topic, company, since, until,
    )  # fmt: skip
    return {hour: documents for hour, documents in rows if documents}


def count_subjects(transaction: Transaction, since: float) -> int:
    """How many topics and companies have documents that were published since a time."""
    found = 0
    for subject, table in ((TOPIC, "document_topics"), (COMPANY, "document_companies")):
        ((number,),) = transaction.select(
            f"{_names(subject)} SELECT count(*) FROM names "
            f"WHERE (SELECT max(at) FROM {table} WHERE {subject} = name) >= ?",
            since,
        )
        found += number
    return found


def _names(subject: str) -> str:
    """The beginning of a statement that can read `names`, all topics or all companies. It jumps
    from each name to the next, so the time depends on them, not on the hours."""
    counts = "FROM counts WHERE" if subject == TOPIC else "FROM counts WHERE topic = '' AND"
    return (
        f"WITH RECURSIVE names (name) AS (SELECT min({subject}) {counts} {subject} > '' "
        f"UNION ALL SELECT (SELECT min({subject}) {counts} {subject} > name) FROM names "
        "WHERE name IS NOT NULL)"
    )


def _hour(at: float) -> int:
    return int(at // HOUR)


def _end(until: float) -> int:
    """The hour after the last one that lies before this time, at least in part."""
    return int(-(-until // HOUR))
