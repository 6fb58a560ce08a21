"""A monitor in a file, with a clock that stands still until a test moves it, and with words instead
of models."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from apps.monitor.recount import differences
from apps.monitor.web import Web
from apps.support.conftest import Clock
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.documents import Analysis, Document, Incoming
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.queries import EVERY, Filter

HOUR = 3600.0
EAGER = AlarmSettings(false_alarms=100)  # needs no past to see a burst
TOPICS = {"火灾": "安全", "fire": "safety", "退款": "售后", "refund": "service"}
COMPANIES = ("新叶", "Acme")
MOODS = {"好": "positive", "great": "positive", "差": "negative", "bad": "negative"}


def analyse(documents: Sequence[tuple[str, str]]) -> list[Analysis]:
    """What a document's words say."""
    found = []
    for title, text in documents:
        said = f"{title} {text}"
        topics = tuple((topic, 0.9) for word, topic in TOPICS.items() if word in said)
        moods = [mood for word, mood in MOODS.items() if word in said] or ["neutral"]
        companies = tuple(name for name in COMPANIES if name in said)
        found.append(Analysis(topics, moods[0], 0.8, companies, "zh" if "的" in said else "en"))
    return found


def post(number: int, words: str = "火灾", published: float | None = None) -> Incoming:
    """A short post. No two of them are alike."""
    return Incoming("微博", str(number), "", f"{words} {number}", "", published)


def posts(numbers: range, words: str = "火灾", published: float | None = None) -> list[Incoming]:
    return [post(number, words, published) for number in numbers]


def documents_of(monitor: Monitor, wanted: Filter = EVERY, size: int = 200) -> list[Document]:
    """The documents of all pages of this size."""
    documents, after = list[Document](), None
    while True:
        page = monitor.documents.page(wanted, after, size)
        documents += page.documents
        if page.last is None:
            return documents
        after = page.last


def totals(monitor: Monitor) -> tuple[int, int]:
    """How many documents are counted, and how many repeats."""
    with monitor.store.reading() as transaction:
        row = transaction.select_one(
            "SELECT coalesce(sum(documents), 0), coalesce(sum(repeats), 0) FROM counts "
            "WHERE topic = '' AND company = ''"
        )
    assert row is not None
    return int(row[0]), int(row[1])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(tmp_path: Path, clock: Clock) -> Iterator[Monitor]:
    monitor = Monitor(tmp_path / "monitor.db", clock=clock)
    yield monitor
    assert differences(monitor) == []
    monitor.close()


@pytest.fixture
def ingest(monitor: Monitor) -> Ingest:
    return monitor.ingest(analyse=analyse)


@pytest.fixture
def other(tmp_path: Path, clock: Clock, monitor: Monitor) -> Iterator[Ingest]:
    """What another process writes with."""
    opened = Monitor(tmp_path / "monitor.db", clock=clock)
    yield opened.ingest(analyse=analyse)
    opened.close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()
