"""What the monitor knows of a document: as a source gives it, what models say of it, and as it is
stored; and when it counts."""

import math
from dataclasses import dataclass

POSITIVE, NEUTRAL, NEGATIVE = MOODS = ("positive", "neutral", "negative")
UNSURE = "unsure"  # of a model that has learned no neutral texts
HOUR = 3600.0  # seconds
DAY = 24 * HOUR
GIVEN, MISSING, FUTURE = "given", "missing", "future"  # how well a date is known
AHEAD = 600.0  # seconds that another machine's clock may be ahead
EARLIEST = 366 * DAY  # 1970 is what programs write that know no date
LONGEST_TEXT = 100_000  # characters that are read of a text
TEXT_CUT = f"the text is cut after {LONGEST_TEXT:,} characters"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where documents are read: `place` is the address of a feed or the path of a file, and `name`
    is what people call it."""

    place: str
    name: str


@dataclass(frozen=True)
class Incoming:
    """A document as it comes. `source` is the medium that it names, "" if it names none. `origin`
    is where it was read, None if a program sent it. `id` names it within these two: one that comes
    again with the same id is the same document, unless the id is `shared` by several; "" if it has
    none. `published` is in seconds since 1970, None if that is not known."""

    source: str
    id: str
    title: str
    text: str
    url: str = ""
    published: float | None = None
    origin: Origin | None = None
    shared: bool = False

    @property
    def shown_source(self) -> str:
        """The medium that people read: the one that it names, or where it was read."""
        return self.source or (self.origin.name if self.origin else "")


@dataclass(frozen=True)
class Analysis:
    """What models say of a document: topics with their probabilities, the likeliest first, its
    mood ("" without a model) with its probability, the companies in it, and its language, "zh",
    "en" or "". Probabilities that are not calibrated are None."""

    topics: tuple[tuple[str, float | None], ...] = ()
    mood: str = ""
    mood_probability: float | None = None
    companies: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True)
class Document:
    """A document in the store. `origin` is the address of the feed or the path of the file that it
    was read from, "" if a program sent it. `at` is when it was published, or `fetched` if its
    `dated` is "missing" or "future" instead of "given". `first` is the number of an earlier
    document that it nearly equals, and `repeats` counts later ones that nearly equal it."""

    number: int
    source: str
    origin: str
    title: str
    text: str
    url: str
    at: float
    fetched: float
    dated: str
    first: int | None
    repeats: int
    analysis: Analysis


def dated(published: float | None, now: float) -> tuple[float, str]:
    """When a document that is read now counts, and how well that is known: `now` if its date is
    missing, in the future, or so early that it means nothing. Another machine's clock may be ahead
    a little, but no document counts later than now."""
    if published is None or not published >= EARLIEST or math.isinf(published):
        return now, MISSING
    return min(published, now), FUTURE if published > now + AHEAD else GIVEN
