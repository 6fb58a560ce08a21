"""What people say of documents instead of the models."""

from dataclasses import replace

import pytest

from apps.monitor.conftest import post
from apps.support.conftest import Clock
from xinye.apps.monitor.corrections import Correction
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import NotFound, XinyeError

DAY = 86_400.0


@pytest.fixture
def filled(monitor: Monitor, ingest: Ingest) -> Monitor:
    ingest.add([post(1, "新叶 的火灾 差"), post(2, "退款")])
    return monitor


def said(monitor: Monitor) -> Analysis:
    return monitor.documents.get(1).analysis


def test_it_counts_at_once_and_the_original_is_kept(filled: Monitor, clock: Clock) -> None:
    before = said(filled)
    filled.corrections.correct(1, "小王", ["售后", "好事", "售后"], "positive")
    assert said(filled) == replace(
        before, topics=(("售后", 1.0), ("好事", 1.0)), mood="positive", mood_probability=1.0
    )
    names = {each.name: each.moods for each in filled.counts.topics(0, clock.now + DAY)}
    assert names == {"售后": {"positive": 1, "neutral": 1}, "好事": {"positive": 1}}
    topics, mood = filled.corrections.find()
    assert (topics.value, topics.before) == (("售后", "好事"), ("安全",))
    assert (mood.value, mood.before, mood.state) == ("positive", "negative", "open")
    assert [entry.what for _, entry in filled.log.entries()] == [
        "corrected topics", "corrected mood",
    ]  # fmt: skip


def test_a_declined_one_is_taken_back(filled: Monitor) -> None:
    before = said(filled)
    (first,) = filled.corrections.correct(1, "小王", mood="positive")
    (second,) = filled.corrections.correct(1, "李雷", mood="neutral")
    assert said(filled).mood == "neutral"
    filled.corrections.decline(second, "admin")
    assert said(filled).mood == "positive"
    filled.corrections.decline(first, "admin")
    assert said(filled) == before and filled.corrections.find() == []


def test_of_those_approved_the_last_is_learned(filled: Monitor, clock: Clock) -> None:
    (first,) = filled.corrections.correct(1, "小王", mood="positive")
    (second,) = filled.corrections.correct(1, "李雷", mood="neutral")
    for number in (second, first):
        clock.move(seconds=1)
        filled.corrections.approve(number, "admin")

    def learned() -> list[tuple[int, str]]:
        return [(each.number, str(each.value)) for each in filled.corrections.approved()]

    assert learned() == [(first, "positive")] and said(filled).mood == "positive"
    clock.move(days=400)
    filled.retention.tidy()
    assert learned() == []
    with pytest.raises(XinyeError, match="was deleted"):
        filled.corrections.correct(1, "小王", mood="neutral")


def test_said_again_it_changes_nothing(filled: Monitor) -> None:
    one = filled.corrections.correct(1, "小王", topics=[])
    filled.corrections.approve(one[0], "admin")
    last = filled.log.last()
    assert filled.corrections.correct(1, "小王", topics=[]) == one
    assert filled.log.last() == last
    found: list[Correction] = filled.corrections.of_document(1)
    assert [(each.value, each.state) for each in found] == [((), "approved")]
    assert said(filled).topics == ()


def test_repeats_have_what_is_said_of_the_first(monitor: Monitor, ingest: Ingest) -> None:
    text = "武汉的仓库昨夜发生火灾，消防队两小时后扑灭，没有人受伤，原因还在调查。"
    wire = [Incoming(f"网站{number}", "1", "", text + "。" * number) for number in range(4)]
    ingest.add(wire[:3])

    def moods() -> list[str]:
        return [monitor.documents.get(each).analysis.mood for each in range(1, last + 1)]

    last = 3
    monitor.corrections.correct(3, "李雷", mood="正面")
    (of_first,) = monitor.corrections.correct(1, "小王", mood="负面")
    ingest.add(wire[3:])
    last = 4
    assert [monitor.documents.get(each).first for each in range(1, 5)] == [None, 1, 1, 1]
    assert moods() == ["negative", "negative", "positive", "negative"]
    assert monitor.corrections.corrected(range(1, 5)) == {1, 2, 3, 4}
    (own,) = monitor.corrections.correct(4, "韩梅", mood="positive")
    assert [each.before for each in monitor.corrections.of_document(4)] == ["neutral"]
    monitor.corrections.decline(own, "admin")
    assert moods()[3] == "negative"
    monitor.corrections.decline(of_first, "admin")
    assert moods() == ["neutral", "neutral", "positive", "neutral"]
    assert monitor.corrections.corrected(range(1, 5)) == {3}


@pytest.mark.parametrize("mood", ["负面", "Negative", "利空"])
def test_moods_have_names_in_both_languages(filled: Monitor, mood: str) -> None:
    filled.corrections.correct(2, "小王", mood=mood)
    assert filled.documents.get(2).analysis.mood == "negative"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "name the right topics"),
        ({"mood": "unsure"}, "'unsure' is unknown"),
        ({"topics": [" "]}, "name of the topic is empty"),
        ({"topics": ["a\nb"]}, "cannot be printed"),
        ({"topics": [*map(str, range(21))]}, "at most 20"),
        ({"mood": "neutral", "who": ""}, "name of the person is empty"),
    ],
)
def test_what_is_refused(filled: Monitor, given: dict, problem: str) -> None:
    with pytest.raises(XinyeError, match=problem):
        filled.corrections.correct(1, **{"who": "小王", **given})
    assert filled.corrections.find() == []


def test_what_does_not_exist(filled: Monitor) -> None:
    with pytest.raises(NotFound):
        filled.corrections.correct(9, "小王", mood="neutral")
    with pytest.raises(NotFound):
        filled.corrections.approve(9, "小王")
