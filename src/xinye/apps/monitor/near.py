"""Which documents repeat one of the last days: in linear time, by MinHash sketches (Broder 1997),
which the store keeps so that a new start needs no text.

A document repeats another if both share most of their sequences of five characters, or if both have
the same title and the longer one holds most of the shorter: many sites quote only the beginning.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xinye.apps.monitor.bands import Bands
from xinye.apps.monitor.documents import DAY
from xinye.apps.store import Transaction
from xinye.data.duplicates import code_points, digest, shingle_hashes
from xinye.data.mixing import mix

NEAR = 0.55  # share of all sequences of two documents that both have (Jaccard)
NEAR_SHORT = 0.8  # of a short one: a word less is another thing in "the cake is too sweet"
SHORT = 60  # letters
HELD = 0.5  # share of the sequences of the shorter document that the longer has, if titles equal
SHORTEST = 12  # letters; of shorter texts many people write the same, each by himself
BANDS, ROWS = 21, 6  # two documents are candidates if a band of their sketches is equal
PERMUTATIONS = BANDS * ROWS
_PIECE = 4096  # shingles that are hashed at a time: 2 MB

_draw = np.random.default_rng(20)
_FACTORS = (_draw.integers(0, 2**31, PERMUTATIONS) * 2 + 1).astype(np.uint32)[:, None]
_SHIFTS = _draw.integers(0, 2**32, PERMUTATIONS).astype(np.uint32)[:, None]
_BAND_FACTORS = mix(np.arange(ROWS, dtype=np.uint64)) | np.uint64(1)
_BAND_SHIFTS = mix(np.arange(BANDS, dtype=np.uint64))

Sketch = np.ndarray  # [PERMUTATIONS] of 32 bits


def sketch(title: str, text: str) -> Sketch | None:
    """The sketch of a document; None if it is too short to repeat another. Case, width,
    punctuation and spaces do not count."""
    plain = letters(f"{title}\n{text}")
    if len(plain) < SHORTEST:
        return None
    hashes = (mix(shingle_hashes(code_points(plain))) >> np.uint64(32)).astype(np.uint32)
    least = np.full(PERMUTATIONS, 2**32 - 1, np.uint32)
    for start in range(0, len(hashes), _PIECE):
        values = hashes[start : start + _PIECE] * _FACTORS + _SHIFTS
        values ^= values >> np.uint32(16)  # the low bits of a product depend on few others
        values *= np.uint32(0x85EBCA6B)
        np.minimum(least, values.min(axis=1), out=least)
    return least


def needed(title: str, text: str) -> float:
    """The share of sequences that a document must have in common with one that it repeats."""
    return NEAR if len(letters(f"{title}\n{text}")) >= SHORT else NEAR_SHORT


def title_hash(title: str) -> int:
    """A hash of a title; 0 if it is so short that it says little."""
    plain = letters(title)
    return int.from_bytes(digest(plain, 7), "big") if len(plain) >= SHORTEST else 0


def held(one: str, other: str) -> float:
    """The share of the sequences of the shorter text that the longer has, 0 to 1."""
    sets = [set(shingle_hashes(code_points(letters(text))).tolist()) for text in (one, other)]
    shorter, longer = sorted(sets, key=len)
    return len(shorter & longer) / len(shorter) if shorter else 0.0


def letters(text: str) -> str:
    """The letters and digits of a text, without case and width: what is compared.

    >>> letters("Ａ股 ETF，涨 2%！")
    'a股etf涨2'
    """
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", text).casefold()))


@dataclass(frozen=True)
class Sketched:
    """The sketch and the title's hash of the document with this number, published at this time."""

    number: int
    at: float
    title: int
    sketch: Sketch


class Near:
    """The sketches of the documents of the last days, without those that repeat others.

    `days` is the longest time between a document and one that repeats it. Takes about 1 kB of
    memory for each document."""

    def __init__(self, days: float) -> None:
        self.window = days * DAY
        self._numbers = np.zeros(0, np.int64)
        self._times = np.zeros(0)
        self._sketches = np.zeros((0, PERMUTATIONS), np.uint32)
        self._count = 0  # of the rows above that are in use
        self._bands = Bands()  # of the same rows
        self._titled: dict[int, tuple[int, float]] = {}  # the last number and time of each title

    def __len__(self) -> int:
        return self._count

    def add(self, documents: Sequence[Sketched]) -> None:
        """Remember documents."""
        if not documents:
            return
        self._reserve(len(documents))
        begin, end = self._count, self._count + len(documents)
        self._numbers[begin:end] = [each.number for each in documents]
        self._times[begin:end] = [each.at for each in documents]
        self._sketches[begin:end] = [each.sketch for each in documents]
        self._count = end
        self._titled |= {each.title: (each.number, each.at) for each in documents if each.title}
        self._bands.add(_keys(self._sketches[begin:end]))

    def titled(self, title: int, at: float) -> int | None:
        """The number of the last document with the hash of this title, unless it is of another
        time than one published at `at` can repeat."""
        number, then = self._titled.get(title, (None, 0.0))
        return number if abs(then - at) <= self.window else None

    def find(self, documents: Sequence[tuple[float, Sketch, float]]) -> list[int | None]:
        """The number of the document that each of these repeats, the likest; None if it repeats
        none. Each is given as its time, its sketch, and the share that is `needed`."""
        if not documents or not self._count:
            return [None] * len(documents)
        candidates = self._bands.find(_keys(np.stack([each for _, each, _ in documents])))
        return [
            self._likest(at, own, share, rows)
            for (at, own, share), rows in zip(documents, candidates, strict=True)
        ]

    def forget(self, last: int) -> None:
        """Forget the documents up to and with this number."""
        kept = np.flatnonzero(self._numbers[: self._count] > last)
        if len(kept) < self._count:
            self._numbers, self._times = self._numbers[kept], self._times[kept]
            self._sketches, self._count = self._sketches[kept], len(kept)
            self._titled = {
                title: about for title, about in self._titled.items() if about[0] > last
            }
            self._bands = Bands()
            self._bands.add(_keys(self._sketches))

    def _likest(self, at: float, own: Sketch, share: float, rows: list[int]) -> int | None:
        if not rows:
            return None
        alike = (self._sketches[rows] == own).mean(axis=1)
        alike[np.abs(self._times[rows] - at) > self.window] = 0.0
        best = max(range(len(rows)), key=lambda place: (alike[place], -rows[place]))
        return int(self._numbers[rows[best]]) if alike[best] >= share else None

    def _reserve(self, more: int) -> None:
        """Make room, for twice as many if there is too little."""
        if self._count + more <= len(self._numbers):
            return
        size = 2 * (self._count + more)
        for name in ("_numbers", "_times", "_sketches"):
            old = getattr(self, name)
            new = np.zeros((size, *old.shape[1:]), old.dtype)
            new[: self._count] = old[: self._count]
            setattr(self, name, new)


def _keys(sketches: np.ndarray) -> np.ndarray:
    """A hash of each band: [N, PERMUTATIONS] becomes [N, BANDS]."""
    bands = sketches.reshape(-1, BANDS, ROWS).astype(np.uint64)
    return mix((bands * _BAND_FACTORS).sum(axis=2, dtype=np.uint64) + _BAND_SHIFTS)


# -- inside a transaction --------------------------------------------------------------------------


def write_sketches(transaction: Transaction, documents: Sequence[Sketched], fetched: float) -> None:
    """Write the sketches of documents that repeat no other."""
    transaction.execute_many(
        "INSERT INTO sketches (document, at, fetched, title, sketch) VALUES (?, ?, ?, ?, ?)",
        [
            (each.number, each.at, fetched, each.title, each.sketch.astype("<u4").tobytes())
            for each in documents
        ],
    )


def read_sketches(transaction: Transaction, after: int, since: float) -> tuple[int, list[Sketched]]:
    """The number of the last document, and the sketches of those with numbers above `after` that
    were fetched at the time `since` or later."""
    row = transaction.select_one("SELECT seq FROM sqlite_sequence WHERE name = 'documents'")
    last = int(row["seq"]) if row else 0
    if last <= after:
        return last, []
    rows = transaction.select(
        "SELECT document, at, title, sketch FROM sketches WHERE document > ? AND fetched >= ? "
        "ORDER BY document",
        after, since,
    )  # fmt: skip
    return last, [
        Sketched(number, at, title, np.frombuffer(sketch, "<u4"))
        for number, at, title, sketch in rows
    ]


def first_sketch(transaction: Transaction, since: float) -> int:
    """The number of the first document with a sketch that was fetched at this time or later; that
    of the next document if there is none."""
    row = transaction.select_one("SELECT min(document) FROM sketches WHERE fetched >= ?", since)
    if row and row[0] is not None:
        return int(row[0])
    return read_sketches(transaction, 2**62, since)[0] + 1
