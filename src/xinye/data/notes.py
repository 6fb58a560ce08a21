"""Places in files; and notes on what reading drops, merges or changes, counted, with the first
places."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FIRST = 3  # places that are named

# Characters that cannot be seen: zero-width spaces, soft hyphens, marks of direction. Those that
# join emoji or letters stay.
_UNSEEN = re.compile("[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


class RecordNumber(int):
    """The number of a record where lines do not tell records apart: in Parquet, and in an array of
    JSON that is one line."""


def place_of(path: str | Path, number: int) -> str:
    """The place of a record: "a.jsonl, line 17", or "a.parquet, record 17"."""
    return f"{path}, {'record' if isinstance(number, RecordNumber) else 'line'} {number}"


def places_in(places: Sequence[str]) -> str:
    """Some places, each file named once where it is that of the first: "a.csv, line 3, line 9"."""
    file = places[0].rpartition(", ")[0]  # before "line 17", or "record 17"
    return ", ".join([places[0], *(place.removeprefix(f"{file}, ") for place in places[1:])])


@dataclass
class Notes:
    """Each kind of change as a sentence, how often it happened, and where first."""

    counts: Counter[str] = field(default_factory=Counter)
    places: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def add(self, place: str, what: str) -> None:
        """Note a change at a place, such as "reviews.csv, line 17"."""
        self.counts[what] += 1
        if len(self.places[what]) < FIRST:
            self.places[what].append(place)

    def sentences(self) -> list[str]:
        """`the header appears again, and is left out (2 times, first a.csv, line 3, line 9)`."""
        return [self._sentence(what) for what in self.counts]

    def of_file(self, path: Path) -> str:
        """What was noted of a file as a whole, to end an error with; "" where nothing was."""
        noted = [what for what in self.counts if str(path) in self.places[what]]
        return "".join(f"; {what}" for what in noted)

    def _sentence(self, what: str) -> str:
        where = places_in(self.places[what])
        if self.counts[what] == 1:
            return f"{what} ({where})"
        return f"{what} ({self.counts[what]:,} times, first {where})"


def without_unseen(text: str) -> str:
    """A name, such as a label, without spaces around it and characters that cannot be seen."""
    return _UNSEEN.sub("", text).strip()
