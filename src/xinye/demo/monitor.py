"""An invented market of cafés: labelled texts, and a month of news and posts about its companies.

The texts are in `monitor_zh.json` and `monitor_en.json` and are our own writing. Each topic has,
for each mood, headlines and sentences of news, and sentences of posts; `{city}` stands for one of
the words of a slot, and `[hot|cold]` for one of its words. The last quarter of the wordings is
never in the labelled texts, so that a part of the month is in words that no model has learned.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from xinye.data.files import write_json_lines
from xinye.demo.draw import Draw

LABELLED = 1200  # texts
DAYS, A_DAY = 28, 104  # of the stream, and its documents a day, without repeats and burst
HOUR = 3600
# Documents by the hour of the day and by the day of the week, from Monday; the mean is 1.
DAILY = (
    0.25, 0.15, 0.1, 0.1, 0.15, 0.3, 0.6, 1.0, 1.4, 1.5, 1.4, 1.5,
    1.8, 1.6, 1.3, 1.2, 1.2, 1.3, 1.6, 1.7, 1.5, 1.2, 0.75, 0.4,
)  # fmt: skip
WEEKLY = (1.0, 0.95, 0.95, 1.0, 1.1, 1.1, 0.9)
MOODS = {"positive": 0.35, "neutral": 0.3, "negative": 0.35}
COMPANIES = (0.28, 0.24, 0.2, 0.16, 0.12)  # shares of the documents; the last one has the burst
NO_TOPIC, TWO_TOPICS, NEWS = 0.12, 0.15, 0.35  # shares of the documents
SCENE, SHORT_NAME = 0.6, 0.3  # shares of posts that tell more, and of short names of companies
REPEATED, PHONED = 0.06, 0.03
REPEAT_HOURS = 30  # in which a document may be repeated
_BEGINS = re.compile(r"^[a-z]|(?<=[.!?] )[a-z]")  # of a sentence
BURST, BURST_HOURS, BURST_ENDS = 60, 6, 2  # documents, how long, and hours from then to the end


@dataclass(frozen=True)
class Text:
    """A text, its topics and its mood: "positive", "neutral" or "negative". News have a title."""

    title: str
    text: str
    topics: tuple[str, ...]
    mood: str


@dataclass(frozen=True)
class Dated:
    """A text of the stream, when it was published, and where. `of_burst` and `is_repeat` say why
    it is there."""

    text: Text
    at: float
    source: str
    of_burst: bool = False
    is_repeat: bool = False


@dataclass(frozen=True)
class Month:
    """What the stream holds: documents and how many of these are repeats, and when the burst
    begins and how many documents it has."""

    documents: int
    repeats: int
    burst_begins: float
    burst: int


@dataclass(frozen=True)
class Market:
    """The market in a language, zh or en."""

    language: str

    @property
    def companies(self) -> dict[str, tuple[str, ...]]:
        """Its companies, each with its other names."""
        return {name: tuple(others) for name, others in _texts(self.language)["companies"].items()}

    @property
    def topics(self) -> list[str]:
        """The topics of its texts."""
        return [topic for topic in _texts(self.language)["topics"] if topic]

    @property
    def burst(self) -> tuple[str, str]:
        """The topic and the company of the burst."""
        about = _texts(self.language)["burst"]
        return about["topic"], about["company"]

    @property
    def zone(self) -> tzinfo:
        """The time zone of its days."""
        return ZoneInfo("Asia/Shanghai") if self.language == "zh" else UTC

    def write_labelled(self, path: Path) -> int:
        """Write the labelled texts as JSON Lines, the same on every machine. Returns how many."""
        texts = _texts(self.language)
        title, text, topics, mood = texts["columns"]
        rows = [
            {
                title: each.title,
                text: each.text,
                topics: [*each.topics],
                mood: texts["moods"][each.mood],
            }
            for each in labelled(self.language)
        ]
        write_json_lines(path, rows)
        return len(rows)

    def write_stream(self, path: Path, end: float) -> Month:
        """Write the month that ends at this time, in seconds since 1970, as JSON Lines in the order
        of their dates. The same time gives the same file."""
        documents = stream(self.language, end)
        rows = [
            {
                "id": f"{number:05}",
                "source": each.source,
                "title": each.text.title,
                "text": each.text.text,
                "url": f"https://news.example/{number:05}",
                "published": datetime.fromtimestamp(each.at, self.zone).isoformat(),
            }
            for number, each in enumerate(documents, 1)
        ]
        write_json_lines(path, rows)
        return Month(
            len(documents),
            sum(each.is_repeat for each in documents),
            min(each.at for each in documents if each.of_burst),
            sum(each.of_burst for each in documents),
        )


def labelled(language: str) -> Iterator[Text]:
    """The labelled texts, with the wordings that may be learned."""
    writer = _Writer(language, "labelled", known=True)
    for _ in range(LABELLED):
        yield writer.text()


def stream(language: str, end: float) -> list[Dated]:
    """The documents of the month that ends at this time, in the order of their dates."""
    writer = _Writer(language, "stream", known=False)
    draw, found = writer.draw, list[Dated]()
    zone = Market(language).zone
    last = datetime.fromtimestamp(end, zone)
    begin = (last - timedelta(days=DAYS)).replace(hour=0, minute=0, second=0, microsecond=0)
    for hour in range(int(begin.timestamp()) // HOUR, int(end) // HOUR + 1):
        time = datetime.fromtimestamp(hour * HOUR, zone)
        mean = A_DAY / 24 * DAILY[time.hour] * WEEKLY[time.weekday()]
        for _ in range(draw.count(mean)):
            found.append(writer.dated((hour + draw.share()) * HOUR))
    for each in [*found]:
        if draw.happens(REPEATED):
            found.append(writer.repeat(each))
    burst = end - (BURST_ENDS + BURST_HOURS) * HOUR
    for _ in range(BURST):
        found.append(writer.of_burst(burst + draw.share() * BURST_HOURS * HOUR))
    seconds = [replace(each, at=float(int(each.at))) for each in found if each.at < end]
    return sorted(seconds, key=lambda each: each.at)


class _Writer:
    """Writes texts one after another. If `known`, only with the wordings that may be learned."""

    def __init__(self, language: str, seed: str, known: bool) -> None:
        self.draw = Draw(f"{language} {seed}")
        self._texts = _texts(language)
        self._known = known
        self._topics = [topic for topic in self._texts["topics"] if topic]

    def text(self) -> Text:
        """A text about a company."""
        draw, mood = self.draw, self.draw.weighted(MOODS)
        names = dict(zip(self._texts["companies"], COMPANIES, strict=True))
        company = draw.weighted(names)
        if draw.happens(NO_TOPIC):
            topics: tuple[str, ...] = ()
        else:
            topics = tuple(draw.shuffled(self._topics)[: 1 + draw.happens(TWO_TOPICS)])
        parts = [self._texts["topics"][topic][mood] for topic in topics or ("",)]
        return self._written(company, parts, topics, mood)

    def dated(self, at: float) -> Dated:
        """A document of this time."""
        return self._dated(self.text(), at)

    def of_burst(self, at: float) -> Dated:
        """A document of the burst."""
        burst = self._texts["burst"]
        text = self._written(burst["company"], [burst], (burst["topic"],), "negative", urgent=True)
        return self._dated(text, at, of_burst=True)

    def repeat(self, of: Dated) -> Dated:
        """A document that nearly equals an earlier one, some time later."""
        draw, text = self.draw, of.text
        kind = "news" if text.title else "posts"
        copy = Text(
            text.title, draw.one(self._texts["reposted"]) + text.text, text.topics, text.mood
        )
        later = of.at + (0.5 + draw.share() * REPEAT_HOURS) * HOUR
        return Dated(copy, later, draw.one(self._texts["sources"][kind]), is_repeat=True)

    def _dated(self, text: Text, at: float, of_burst: bool = False) -> Dated:
        kind = "news" if text.title else "posts"
        return Dated(text, at, self.draw.one(self._texts["sources"][kind]), of_burst)

    def _written(
        self,
        company: str,
        parts: Sequence[dict[str, list[str]]],
        topics: tuple[str, ...],
        mood: str,
        urgent: bool = False,
    ) -> Text:
        """News or a post, with a sentence of each part. An `urgent` post tells nothing before."""
        draw = self.draw
        words = {slot: draw.one(some) for slot, some in self._texts["slots"].items()}
        if draw.happens(NEWS):
            title = self._sentence(self._one(parts[0]["heads"]), company, words)
            said = [self._one(part["news"]) for part in parts]
            said.append(draw.one(self._texts["background"]))
        else:
            title = ""
            said = [draw.one(self._texts["scenes"])] if draw.happens(SCENE) and not urgent else []
            said += [self._one(part["posts"]) for part in parts]
            said.append(draw.one(self._texts["more"][mood]))
            if draw.happens(PHONED):
                number = draw.one(self._texts["phones"])
                said.append(draw.one(self._texts["phone"]).replace("{phone}", number))
        text = self._texts["joint"].join(self._sentence(each, company, words) for each in said)
        return Text(title, text.strip(), topics, mood)

    def _one(self, wordings: Sequence[str]) -> str:
        """A wording; one of the last quarter only if it need not be `known`."""
        kept = len(wordings) - (len(wordings) // 4 if self._known else 0)
        return self.draw.one(wordings[:kept])

    def _sentence(self, wording: str, company: str, words: Mapping[str, str]) -> str:
        """A wording in which the choices are made and the slots are filled."""
        draw = self.draw
        name = company
        if draw.happens(SHORT_NAME):
            name = draw.one(self._texts["companies"][company])
        text = draw.chosen(wording).format(company=name, **words)
        return _BEGINS.sub(lambda letter: letter[0].upper(), text)


@lru_cache
def _texts(language: str) -> dict[str, Any]:
    path = Path(__file__).with_name(f"monitor_{language}.json")
    texts: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return texts
