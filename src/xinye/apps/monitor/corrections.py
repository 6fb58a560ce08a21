"""`Corrections`: what people say of a document instead of the models. It counts at once; once it
is approved, `monitor improve` learns from it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Row
from typing import Any

from xinye.apps.monitor.archive import Archive, checked_name
from xinye.apps.monitor.counts import Labels, relabel
from xinye.apps.monitor.documents import MOODS
from xinye.apps.monitor.labelled import mood_named
from xinye.apps.monitor.labels import read_analyses, read_row
from xinye.apps.monitor.log import Entry
from xinye.apps.store import Transaction
from xinye.errors import NotFound, XinyeError

OPEN, APPROVED, DECLINED = STATES = ("open", "approved", "declined")
TOPICS, MOOD = "topics", "mood"
AT_ONCE = 1_000  # repeats that are changed together
MOST_TOPICS = 20  # of a document


@dataclass(frozen=True)
class Correction:
    """What `who` says of a document. `field` is "topics", and `value` a tuple of names, perhaps
    none; or it is "mood", and `value` the mood. `before` is what the model said. `title` and `text`
    are the document's, so that somebody can decide, and a model can learn."""

    number: int
    at: float
    document: int
    field: str
    value: tuple[str, ...] | str
    before: tuple[str, ...] | str
    who: str
    state: str
    title: str
    text: str


class Corrections:
    """Correcting documents, and deciding on corrections. Raises `NotFound` for a document or a
    correction that does not exist."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def correct(
        self, document: int, who: str, topics: Sequence[str] | None = None, mood: str | None = None
    ) -> list[int]:
        """Give a document other topics, another mood (in English or Chinese), or both. They count
        from now on, in one transaction, also for the documents that repeat it, unless those were
        corrected themselves. Replaces what the same person has said before. Returns the numbers of
        the corrections."""
        who = checked_name(who, "the name of the person")
        values = _values(topics, mood)
        with self._archive.writing() as (transaction, now):
            row = read_row(transaction, document)
            if row["erased"] is not None:
                raise XinyeError(f"the text of document {document} was deleted for its age")
            numbers = [
                _give(transaction, now, row, field, value, who) for field, value in values.items()
            ]
            _apply(transaction, document)
        return numbers

    def find(self, state: str = OPEN, after: int = 0, count: int = 50) -> list[Correction]:
        """The first `count` corrections of a state with numbers above `after`, at most
        `Limits.page`, without those of documents whose texts are deleted."""
        if state not in STATES:
            raise XinyeError(f"state: {state!r} is unknown; choose {', '.join(STATES)}")
        count = max(0, min(count, self._archive.limits.page))
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"{_READ} WHERE state = ? AND corrections.number > ? AND erased IS NULL "
                "ORDER BY corrections.number LIMIT ?",
                state, after, count,
            )  # fmt: skip
        return [_read(row) for row in rows]

    def of_document(self, document: int) -> list[Correction]:
        """All corrections of a document."""
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"{_READ} WHERE document = ? ORDER BY corrections.number", document
            )
        return [_read(row) for row in rows]

    def corrected(self, documents: Sequence[int]) -> set[int]:
        """Those of the documents that people have corrected, or what they repeat."""
        marks = ", ".join("?" * len(documents))
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"SELECT number FROM documents WHERE number IN ({marks}) AND EXISTS (SELECT 1 "
                "FROM corrections WHERE document IN (documents.number, first) "
                "AND state <> 'declined')",
                *documents,
            )
        return {row["number"] for row in rows}

    def approve(self, number: int, who: str) -> Correction:
        """Let a correction be learned from. It counts for its document again, if another one was
        made meanwhile."""
        return self._decide(number, who, APPROVED)

    def decline(self, number: int, who: str) -> Correction:
        """Take a correction back: the document has again what was said of it before."""
        return self._decide(number, who, DECLINED)

    def approved(self) -> list[Correction]:
        """The approved corrections whose documents still have a text: of each document and field
        the one that was approved last."""
        with self._archive.store.reading() as transaction:
            rows = transaction.select(
                f"{_READ} WHERE state = ? AND erased IS NULL ORDER BY changed, corrections.number",
                APPROVED,
            )
        last = {(row["document"], row["field"]): _read(row) for row in rows}
        return sorted(last.values(), key=lambda each: each.number)

    def _decide(self, number: int, who: str, state: str) -> Correction:
        who = checked_name(who, "the name of the person")
        with self._archive.writing() as (transaction, now):
            row = transaction.select_one(f"{_READ} WHERE corrections.number = ?", number)
            if row is None:
                raise NotFound(f"there is no correction {number}")
            transaction.execute(
                "UPDATE corrections SET state = ?, changed = ? WHERE number = ?",
                state, now, number,
            )  # fmt: skip
            _apply(transaction, row["document"])
            Entry(now, who, f"{state} {row['field']}", row["document"]).write(transaction)
        return replace(_read(row), state=state)


_READ = (
    "SELECT corrections.*, title, text FROM corrections JOIN documents "
    "ON documents.number = document"
)


def _read(row: Row) -> Correction:
    def plain(value: Any) -> tuple[str, ...] | str:
        return value if isinstance(value, str) else tuple(value)

    value, before = json.loads(row["value"]), json.loads(row["before"])
    return Correction(
        row["number"], row["at"], row["document"], row["field"], plain(value),
        before[0] if row["field"] == MOOD else tuple(topic for topic, _ in before),
        row["who"], row["state"], row["title"], row["text"],
    )  # fmt: skip


def _values(topics: Sequence[str] | None, mood: str | None) -> dict[str, Any]:
    """What is corrected. Raises `XinyeError`."""
    values: dict[str, Any] = {}
    if topics is not None:
        names = [checked_name(topic, "the name of the topic") for topic in topics]
        values[TOPICS] = [*dict.fromkeys(names)]
        if len(names) > MOST_TOPICS:
            raise XinyeError(f"topics: a document has at most {MOST_TOPICS}")
    if mood is not None:
        values[MOOD] = mood_named(mood)
        if not values[MOOD]:
            raise XinyeError(f"mood: {mood!r} is unknown; choose {', '.join(MOODS)}")
    if not values:
        raise XinyeError("name the right topics, the right mood, or both")
    return values


def _give(
    transaction: Transaction, now: float, document: Row, field: str, value: Any, who: str
) -> int:
    """Write a correction. One that is sent again changes nothing. Returns its number."""
    number, text = document["number"], json.dumps(value, ensure_ascii=False)
    other = transaction.select_one(  # of a repeat, the model said what it said of the first
        "SELECT before FROM corrections WHERE document IN (?, ?) AND field = ? LIMIT 1",
        number, document["first"], field,
    )  # fmt: skip
    if other is None:  # so it has what the model said
        (analysis,) = read_analyses(transaction, [document])
        said = analysis.topics if field == TOPICS else (analysis.mood, analysis.mood_probability)
        before = json.dumps(said, ensure_ascii=False)
    else:
        before = other["before"]
    changed = transaction.execute(
        "INSERT INTO corrections (at, document, field, value, before, who, changed) "
        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?1) ON CONFLICT DO UPDATE SET at = excluded.at, "
        "value = excluded.value, changed = excluded.changed, state = 'open' "
        "WHERE value <> excluded.value OR state = 'declined'",
        now, number, field, text, before, who,
    )  # fmt: skip
    if changed:
        Entry(now, who, f"corrected {field}", number).write(transaction)
    (row,) = transaction.select(
        "SELECT number FROM corrections WHERE document = ? AND field = ? AND who = ?",
        number, field, who,
    )  # fmt: skip
    return int(row["number"])


def _apply(transaction: Transaction, document: int) -> None:
    """Let the last correction of each field count that is not declined, or what the model said; in
    a document that repeats another, what holds for that one. The same in its own repeats."""
    row = read_row(transaction, document)
    first = row if row["first"] is None else read_row(transaction, row["first"])
    (analysis,) = read_analyses(transaction, [first])
    said = {TOPICS: analysis.topics, MOOD: (analysis.mood, analysis.mood_probability)}
    own = _corrections(transaction, [row])[document]
    if first is row:
        said |= {each["field"]: json.loads(each["before"]) for each in own}
    holds = said | _decided(own)
    relabel(transaction, [row], [_labels(holds)])
    repeats = transaction.select("SELECT * FROM documents WHERE first = ?", document)
    for begin in range(0, len(repeats), AT_ONCE):
        some = repeats[begin : begin + AT_ONCE]
        corrected = _corrections(transaction, some)
        labels = [_labels(holds | _decided(corrected[each["number"]])) for each in some]
        relabel(transaction, some, labels)


def _corrections(transaction: Transaction, documents: Sequence[Row]) -> dict[int, list[Row]]:
    """The corrections of each document by its number, the last decided last."""
    found: dict[int, list[Row]] = {row["number"]: [] for row in documents}
    marks = ", ".join("?" * len(found))
    for each in transaction.select(
        f"SELECT * FROM corrections WHERE document IN ({marks}) ORDER BY changed, number", *found
    ):
        found[each["document"]].append(each)
    return found


def _decided(corrections: Iterable[Row]) -> dict[str, Any]:
    """What people have said of each field."""
    return {
        each["field"]: _as_said(each["field"], json.loads(each["value"]))
        for each in corrections
        if each["state"] != DECLINED
    }


def _labels(said: Mapping[str, Any]) -> Labels:
    """Topics and mood."""
    return Labels(tuple((topic, share) for topic, share in said[TOPICS]), *said[MOOD])


def _as_said(field: str, value: Any) -> Any:
    """What a person says, in the form of what a model says: it is certain."""
    return [(topic, 1.0) for topic in value] if field == TOPICS else (value, 1.0)
