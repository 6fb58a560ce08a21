"""Writing documents: each once, whatever happens."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from apps.monitor.conftest import EAGER, HOUR, analyse, documents_of, post, posts, totals
from apps.monitor.recount import differences
from apps.support.conftest import Clock
from xinye.apps.monitor import normalized
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.ingest import Added, Ingest
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.monitor_store import Monitor
from xinye.errors import Unavailable

# -- once ------------------------------------------------------------------------------------------


def test_a_document_comes_once(monitor: Monitor, ingest: Ingest) -> None:
    batch = posts(range(3))
    assert ingest.add([*batch, batch[0]]) == Added(new=3, known=1)
    assert ingest.add(batch) == Added(known=3)
    assert monitor.ingest(analyse=analyse).add(batch) == Added(known=3)
    assert totals(monitor) == (3, 0)


def test_a_document_comes_once_after_a_new_start(tmp_path: Path, clock: Clock) -> None:
    for added in (Added(new=2), Added(known=2)):
        monitor = Monitor(tmp_path / "monitor.db", clock=clock)
        assert monitor.ingest().add(posts(range(2))) == added
        monitor.close()


@pytest.mark.parametrize(
    "other, new",
    [
        (Incoming("a", "", "标题", "一"), 0),
        (Incoming("a", "", "标题", "二"), 1),
        (Incoming("a", "", "标题", "一", "https://example.com/1"), 1),
        (Incoming("b", "", "标题", "一"), 1),
        (Incoming("a", "", "标", "题\n一"), 1),
    ],
)
def test_without_an_id_all_of_it_tells_documents_apart(
    ingest: Ingest, other: Incoming, new: int
) -> None:
    assert ingest.add([Incoming("a", "", "标题", "一"), other]).new == 1 + new


def test_an_id_is_that_of_its_source(ingest: Ingest) -> None:
    batch = [
        Incoming("a", "1", "", "一"),
        Incoming("b", "1", "", "一"),
        Incoming("a", "1", "", "二"),
    ]
    assert ingest.add(batch) == Added(new=2, known=1)


def test_a_document_without_text_is_counted_as_empty(ingest: Ingest) -> None:
    assert ingest.add([Incoming("a", "1", " ", "\n"), post(2)]) == Added(new=1, empty=1)


def test_threads_share_an_ingest(monitor: Monitor, ingest: Ingest) -> None:
    threads = [threading.Thread(target=ingest.add, args=[posts(range(50))]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert totals(monitor) == (50, 0)


STORY = "从前有一家工厂，三千名工人在这里上班，老板说一切都好。"


def test_another_process_writes_the_same_while_this_one_prepares_it(
    monitor: Monitor, ingest: Ingest, other: Ingest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(url: str) -> str:
        monkeypatch.undo()
        other.add([Incoming("线", "1", "", STORY)])
        return url

    monkeypatch.setattr(normalized, "link", meanwhile)
    assert ingest.add([Incoming("线", "1", "", STORY)]) == Added(known=1)
    assert totals(monitor) == (1, 0)


def test_another_process_writes_an_earlier_version_while_this_one_analyses(
    monitor: Monitor, other: Ingest
) -> None:
    asked: list[int] = []

    def meanwhile(documents: Sequence[tuple[str, str]]) -> list[Analysis]:
        other.add([Incoming("线", "1", "", "这是同一条消息的早先版本，内容完全不同。")])
        asked.append(len(documents))
        return analyse(documents)

    repeat = Incoming("线", "2", "", f"{STORY} 完")
    added = monitor.ingest(analyse=meanwhile).add([Incoming("线", "1", "", STORY), repeat])
    assert added == Added(new=1, known=1) and totals(monitor) == (2, 0)
    assert asked == [1, 1]  # what this one repeated is gone, so it was analysed itself


# -- texts -----------------------------------------------------------------------------------------


def test_personal_data_is_masked_before_it_is_stored(monitor: Monitor, ingest: Ingest) -> None:
    ingest.add(
        [
            Incoming(
                "来自13812345678",
                "1",
                "找13812345678",
                "电话13812345678",
                "https://li:pass@example.com/",
            )
        ]
    )
    (document,) = documents_of(monitor)
    assert (document.title, document.text, document.url) == ("找[电话1]", "电话[电话1]", "")
    assert document.source == "来自[电话1]"
    for file in monitor.store.path.parent.iterdir():
        assert b"13812345678" not in file.read_bytes()


def test_a_number_that_is_cut_is_masked(tmp_path: Path, clock: Clock) -> None:
    monitor = Monitor(tmp_path / "monitor.db", Limits(text_characters=20), clock)
    monitor.ingest().add([Incoming("a", "1", "", "很" * 12 + "13812345678")])
    assert documents_of(monitor)[0].text == "很" * 12 + "[电话1]"
    monitor.close()


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc/hosts"])
def test_a_link_that_is_no_page_is_not_stored(monitor: Monitor, ingest: Ingest, url: str) -> None:
    ingest.add([Incoming("a", "1", "火灾", "", url)])
    assert documents_of(monitor)[0].url == ""


def test_what_cannot_be_seen_is_empty(ingest: Ingest) -> None:
    added = ingest.add([Incoming("a", each, each, " \n") for each in ("\u200b", "\0", "\u3000")])
    assert added.empty == 3


def test_half_a_character_is_replaced(monitor: Monitor, ingest: Ingest) -> None:
    assert ingest.add([Incoming("a", "\ud800", "", "坏\ud800字")]).new == 1
    assert documents_of(monitor)[0].text == "坏\ufffd字"


def test_what_is_cut_is_counted(tmp_path: Path, clock: Clock) -> None:
    monitor = Monitor(tmp_path / "monitor.db", Limits(text_characters=10), clock)
    assert monitor.ingest().add([Incoming("a", "1", "", "很" * 11), post(2)]).cut == 1
    assert documents_of(monitor)[1].text == "很" * 10
    monitor.close()


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ahead, dated",
    [(None, "missing"), (60, "given"), (3600, "future"), (math.nan, "missing"), (-1e12, "missing")],
)
def test_a_date_that_cannot_be_counts_at_its_fetching(
    monitor: Monitor, ingest: Ingest, clock: Clock, ahead: float | None, dated: str
) -> None:
    ingest.add([post(1, published=None if ahead is None else clock.now + ahead)])
    (document,) = documents_of(monitor)
    assert (document.at, document.fetched, document.dated) == (clock.now, clock.now, dated)


def test_a_late_document_counts_in_its_own_hour(
    monitor: Monitor, ingest: Ingest, clock: Clock
) -> None:
    ingest.add([post(1, published=clock.now - 5 * HOUR), post(2, published=clock.now)])
    points = monitor.counts.trend("", "", None, clock.now - 5 * HOUR, clock.now + 1, "hour")
    assert [point.documents for point in points] == [1, 0, 0, 0, 0, 1]


def test_the_clock_goes_back(monitor: Monitor, clock: Clock) -> None:
    ingest = monitor.ingest(EAGER, analyse)
    batch = posts(range(40), published=clock.now)
    (alert,) = ingest.add(batch).alerts
    clock.move(days=-365)
    assert ingest.add([*batch, *posts(range(40, 80))]) == Added(new=40, known=40)
    assert totals(monitor) == (80, 0)
    clock.move(days=2)
    ingest.close_quiet()
    assert monitor.alerts.get(alert).state == "closed"  # not in a year


# -- faults ----------------------------------------------------------------------------------------

# Of 100 documents 20 repeat others.
PROGRAM = """
import random, sys
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.notices import Wording
from xinye.apps.monitor.outbox import write_deliveries

def analyse(documents):
    return [Analysis((("安全", 0.9),), "negative", 0.8, ("新叶",), "zh") for _ in documents]

def notify(transaction, alert, now):
    write_deliveries(transaction, alert, now, ["a", "b"], Wording("zh"))

def text(number):
    draw = random.Random(number)
    return "".join(chr(0x4E00 + draw.randrange(5000)) for _ in range(40))

monitor = Monitor(sys.argv[1], Limits(batch=7), lambda: 1_700_000_000.0, timeout=60)
ingest = monitor.ingest(AlarmSettings(false_alarms=100), analyse, notify=notify)
documents = [Incoming("a", str(number), "", text(number * 4 // 5)) for number in range(100)]
print("ready", flush=True)
"""
AT_ONCE = """
sys.stdin.readline()
added = ingest.add(documents[::int(sys.argv[2])])
print(added.new + added.repeats, added.repeats, len(added.alerts))
"""


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline() == "ready\n"
    return process


def check_whole(path: Path) -> None:
    """Every document is there once, with all that belongs to it."""
    monitor = Monitor(path)
    assert differences(monitor) == []
    assert totals(monitor) == (80, 20)
    with monitor.store.reading() as transaction:
        opened = transaction.select("SELECT kind, subject FROM alerts ORDER BY subject")
        assert [tuple(row) for row in opened] == [("topic", "安全"), ("company", "新叶")]
        rows = transaction.select("SELECT alert, channel FROM deliveries ORDER BY alert, channel")
        assert [tuple(row) for row in rows] == [(1, "a"), (1, "b"), (2, "a"), (2, "b")]
    monitor.close()


def test_two_processes_write_the_same_at_once(tmp_path: Path) -> None:
    path = tmp_path / "monitor.db"
    Monitor(path).close()
    processes = [start(AT_ONCE, path, step) for step in (1, -1)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    written = [[*map(int, each.communicate(timeout=60)[0].split())] for each in processes]
    assert [sum(of) for of in zip(*written, strict=True)] == [100, 20, 2]
    check_whole(path)


@contextmanager
def full(monitor: Monitor) -> Iterator[None]:
    """Inside, the disk is full."""
    with monitor.store.writing() as transaction:
        (pages,) = transaction.select("PRAGMA page_count")
        transaction.select(f"PRAGMA max_page_count = {pages[0] + 2}")
    yield
    with monitor.store.writing() as transaction:
        transaction.select("PRAGMA max_page_count = 100000")


def test_a_full_disk_loses_nothing(monitor: Monitor, ingest: Ingest) -> None:
    text = "火灾发生在新叶公司的第{}号仓库，没有人受伤，原因正在调查，有关部门已经到场。" * 9
    batch = [Incoming("a", str(n), "", text.format(*[n] * 9)) for n in range(600)]
    ingest.add(batch[:1])
    with full(monitor), pytest.raises(Unavailable, match="the disk is full"):
        ingest.add(batch)
    some = sum(totals(monitor))
    assert some < 600 and differences(monitor) == []
    added = ingest.add(batch)
    assert added.new + added.repeats == 600 - some and added.known == some
    assert sum(totals(monitor)) == 600


def test_what_fails_in_a_message_is_undone_with_its_documents(monitor: Monitor) -> None:
    def notify(*_: object) -> None:
        raise OSError

    with pytest.raises(OSError):
        monitor.ingest(EAGER, analyse, notify=notify).add(posts(range(40)))
    assert totals(monitor) == (0, 0) and monitor.alerts.find() == []
    added = monitor.ingest(EAGER, analyse).add(posts(range(40)))
    assert added.new == 40 and len(added.alerts) == 1


def test_a_burst_of_10_000_documents(monitor: Monitor, clock: Clock) -> None:
    words = [
        f"{a}{b}的{c}"
        for a in "天地玄黄宇宙洪荒日月"
        for b in "春夏秋冬东南西北上下"
        for c in range(100)
    ]
    batch = [
        Incoming("a", word, word, f"{word}火灾，第{place}条消息", "", clock.now - place % 7200)
        for place, word in enumerate(words)
    ]
    seen: list[int] = []

    def counting(documents: list[tuple[str, str]]) -> list[Analysis]:
        seen.append(len(documents))
        return analyse(documents)

    added = monitor.ingest(analyse=counting).add(batch)
    assert added.new + added.repeats == 10_000 and sum(seen) == added.new
    assert len(added.alerts) == 1
    assert sum(totals(monitor)) == 10_000
