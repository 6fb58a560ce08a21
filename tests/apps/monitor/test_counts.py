"""Counts by topic, company, mood and hour."""

from pathlib import Path

import pytest

from apps.monitor.conftest import HOUR, post, posts
from apps.monitor.recount import differences
from apps.support.conftest import Clock
from xinye.apps.monitor.counts import Labels, Point, Share, relabel
from xinye.apps.monitor.documents import Analysis
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.labels import read_row
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import XinyeError

DAY = 86_400.0
MIDNIGHT = 1_699_920_000.0  # UTC


@pytest.fixture
def filled(monitor: Monitor, ingest: Ingest, clock: Clock) -> Monitor:
    clock.now = MIDNIGHT + 2 * DAY
    ingest.add(
        [
            post(1, "新叶 火灾 差", MIDNIGHT),
            post(2, "新叶 Acme 火灾", MIDNIGHT + HOUR - 1),
            post(3, "Acme refund great", MIDNIGHT + HOUR),
            post(4, "火灾 退款 差", MIDNIGHT + DAY),
        ]
    )
    return monitor


@pytest.mark.parametrize(
    "topic, company, mood, counts",
    [
        ("", "", None, [3, 1]),
        ("安全", "", None, [2, 1]),
        ("安全", "新叶", None, [2, 0]),
        ("", "Acme", None, [2, 0]),
        ("", "", "negative", [1, 1]),
        ("service", "Acme", "positive", [1, 0]),
        ("nobody has seen it", "", None, [0, 0]),
    ],
)
def test_a_trend(
    filled: Monitor, topic: str, company: str, mood: str | None, counts: list[int]
) -> None:
    points = filled.counts.trend(topic, company, mood, MIDNIGHT, MIDNIGHT + 2 * DAY, "day")
    assert [point.at for point in points] == [MIDNIGHT, MIDNIGHT + DAY]
    assert [point.documents for point in points] == counts


def test_a_trend_by_hour_has_the_moods(filled: Monitor) -> None:
    assert filled.counts.trend("", "", None, MIDNIGHT + 5, MIDNIGHT + HOUR + 5, "hour") == [
        Point(MIDNIGHT, 2, 0, {"negative": 1, "neutral": 1}),
        Point(MIDNIGHT + HOUR, 1, 0, {"positive": 1}),
    ]


def test_a_day_begins_at_local_midnight(tmp_path: Path, clock: Clock) -> None:
    monitor = Monitor(tmp_path / "china.db", Limits(points=10), clock, zone=8)
    clock.now = MIDNIGHT + 2 * DAY
    monitor.ingest().add([post(1, published=MIDNIGHT), post(2, published=MIDNIGHT + 16 * HOUR)])
    points = monitor.counts.trend("", "", None, MIDNIGHT, MIDNIGHT + DAY, "day")
    begin = MIDNIGHT - 8 * HOUR
    assert [(point.at, point.documents) for point in points] == [(begin, 1), (begin + DAY, 1)]
    with pytest.raises(XinyeError, match="24 points"):
        monitor.counts.trend("", "", None, MIDNIGHT, MIDNIGHT + DAY, "hour")
    with pytest.raises(XinyeError, match="choose 'hour' or 'day'"):
        monitor.counts.trend("", "", None, MIDNIGHT, MIDNIGHT + DAY, "week")
    monitor.close()


def test_topics_and_companies(filled: Monitor) -> None:
    until = MIDNIGHT + 2 * DAY
    assert filled.counts.topics(MIDNIGHT, until) == [
        Share("安全", 3, 0, {"negative": 2, "neutral": 1}),
        Share("service", 1, 0, {"positive": 1}),
        Share("售后", 1, 0, {"negative": 1}),
    ]
    assert [share.name for share in filled.counts.companies(MIDNIGHT + HOUR, until)] == ["Acme"]


def test_a_corrected_document_is_counted_anew(filled: Monitor) -> None:
    with filled.store.writing() as transaction:
        row = read_row(transaction, 1)
        relabel(transaction, [row], [Labels((("售后", 1.0),), "positive", 1.0)])
    assert differences(filled) == []
    counts = {share.name: share.documents for share in filled.counts.topics(0, 2e9)}
    assert counts == {"安全": 2, "service": 1, "售后": 2}
    analysis = filled.documents.get(1).analysis
    assert (analysis.topics, analysis.mood) == ((("售后", 1.0),), "positive")
    assert analysis.companies == ("新叶",)


def test_labels_without_a_name_or_twice_count_once(monitor: Monitor) -> None:
    odd = Analysis((("a", 0.9), ("", 0.8), ("a", 0.7)), "", None, ("b", "b", " "), "")
    monitor.ingest(analyse=lambda documents: [odd] * len(documents)).add(posts(range(2)))
    assert monitor.documents.get(1).analysis == Analysis((("a", 0.9),), "", None, ("b",), "")
    assert monitor.counts.topics(0, 2e9) == [Share("a", 2, 0, {"": 2})]


def test_a_mood_that_is_unknown_is_not_counted(monitor: Monitor) -> None:
    added = monitor.ingest(analyse=lambda _: [Analysis(mood="happy")]).add([post(1)])
    assert (added.new, added.unjudged) == (1, 1)
    assert monitor.documents.get(1).analysis == Analysis()
