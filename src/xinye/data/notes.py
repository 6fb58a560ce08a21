"""Notes on what a reader drops, merges or changes: how often, and the first places in the files."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIRST = 3  # the number of places that a note names

# Invisible characters: zero-width spaces, soft hyphens, marks of direction. Those that join emoji
# or letters are not among them.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


class RecordNumber(int):
    """A record's number, for files in which records do not have lines of their own: Parquet, and a
    JSON array on a single line.
    """


def place_of(path: str | Path, number: int) -> str:
    """The place of a record for messages: "a.jsonl, line 17", or "a.parquet, record 17"."""
    return f"{path}, {'record' if isinstance(number, RecordNumber) else 'line'} {number}"


def places_in(places: Sequence[str]) -> str:
    """Several places as one text; places in the first one's file do not repeat its name: "a.csv,
    line 3, line 9".
    """
    file = places[0].rpartition(", ")[0]  # before "line 17", or "record 17"
    return ", ".join([places[0], *(place.removeprefix(f"{file}, ") for place in places[1:])])


@dataclass
class Notes:
    """Collects notes: each kind of change as a sentence, how often it happened, and its first
    places.
    """

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: str, what: str) -> None:
        """Count a change `what` at a place, such as "reviews.csv, line 17"."""
        self.counts[what] += 1
        if len(self.places[what]) < FIRST:
            self.places[what].append(place)

    def sentences(self) -> list[str]:
        """One sentence for each kind of change, such as `the header appears again, and is left out
        (2 times, first a.csv, line 3, line 9)`.
        """
        return [self._sentence(what) for what in self.counts]

    def of_file(self, path: Path) -> str:
        """The notes about a file and its records, to append to an error; "" if there are none."""
        whole = [what for what in self.counts if str(path) in self.places[what]]
        records = [
            self._sentence(what)
            for what in self.counts
            if any(place.startswith(f"{path}, ") for place in self.places[what])
        ]
        return "".join(f"; {said}" for said in (*whole, *records))

    def _sentence(self, what: str) -> str:
        where = places_in(self.places[what])
        if self.counts[what] == 1:
            return f"{what} ({where})"
        return f"{what} ({self.counts[what]:,} times, first {where})"


def without_unseen(text: str) -> str:
    """A name, such as a label, without invisible characters and surrounding spaces."""
    return _UNSEEN.sub("", text).strip()
