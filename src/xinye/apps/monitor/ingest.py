"""`Ingest`: documents of sources become documents of the store, each once."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from xinye.apps.monitor.archive import Archive
from xinye.apps.monitor.counts import ALL_MOODS, COMPANY, TOPIC, add, tally
from xinye.apps.monitor.documents import HOUR, Analysis, Incoming, dated
from xinye.apps.monitor.identity import Identity, find_new, identity
from xinye.apps.monitor.labels import cleaned, read_analyses, write_labels
from xinye.apps.monitor.near import (
    HELD,
    Near,
    Sketch,
    Sketched,
    first_sketch,
    held,
    read_sketches,
    sketch,
    title_hash,
    write_sketches,
)
from xinye.apps.monitor.presence import note_presence, sources_answer
from xinye.apps.monitor.watch import Touched, Watch
from xinye.apps.monitor.web_addresses import link
from xinye.apps.store import Transaction
from xinye.data.masking import Masker

Analyse = Callable[[Sequence[tuple[str, str]]], list[Analysis]]  # of titles with texts


@dataclass(frozen=True)
class Added:
    """What became of documents: how many are new, how many of a batch are new but nearly equal an
    earlier one (`repeats`), came before (`known`), or have no text (`empty`). Of the first two, how
    many were so long that they were `cut`. `alerts` are the numbers of those that were opened."""

    new: int = 0
    repeats: int = 0
    known: int = 0
    empty: int = 0
    cut: int = 0
    alerts: tuple[int, ...] = ()

    def __add__(self, other: "Added") -> "Added":
        return Added(
            self.new + other.new,
            self.repeats + other.repeats,
            self.known + other.known,
            self.empty + other.empty,
            self.cut + other.cut,
            self.alerts + other.alerts,
        )


@dataclass(frozen=True)
class _Prepared:
    """A document before it is written."""

    identity: Identity
    source: str
    origin: str
    title: str
    text: str
    url: str
    at: float
    dated: str
    cut: bool
    title_hash: int
    sketch: Sketch | None


@dataclass(frozen=True)
class _Numbered:
    """A document as it is written."""

    number: int
    document: _Prepared
    first: int | None
    analysis: Analysis


class _Changed(Exception):
    """Another process has written what a batch depends on."""


class Ingest:
    """Writes documents. Several processes can do so with one store, each with an `Ingest`.

    `analyse` says what models see in documents; without it they only have a time. Threads
    wait for each other."""

    def __init__(
        self,
        archive: Archive,
        watch: Watch,
        analyse: Analyse | None = None,
    ) -> None:
        self._archive, self._watch, self._analyse = archive, watch, analyse
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
        """Close alerts whose subjects are quiet again. `add` does so, too; call this every minute
        or so, in case no documents come."""
        with self._lock, self._archive.writing() as (transaction, now):
            if sources_answer(transaction):
                note_presence(transaction, now)
            self._watch.look(transaction, now, ())

    def _add(self, batch: Sequence[Incoming]) -> Added:
        now = self._archive.clock()
        given = [each for each in batch if _says_something(each)]
        identities = [identity(each, self._archive.secret) for each in given]
        with self._archive.store.reading() as transaction:
            new = find_new(transaction, identities)
        prepared = [self._prepared(identities[at], given[at], now) for at in new]
        added = Added()
        while prepared:
            try:
                added = self._write(prepared, now)
                break
            except _Changed:
                continue
        known_now = len(given) - added.new - added.repeats
        return replace(added, known=known_now, empty=len(batch) - len(given))

    def _prepared(self, own: Identity, incoming: Incoming, now: float) -> _Prepared:
        limits = self._archive.limits
        title, text = _unicode(incoming.title).strip(), _unicode(incoming.text).strip()
        cut = len(title) > limits.title_characters or len(text) > limits.text_characters
        masker = Masker(self._archive.secret)
        title = masker.mask(title)[: limits.title_characters]  # half a number is not recognized
        text = masker.mask(text)[: limits.text_characters]
        url = link(_unicode(incoming.url))
        if masker.mask(url) != url:
            url = ""
        at, known = dated(incoming.published, now)
        return _Prepared(
            own, masker.mask(_unicode(incoming.shown_source)),
            _unicode(incoming.origin.place if incoming.origin else ""), title, text, url, at, known,
            cut, title_hash(title), sketch(title, text),
        )  # fmt: skip

    def _write(self, documents: Sequence[_Prepared], now: float) -> Added:
        """Analyse documents, and write them in one transaction with all that follows from them."""
        with self._archive.store.reading() as transaction:
            self._catch_up(transaction, now)
            firsts = self._firsts(transaction, documents)
        analyses = self._analysed(documents, firsts)
        with self._archive.writing() as (transaction, moment):
            if self._catch_up(transaction, now):
                new = find_new(transaction, [each.identity for each in documents])
                documents = [documents[at] for at in new]
                firsts = self._firsts(transaction, documents)
                for each, first in zip(documents, firsts, strict=True):
                    if first is None and each.identity.key not in analyses:
                        raise _Changed  # what it repeated was written by another process
            batch = _numbered(transaction, documents, firsts, analyses)
            _insert(transaction, batch, now)
            note_presence(transaction, moment)
            alerts = self._watch.look(transaction, moment, _touched(batch))
            transaction.execute("DELETE FROM sketches WHERE fetched < ?", now - self._near.window)
        self._near.add(_sketches(batch))
        self._read = max([self._read, *(each.number for each in batch)])
        repeats = sum(each.first is not None for each in batch)
        cut = sum(each.document.cut for each in batch)
        return Added(len(batch) - repeats, repeats, cut=cut, alerts=tuple(alerts))

    # -- repeats -----------------------------------------------------------------------------------

    def _firsts(self, transaction: Transaction, documents: Sequence[_Prepared]) -> list[int | None]:
        """What each document repeats: a number of the store, or -1 for the first of these, -2 for
        the second, and so on."""
        sketched = [
            (place, each, each.sketch)
            for place, each in enumerate(documents)
            if each.sketch is not None
        ]
        stored = self._near.find([(each.at, own) for _, each, own in sketched])
        found: list[int | None] = [None] * len(documents)
        batch = Near(self._archive.limits.near_days)
        for (place, each, own), first in zip(sketched, stored, strict=True):
            if first is None:
                (first,) = batch.find([(each.at, own)])
            if first is None:
                titled = batch.titled(each.title_hash, each.at)
                first = titled or self._near.titled(each.title_hash, each.at)
                if first is not None and not _holds(each, _text(transaction, documents, first)):
                    first = None
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

    def _analysed(
        self, documents: Sequence[_Prepared], firsts: Sequence[int | None]
    ) -> dict[str, Analysis]:
        """The analyses of the documents that repeat no other, by their keys."""
        wanted = [each for each, first in zip(documents, firsts, strict=True) if first is None]
        if self._analyse is None:
            return {each.identity.key: Analysis() for each in wanted}
        analyses = self._analyse([(each.title, each.text) for each in wanted]) if wanted else []
        for analysis in analyses:
            if analysis.mood not in ALL_MOODS:
                raise ValueError(analysis.mood)
        return {
            each.identity.key: cleaned(analysis)
            for each, analysis in zip(wanted, analyses, strict=True)
        }


def _says_something(document: Incoming) -> bool:
    """Whether there is a character in it that can be seen."""
    return any(
        char.isprintable() and not char.isspace()
        for part in (document.title, document.text)
        for char in part
    )


def _text(transaction: Transaction, documents: Sequence[_Prepared], first: int) -> str:
    """The title and text of what a document may repeat."""
    if first < 0:
        each = documents[-1 - first]
        return f"{each.title}\n{each.text}"
    row = transaction.select_one("SELECT title, text FROM documents WHERE number = ?", first)
    return f"{row['title']}\n{row['text']}" if row else ""


def _holds(document: _Prepared, other: str) -> bool:
    return held(f"{document.title}\n{document.text}", other) >= HELD


def _numbered(
    transaction: Transaction,
    documents: Sequence[_Prepared],
    firsts: Sequence[int | None],
    analyses: Mapping[str, Analysis],
) -> list[_Numbered]:
    """The documents with their numbers. One that repeats another has its analysis."""
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
            of_first[number] = analyses[each.identity.key]
        elif first < 0:
            first = begin - 1 - first
        batch.append(_Numbered(number, each, first, of_first[first or number]))
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


def _unicode(text: str) -> str:
    """The text with a sign for each half of a character, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
