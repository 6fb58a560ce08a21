"""The loop of a monitor: sources, documents, messages."""

import io
import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from xinye.apps.monitor.analysis import Analyst
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.documents import Analysis, Incoming
from xinye.apps.monitor.monitor_folder import Contents, MonitorFolder
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.runner import MOST, Runner, open_monitor
from xinye.apps.monitor.sources.feed_states import FeedState, FeedStates
from xinye.apps.monitor.sources.files import FileSource, read_stdin
from xinye.errors import Unavailable, XinyeError

NOON = "2024-03-01 12:00"


@pytest.fixture
def folder(tmp_path: Path) -> MonitorFolder:
    """A monitor without models, in the time zone of Shanghai."""
    path = tmp_path / "monitor"
    path.mkdir()
    settings = MonitorSettings(time_zone="Asia/Shanghai")
    Contents(settings, {}, Calibrations(), [], [], {}).write(path)
    return MonitorFolder.read(path)


@pytest.fixture
def monitor(folder: MonitorFolder, tmp_path: Path) -> Iterator[Monitor]:
    with closing(open_monitor(folder, tmp_path / "m.db")) as opened:
        yield opened


def lines(count: int, begin: int = 0) -> str:
    rows = (
        {"id": at, "text": f"第{at}条消息{at**5}", "published": NOON}
        for at in range(begin, begin + count)
    )
    return "".join(f"{json.dumps(row)}\n" for row in rows)


class Stream:
    def __init__(self, text: str) -> None:
        self.buffer = io.BytesIO(text.encode())


def test_what_a_full_disk_refuses_comes_again(folder, monitor, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(lines(250)))
    runner = Runner(folder, monitor, ["-"])
    add, calls = runner.ingest.add, iter((True, False))

    def full(batch):
        if not next(calls, True):
            raise Unavailable("the disk is full")
        return add(batch)

    monkeypatch.setattr(runner.ingest, "add", full)
    with pytest.raises(Unavailable):
        runner.step()
    runner.step()
    assert monitor.documents.last() == 250


def test_dates_of_standard_input_have_the_zone_of_the_monitor(folder, monitor, monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stream(lines(1)))
    Runner(folder, monitor, ["-"]).step()
    assert monitor.documents.get(1).at == 1_709_265_600  # noon in Shanghai


def test_a_source_that_fails_stops_no_other(folder, monitor, tmp_path) -> None:
    lost, there = tmp_path / "lost.jsonl", tmp_path / "there"
    lost.write_text(lines(1))
    there.mkdir()
    (there / "a.jsonl").write_text(lines(3, 10))
    said: list[str] = []
    runner = Runner(folder, monitor, [str(lost), str(there)], lambda: 2e9, said.append)
    lost.unlink()
    assert (runner.step().added.new, runner.step().added.new) == (3, 0)
    assert len([each for each in said if "lost.jsonl" in each]) == 1  # told once


@pytest.mark.parametrize(
    "error", [XinyeError("lost.jsonl: gone"), FileNotFoundError("lost.jsonl: gone")]
)
def test_a_file_that_fails_does_not_end_the_step(
    folder, monitor, tmp_path, monkeypatch, error: Exception
) -> None:
    lost, there = tmp_path / "lost.jsonl", tmp_path / "there.jsonl"
    lost.write_text(lines(1))
    there.write_text(lines(3, 10))
    read = FileSource.new

    def fail(source: FileSource) -> Iterator[list[Incoming]]:
        if source.name == str(lost):
            raise error
        return read(source)

    monkeypatch.setattr(FileSource, "new", fail)
    said: list[str] = []
    runner = Runner(folder, monitor, [str(lost), str(there)], warn=said.append)
    did: list[str] = []
    monkeypatch.setattr(runner.ingest, "close_quiet", lambda: did.append("quiet"))
    monkeypatch.setattr(monitor.retention, "tidy", lambda: did.append("tidy"))
    assert (runner.step().added.new, runner.step().added.new) == (3, 0) and runner.failed
    assert did == ["quiet", "tidy", "quiet"] and said.count("lost.jsonl: gone") == 1


def test_a_document_on_which_a_model_fails_is_counted_without_labels(
    folder, monitor, tmp_path, monkeypatch
) -> None:
    news = tmp_path / "news.jsonl"
    news.write_text(lines(5))

    def analyse(self, documents):
        if any("第3条" in text for _, text in documents):
            raise ValueError("a model failed")
        return [Analysis() for _ in documents]

    monkeypatch.setattr(Analyst, "analyse", analyse)
    done = Runner(folder, monitor, [str(news)]).step()
    assert (done.added.new, done.added.unjudged) == (5, 1)


def test_silent_input_keeps_no_other_source_waiting(folder, monitor, tmp_path, monkeypatch) -> None:
    reading, writing = os.pipe()
    (tmp_path / "news").mkdir()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb", 0) as sender:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        monkeypatch.setattr("xinye.apps.monitor.runner.read_stdin", partial(read_stdin, soon=0.05))
        runner = Runner(folder, monitor, ["-", str(tmp_path / "news")], lambda: 2e9)
        assert runner.step().added.new == 0 and runner.reading
        (tmp_path / "news" / "a.jsonl").write_text(lines(3))
        assert runner.step().added.new == 3
        sender.write(lines(2, 10).encode())
        assert runner.step().added.new == 2 and runner.reading
        sender.close()
        while runner.reading:
            runner.step()
        assert monitor.documents.last() == 5


def test_a_source_that_never_pauses_does_not_hold_a_step(folder, monitor, monkeypatch) -> None:
    def endless(*_: object) -> Iterator[list[Incoming]]:
        for number in itertools.count():
            yield [Incoming("-", f"{number}", "", f"第{number}条消息{number**5}")]

    monkeypatch.setattr("xinye.apps.monitor.runner.read_stdin", endless)
    quiet: list[int] = []
    runner = Runner(folder, monitor, ["-"])
    monkeypatch.setattr(runner.ingest, "close_quiet", lambda: quiet.append(1))
    for _ in range(3):
        runner.step()
    assert monitor.documents.last() == 3 * MOST and len(quiet) == 3


def test_feeds_that_are_no_longer_listed_are_forgotten(folder, monitor, tmp_path) -> None:
    states = FeedStates(monitor.store)
    for name in ("old", "kept"):
        states.save(FeedState(f"https://{name}.example/", due=3e9, stale=1.0))
    Runner(folder, monitor, []).step()
    assert len(states.known()) == 2  # another process may read them
    (tmp_path / "feeds.opml").write_text(
        '<opml><body><outline text="早报" xmlUrl="https://kept.example"/></body></opml>', "utf-8"
    )
    runner = Runner(folder, monitor, [str(tmp_path / "feeds.opml")], lambda: 2e9)
    runner.step()
    assert [each.url for each in states.known()] == ["https://kept.example/"]
    assert [each.title for each in runner.feeds.states()] == ["早报"]
