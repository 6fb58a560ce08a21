"""The loop of a monitor: sources, documents, messages."""

import io
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from xinye.apps.monitor.analysis import Analyst
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.documents import Analysis
from xinye.apps.monitor.monitor_folder import Contents, MonitorFolder
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.monitor_store import Monitor
from xinye.apps.monitor.runner import Runner, open_monitor
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
    with pytest.raises(XinyeError, match="lost"):
        lost.write_text(lines(1))
        alone = Runner(folder, monitor, [str(lost)])
        lost.unlink()
        alone.step()


def test_a_document_on_which_a_model_fails_is_left_out(
    folder, monitor, tmp_path, monkeypatch
) -> None:
    news = tmp_path / "news.jsonl"
    news.write_text(lines(5))

    def analyse(self, documents):
        if any("第3条" in text for _, text in documents):
            raise ValueError("a model failed")
        return [Analysis() for _ in documents]

    monkeypatch.setattr(Analyst, "analyse", analyse)
    said: list[str] = []
    done = Runner(folder, monitor, [str(news)], warn=said.append).step()
    assert done.added.new == 4 and any("cannot be analysed (ValueError)" in each for each in said)
