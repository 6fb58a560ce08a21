"""What the monitor knows of a document: as a source gives it, what models say of it, and as it is
stored."""

from dataclasses import dataclass

POSITIVE, NEUTRAL, NEGATIVE = MOODS = ("positive", "neutral", "negative")
UNSURE = "unsure"  # of a model that has learned no neutral texts
HOUR = 3600.0  # seconds
DAY = 24 * HOUR


@dataclass(frozen=True)
class Incoming:
    """A document as a source gives it. `id` names it within its source: one that comes again with
    the same id is the same document; "" if the source gives none. `published` is in seconds since
    1970, None if the source does not say."""

    source: str
    id: str
    title: str
    text: str
    url: str = ""
    published: float | None = None


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
    """A document in the store. `at` is when it was published, or `fetched` if its `dated` is
    "missing" or "future" instead of "given". `first` is the number of an earlier document that it
    nearly equals, and `repeats` counts later ones that nearly equal it."""

    number: int
    source: str
    title: str
    text: str
    url: str
    at: float
    fetched: float
    dated: str
    first: int | None
    repeats: int
    analysis: Analysis
