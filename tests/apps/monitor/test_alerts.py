"""Alarms become alerts, one for a subject, and people deal with them."""

from collections.abc import Sequence

import pytest

from apps.monitor.conftest import EAGER, HOUR, analyse, post, posts
from apps.support.conftest import Clock
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.counts import count_subjects
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.ingest import Added, Ingest
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import Conflict, NotFound, XinyeError

COOL_DOWN = AlarmSettings().cool_down_hours


class Stream:
    """A source with a post about a fire every two hours, and sometimes many."""

    def __init__(self, monitor: Monitor, ingest: Ingest, clock: Clock) -> None:
        self.monitor, self.ingest, self.clock = monitor, ingest, clock
        self.count = 0

    def quiet(self, days: int) -> Added:
        """Let days pass with a monitor at work, after which the posts of all of them come at once."""
        for _ in range(days):
            self.clock.move(days=1)
            self.ingest.close_quiet()
        hours = range(0, days * 24, 2)
        self.count += len(hours)
        return self.ingest.add(
            [
                post(self.count - place, "火灾", self.clock.now - hour * HOUR)
                for place, hour in enumerate(hours, 1)
            ]
        )

    def burst(self, size: int = 40, words: str = "火灾", late: float = 0.0) -> Added:
        """Many posts at once."""
        self.count += size
        numbers = range(self.count - size, self.count)
        return self.ingest.add(posts(numbers, words, self.clock.now - late * HOUR))


@pytest.fixture
def stream(monitor: Monitor, ingest: Ingest, clock: Clock) -> Stream:
    stream = Stream(monitor, ingest, clock)
    stream.burst(1)
    assert stream.quiet(10).alerts == ()
    return stream


def test_a_burst_opens_one_alert(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    assert stream.burst().alerts == ()
    (alert,) = stream.monitor.alerts.find()
    assert (alert.number, alert.kind, alert.subject, alert.state) == (
        number,
        "topic",
        "安全",
        "open",
    )
    assert alert.observed >= 40 and alert.expected < 3 and alert.probability < 1e-6
    assert alert.opened == alert.changed == stream.clock.now
    assert len(alert.documents) == 5 and "火灾" in alert.summary
    assert [entry.what for _, entry in stream.monitor.log.entries()] == ["opened"]


def test_few_documents_are_no_alarm(stream: Stream) -> None:
    assert stream.burst(3).alerts == ()


def test_a_topic_that_nobody_has_seen(stream: Stream) -> None:
    (number,) = stream.burst(words="新叶 refund").alerts[:1]
    subjects = {(alert.kind, alert.subject) for alert in stream.monitor.alerts.find()}
    assert subjects == {("topic", "service"), ("company", "新叶")}
    assert stream.monitor.alerts.get(number).expected < 5


def test_it_closes_after_the_cool_down_and_the_next_burst_opens_another(stream: Stream) -> None:
    (first,) = stream.burst().alerts
    stream.clock.move(minutes=60 * (COOL_DOWN - 1))
    stream.ingest.close_quiet()
    assert stream.monitor.alerts.get(first).state == "open"
    stream.clock.move(minutes=61)
    stream.ingest.close_quiet()
    assert stream.monitor.alerts.get(first).state == "closed"
    (second,) = stream.burst().alerts
    assert second == first + 1


def test_a_burst_that_lasts_stays_one_alert(stream: Stream) -> None:
    alerts = list(stream.burst().alerts)
    for _ in range(3):
        stream.clock.move(minutes=60 * (COOL_DOWN - 1))
        alerts += stream.burst(200).alerts
    assert len(alerts) == 1


def test_an_open_alert_tells_of_its_least_likely_hours(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    stream.burst(60)
    peak = stream.monitor.alerts.get(number)
    assert peak.observed >= 100
    stream.clock.move(minutes=5 * 60)
    stream.burst(20)
    later = stream.monitor.alerts.get(number)
    assert later.observed == peak.observed and later.changed > peak.changed


def test_hours_in_which_the_monitor_was_off_are_not_quiet_ones(
    monitor: Monitor, ingest: Ingest, clock: Clock
) -> None:
    numbers = iter(range(9_999))

    def works(hours: int) -> Added:
        added = Added()
        for _ in range(hours):
            clock.move(minutes=60)
            added += ingest.add([post(next(numbers), published=clock.now) for _ in range(5)])
        return added

    works(12 * 24)
    clock.move(days=12)
    assert works(24).alerts == ()
    assert len(ingest.add([post(next(numbers)) for _ in range(60)]).alerts) == 1


def test_feeds_that_all_fail_are_no_quiet_time(
    monitor: Monitor, ingest: Ingest, clock: Clock
) -> None:
    def fails(*stale: float | None) -> None:
        with monitor.store.writing() as transaction:
            transaction.execute("DELETE FROM feeds")
            for number, each in enumerate(stale):
                transaction.insert("feeds", url=f"https://example.com/{number}", stale=each)

    def seen() -> list[int]:
        ingest.close_quiet()
        with monitor.store.reading() as transaction:
            return [row["hour"] for row in transaction.select("SELECT hour FROM presence")]

    fails(clock.now, clock.now)
    assert seen() == []
    fails(clock.now, None)
    assert seen() == [int(clock.now // HOUR)]


def test_names_of_long_ago_do_not_make_the_others_harder_to_find(
    monitor: Monitor, clock: Clock
) -> None:
    def names(documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        return [Analysis(companies=(text,)) for _, text in documents]

    ingest = monitor.ingest(analyse=names)
    ingest.add([Incoming("微博", f"old {number}", "", f"公司{number}") for number in range(99)])
    clock.move(days=30)
    ingest.add([Incoming("微博", "new", "", "新叶")])
    with monitor.store.reading() as transaction:
        assert count_subjects(transaction, clock.now - 28 * 24 * HOUR) == 1


def test_late_documents_are_judged_in_their_own_hour(stream: Stream) -> None:
    assert stream.burst(late=30).alerts == ()  # too late to be of use
    (number,) = stream.burst(late=10).alerts
    alert = stream.monitor.alerts.get(number)
    assert alert.hour == int((stream.clock.now - 10 * HOUR) // HOUR)


def test_repeats_are_no_alarm(stream: Stream) -> None:
    text = "城东的仓库昨夜发生火灾，没有人员受伤，起火的原因仍在调查。"
    assert stream.ingest.add([Incoming(str(n), "1", "", text) for n in range(99)]).alerts == ()


def test_typical_documents_and_their_summary(monitor: Monitor) -> None:
    given: list[list[str]] = []

    def summarize(texts: list[str]) -> str:
        given.append(texts)
        return "仓库\n起火"

    odd = [post(number, f"火灾 {chr(0x4E00 + number) * 9}") for number in range(100, 110)]
    alike = posts(range(20), "仓库昨夜起火 火灾")
    ingest = monitor.ingest(EAGER, analyse, summarize=summarize)
    (number,) = ingest.add([*odd, *alike]).alerts
    alert = monitor.alerts.get(number)
    assert all("仓库昨夜起火" in document.text for document in alert.documents)
    assert [document.text for document in alert.documents] == given[0]
    assert alert.summary == "仓库 起火"


def test_a_summary_that_fails_does_not_stop_the_alarm(monitor: Monitor) -> None:
    def summarize(_: object) -> str:
        raise RuntimeError

    ingest = monitor.ingest(EAGER, analyse, summarize=summarize)
    (number,) = ingest.add(posts(range(40))).alerts
    assert "火灾" in monitor.alerts.get(number).summary


# -- people ----------------------------------------------------------------------------------------


def test_acknowledged(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    alerts = stream.monitor.alerts
    assert alerts.acknowledge(number, " amy ").who == "amy"
    assert alerts.acknowledge(number, "bob").who == "amy"
    assert stream.burst().alerts == ()
    assert alerts.find("open") == [] and len(alerts.find("acknowledged")) == 1
    stream.quiet(3)
    assert alerts.get(number).state == "closed"
    assert [(entry.who, entry.what) for _, entry in stream.monitor.log.entries()] == [
        ("system", "opened"), ("amy", "acknowledged"), ("system", "closed"),
    ]  # fmt: skip


def test_closed_by_a_person(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    alerts = stream.monitor.alerts
    assert alerts.close(number, "amy").state == "closed"
    with pytest.raises(Conflict, match="closed already"):
        alerts.acknowledge(number, "bob")
    stream.clock.move(minutes=60)
    assert stream.burst().alerts == ()  # the cool-down
    stream.clock.move(minutes=60 * COOL_DOWN)
    assert len(stream.burst(400).alerts) == 1


def test_muted(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    alerts = stream.monitor.alerts
    assert alerts.mute(number, COOL_DOWN * 3, "amy").state == "acknowledged"
    assert [(mute.subject, mute.who) for mute in alerts.mutes()] == [("安全", "amy")]
    stream.clock.move(minutes=60 * COOL_DOWN * 2)
    assert stream.burst(400).alerts == ()
    stream.clock.move(minutes=60 * COOL_DOWN * 2)
    assert alerts.mutes() == []
    assert len(stream.burst(4000).alerts) == 1


def test_unmuted(stream: Stream) -> None:
    (number,) = stream.burst().alerts
    alerts = stream.monitor.alerts
    alerts.close(number, "amy")
    alerts.mute(number, 3 * COOL_DOWN, "amy")
    stream.clock.move(minutes=60 * COOL_DOWN)
    assert stream.burst(400).alerts == ()
    alerts.unmute("topic", "安全", "bob")
    with pytest.raises(NotFound, match="not muted"):
        alerts.unmute("topic", "安全", "bob")
    assert len(stream.burst(400).alerts) == 1
    entries = [(entry.what, entry.alert) for _, entry in stream.monitor.log.entries()]
    assert ("muted", number) in entries and ("unmuted", number) in entries


@pytest.mark.parametrize(
    "call, error",
    [
        (lambda alerts: alerts.acknowledge(99, "amy"), "no alert 99"),
        (lambda alerts: alerts.close(1, " "), "the name of the person is empty"),
        (lambda alerts: alerts.close(1, "a\nb"), "cannot be printed"),
        (lambda alerts: alerts.mute(1, 0, "amy"), "hours: 0 is not"),
        (lambda alerts: alerts.find("new"), "choose open, acknowledged, closed"),
    ],
)
def test_what_is_refused(stream: Stream, call, error: str) -> None:  # type: ignore[no-untyped-def]
    assert stream.burst().alerts == (1,)
    with pytest.raises(XinyeError, match=error):
        call(stream.monitor.alerts)
