"""`Ingest`: documents of sources become documents of the store, each once."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.counts import ALL_MOODS, COMPANY, TOPIC, add, tally
from xinye.apps.monitor.documents import HOUR, Analysis, Incoming
from xinye.apps.monitor.identity import find_new, identity
from xinye.apps.monitor.labels import cleaned, read_analyses, write_labels
from xinye.apps.monitor.near import (
    HELD,
    Near,
    Sketched,
    first_sketch,
    held,
    read_sketches,
    write_sketches,
)
from xinye.apps.monitor.normalized import (
    Listed,
    Normalized,
    no_company,
    normalize,
    says_something,
)
from xinye.apps.monitor.presence import note_presence, sources_answer
from xinye.apps.monitor.watch import Touched, Watch
from xinye.apps.store import Transaction

log = logging.getLogger("xinye.monitor")

Analyse = Callable[[Sequence[tuple[str, str]]], list[Analysis]]  # of titles with texts


@dataclass(frozen=True)
class Added:
    """What became of documents: how many are new, how many of a batch are new but nearly equal an
    earlier one (`repeats`), came before (`known`), or have no text (`empty`). Of the first two, how
    many were so long that they were `cut`, and on how many a model failed, so that they have no
    topic and no mood (`unjudged`). `alerts` are the numbers of those that were opened."""

    new: int = 0
    repeats: int = 0
    known: int = 0
    empty: int = 0
    cut: int = 0
    unjudged: int = 0
    alerts: tuple[int, ...] = ()

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.new + other.new,
            self.repeats + other.repeats,
            self.known + other.known,
            self.empty + other.empty,
            self.cut + other.cut,
            self.unjudged + other.unjudged,
            self.alerts + other.alerts,
        )


@dataclass(frozen=True)
class _Numbered:
    """A document as it is written."""

    number: int
    document: Normalized
    first: int | None
    analysis: Analysis


class _Changed(Exception):
    """Another process has written what a batch depends on."""


class Ingest:
    """Writes documents. Several processes can do so with one store, each with an `Ingest`.

    `analyse` says what models see in documents; without it they only have a time. `listed` finds
    the watched companies: a document that names another one than the one it nearly equals is no
    repeat. Threads wait for each other."""

    def __init__(
        self,
        archive: Archive,
        watch: Watch,
        analyse: Analyse | None = None,
        listed: Listed = no_company,
    ) -> None:
        self._archive, self._watch = archive, watch
        self._analyse, self._listed = analyse, listed
        self._lock = threading.Lock()
        self._near = Near(archive.limits.near_days)
        self._read = 0  # the number of the last document that `_near` knows
        self._forgot = archive.clock()  # when old ones were last removed from it

    def add(self, documents: Iterable[Incoming]) -> Added:
        """Write documents, `Limits.batch` at a time. When this returns, they are on the disk.

        Raises `Unavailable` if the disk is full or the store is locked. Then the whole batches
        before that are saved; give all documents again, and those count as known."""
        added = Added()
        rest = iter(documents)
        while batch := [*islice(rest, self._archive.limits.batch)]:
            with self._lock:
                added += self._add(batch)
        return added

    def close_quiet(self) -> None:
        """Close alerts whose subjects are quiet again, and note that the monitor is at work. `add`
        does so, too; call this again and again, in case no documents come."""
        with self._lock, self._archive.writing() as (transaction, now):
            if sources_answer(transaction):
                note_presence(transaction, now)
            self._watch.look(transaction, now, ())

    def _add(self, batch: Sequence[Incoming]) -> Added:
        now = self._archive.clock()
        given = [each for each in batch if says_something(each)]
        identities = [identity(each, self._archive.secret) for each in given]
        with self._archive.store.reading() as transaction:
            new = find_new(transaction, identities)
        normalized = [
            normalize(given[at], identities[at], self._archive, self._listed, now) for at in new
        ]
        analyses: dict[str, Analysis | None] = {}
        added = Added()
        while normalized:
            try:
                added = self._write(normalized, analyses, now)
                break
            except _Changed:
                with self._archive.store.reading() as transaction:
                    normalized = _new(transaction, normalized)
        known_now = len(given) - added.new - added.repeats
        return replace(added, known=known_now, empty=len(batch) - len(given))

    def _write(
        self, documents: Sequence[Normalized], analyses: dict[str, Analysis | None], now: float
    ) -> Added:
        """Analyse documents, and write them in one transaction with all that follows from them.
        Analyses are added to those that are there already."""
        with self._archive.store.reading() as transaction:
            self._catch_up(transaction, now)
            firsts = self._firsts(transaction, documents)
        wanted = [
            each
            for each, first in zip(documents, firsts, strict=True)
            if first is None and each.identity.key not in analyses
        ]
        keys = (each.identity.key for each in wanted)
        analyses.update(zip(keys, self._analysed(wanted), strict=True))
        with self._archive.writing() as (transaction, moment):
            new = _new(transaction, documents)
            if self._catch_up(transaction, now) or len(new) < len(documents):
                documents = new
                firsts = self._firsts(transaction, documents)
                for each, first in zip(documents, firsts, strict=True):
                    if first is None and each.identity.key not in analyses:
                        raise _Changed  # what it repeated was written by another process
            batch = _numbered(transaction, documents, firsts, analyses)
            _insert(transaction, batch, now)
            note_presence(transaction, moment)
            alerts = (*self._watch.look(transaction, moment, _touched(batch)),)
            transaction.execute("DELETE FROM sketches WHERE fetched < ?", now - self._near.window)
        self._near.add(_sketches(batch))
        self._read = max([self._read, *(each.number for each in batch)])
        cut = sum(each.document.cut for each in batch)
        own = [each.document.identity.key for each in batch if each.first is None]
        unjudged = sum(analyses[key] is None for key in own)
        repeats = len(batch) - len(own)
        return Added(len(own), repeats, cut=cut, unjudged=unjudged, alerts=alerts)

    # -- repeats -----------------------------------------------------------------------------------

    def _firsts(
        self, transaction: Transaction, documents: Sequence[Normalized]
    ) -> list[int | None]:
        """What each document repeats: a number of the store, or -1 for the first of these, -2 for
        the second, and so on."""
        sketched = [
            (place, each, each.sketch)
            for place, each in enumerate(documents)
            if each.sketch is not None
        ]
        stored = self._near.find([(each.at, own, each.needed) for _, each, own in sketched])
        found: list[int | None] = [None] * len(documents)
        batch = Near(self._archive.limits.near_days)
        for (place, each, own), first in zip(sketched, stored, strict=True):
            if first is None:
                (first,) = batch.find([(each.at, own, each.needed)])
            if first is None:
                titled = batch.titled(each.title_hash, each.at)
                first = titled or self._near.titled(each.title_hash, each.at)
                if first is not None and not _holds(each, _text(transaction, documents, first)):
                    first = None
            if first is not None and not each.companies <= _companies(
                transaction, documents, first
            ):
                first = None  # the same of another company is other news
            if first is None:
                batch.add([Sketched(-1 - place, each.at, each.title_hash, own)])
            found[place] = first
        return found

    def _catch_up(self, transaction: Transaction, now: float) -> bool:
        """Remember what was written by others, or before this process began. Returns whether there
        was anything. Now and then, forget what is too old."""
        last, sketches = read_sketches(transaction, self._read, now - self._near.window)
        changed = last != self._read
        self._near.add(sketches)
        self._read = last
        if abs(now - self._forgot) > self._near.window / 8:
            self._near.forget(first_sketch(transaction, now - self._near.window) - 1)
            self._forgot = now
        return changed

    def _analysed(self, documents: Sequence[Normalized]) -> list[Analysis | None]:
        """What the models say of documents; None of one on which a model fails."""
        if self._analyse is None:
            return [Analysis()] * len(documents)
        if not documents:
            return []
        try:
            analyses = self._analyse([(each.title, each.text) for each in documents])
            for analysis in analyses:
                if analysis.mood not in ALL_MOODS:
                    raise ValueError(analysis.mood)
            return [cleaned(analysis) for analysis in analyses]
        except Exception:
            if len(documents) == 1:
                log.debug("a model failed on a document", exc_info=True)
                return [None]
            return [one for each in documents for one in self._analysed([each])]


def _new(transaction: Transaction, documents: Sequence[Normalized]) -> list[Normalized]:
    """Those that the store does not know."""
    places = find_new(transaction, [each.identity for each in documents])
    return [documents[place] for place in places]


def _text(transaction: Transaction, documents: Sequence[Normalized], first: int) -> str:
    """The title and text of what a document may repeat."""
    if first < 0:
        each = documents[-1 - first]
        return f"{each.title}\n{each.text}"
    row = transaction.select_one("SELECT title, text FROM documents WHERE number = ?", first)
    return f"{row['title']}\n{row['text']}" if row else ""


def _companies(
    transaction: Transaction, documents: Sequence[Normalized], first: int
) -> frozenset[str]:
    """The companies of what a document may repeat."""
    if first < 0:
        return documents[-1 - first].companies
    rows = transaction.select("SELECT company FROM document_companies WHERE document = ?", first)
    return frozenset(row["company"] for row in rows)


def _holds(document: Normalized, other: str) -> bool:
    return held(f"{document.title}\n{document.text}", other) >= HELD


def _numbered(
    transaction: Transaction,
    documents: Sequence[Normalized],
    firsts: Sequence[int | None],
    analyses: Mapping[str, Analysis | None],
) -> list[_Numbered]:
    """The documents with their numbers. One that repeats another has its analysis, but only those
    of its companies that it names itself, if there are any."""
    row = transaction.select_one("SELECT seq FROM sqlite_sequence WHERE name = 'documents'")
    begin = (row["seq"] if row else 0) + 1
    stored = sorted({first for first in firsts if first is not None and first > 0})
    marks = ", ".join("?" * len(stored))
    rows = transaction.select(f"SELECT * FROM documents WHERE number IN ({marks})", *stored)
    of_first = {
        row["number"]: analysis
        for row, analysis in zip(rows, read_analyses(transaction, rows), strict=True)
    }
    batch = []
    for number, (each, first) in enumerate(zip(documents, firsts, strict=True), begin):
        if first is None:
            analysis = analyses[each.identity.key]
            of_first[number] = analysis or Analysis(companies=tuple(sorted(each.companies)))
        elif first < 0:
            first = begin - 1 - first
        said = of_first[first or number]
        if first is not None and each.companies:
            said = replace(said, companies=tuple(sorted(each.companies)))
        batch.append(_Numbered(number, each, first, said))
    return batch


def _insert(transaction: Transaction, batch: Sequence[_Numbered], now: float) -> None:
    """Write documents with their labels, sketches and counts."""
    transaction.execute_many(
        "INSERT INTO documents (number, key, named, source, origin, title, text, url, at, fetched, "
        "dated, first, language, mood, mood_probability) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                each.number, each.document.identity.key, each.document.identity.named,
                each.document.source, each.document.origin, each.document.title,
                each.document.text, each.document.url, each.document.at, now, each.document.dated,
                each.first, each.analysis.language, each.analysis.mood,
                each.analysis.mood_probability,
            )
            for each in batch
        ],
    )  # fmt: skip
    repeats = Counter(each.first for each in batch if each.first is not None)
    transaction.execute_many(
        "UPDATE documents SET repeats = repeats + ? WHERE number = ?",
        [(count, first) for first, count in repeats.items()],
    )
    write_labels(transaction, [(each.number, each.document.at, each.analysis) for each in batch])
    write_sketches(transaction, _sketches(batch), now)
    counted = ((each.analysis, each.document.at, each.first is not None) for each in batch)
    add(transaction, tally(counted))


def _sketches(batch: Sequence[_Numbered]) -> list[Sketched]:
    return [
        Sketched(each.number, each.document.at, each.document.title_hash, each.document.sketch)
        for each in batch
        if each.first is None and each.document.sketch is not None
    ]


def _touched(batch: Sequence[_Numbered]) -> set[Touched]:
    """The subjects and hours in which there are more documents now, repeats left out."""
    return {
        (kind, subject, int(each.document.at // HOUR))
        for each in batch
        if each.first is None
        for kind, subjects in (
            (TOPIC, [topic for topic, _ in each.analysis.topics]),
            (COMPANY, each.analysis.companies),
        )
        for subject in subjects
    }
