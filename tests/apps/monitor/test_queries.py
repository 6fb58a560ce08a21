"""Finding documents."""

import pytest

from apps.monitor.conftest import HOUR, documents_of, post
from apps.support.conftest import Clock
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.queries import Filter
from xinye.errors import NotFound


@pytest.fixture
def filled(monitor: Monitor, ingest: Ingest, clock: Clock) -> Monitor:
    """Six documents, an hour between them; the first is the newest."""
    words = ["新叶 火灾 差", "新叶 退款", "Acme 火灾 好", "Acme refund", "火灾", "nothing"]
    ingest.add([post(place, word, clock.now - place * HOUR) for place, word in enumerate(words, 1)])
    ingest.add([Incoming("wire", "1", "", "没有 topics")])
    return monitor


@pytest.mark.parametrize(
    "wanted, numbers",
    [
        (Filter(), [7, 1, 2, 3, 4, 5, 6]),
        (Filter(topic="安全"), [1, 3, 5]),
        (Filter(company="Acme"), [3, 4]),
        (Filter(company="新叶", topic="安全"), [1]),
        (Filter(mood="neutral", company="Acme"), [4]),
        (Filter(mood="positive"), [3]),
        (Filter(source="wire"), [7]),
        (Filter(topic="' OR 1=1"), []),
    ],
)
def test_filters(filled: Monitor, wanted: Filter, numbers: list[int]) -> None:
    for size in (1, 50):
        assert [document.number for document in documents_of(filled, wanted, size)] == numbers


def test_since_and_until(filled: Monitor, clock: Clock) -> None:
    wanted = Filter(since=clock.now - 4 * HOUR, until=clock.now - 2 * HOUR)
    assert [document.number for document in documents_of(filled, wanted)] == [3, 4]


def test_a_document_that_does_not_exist(filled: Monitor) -> None:
    with pytest.raises(NotFound, match="no document 99"):
        filled.documents.get(99)
    with pytest.raises(NotFound, match="no document 99"):
        filled.documents.page(after=99)
