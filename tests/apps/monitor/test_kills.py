"""A monitor that is killed again and again: nothing is lost, counted twice, or told twice."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from apps.monitor.conftest import totals
from apps.monitor.receivers import SECRET, Receiver
from apps.monitor.recount import differences
from apps.monitor.web import HERE, Answer, Web
from xinye.apps.monitor.alarms import AlarmSettings
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.monitor_folder import Contents
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.monitor_store import Monitor

NOW = 1_714_550_400.0
DOCUMENTS = 60
POINTS = (6, 4, 0, 1, 2, 3, 5)
# For each source, forks a process for each point, which kills itself there: when it is about to
# save something (even points), or has just done so (odd ones). The last one is not killed.
PROGRAM = """
import json, os, sys
from contextlib import closing, contextmanager
from pathlib import Path
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.apps.monitor.runner import Runner, open_monitor
from xinye.apps.monitor.sources import files
from xinye.apps.store import Store

place, now = Path(sys.argv[1]), float(sys.argv[2])
sources, points = json.loads(sys.argv[3]), json.loads(sys.argv[4])
files.BATCH = 20
writing = Store.writing

def killed(point):
    saved = iter(range(point + 1))  # 0, 1, 2 …
    @contextmanager
    def counted(store):
        with writing(store) as transaction:
            yield transaction
            number = next(saved)
            if 2 * number == point:
                os.kill(os.getpid(), 9)
        if 2 * number + 1 == point:
            os.kill(os.getpid(), 9)
    return counted

def run(kind, at):
    clock = lambda: now + 200.0 * at  # claims of messages run out, feeds are due
    sys.stdin = open(place / "news.jsonl", encoding="utf-8")  # who sends it begins again
    folder = MonitorFolder.read(place / "monitor")
    with closing(open_monitor(folder, place / f"{kind}.db", clock)) as monitor:
        runner = Runner(folder, monitor, [sources[kind]], clock)
        runner.step()
        while runner.reading:
            runner.step()
        runner.step()

for kind in sources:
    codes = []
    for at, point in enumerate([*points, None]):
        pid = os.fork()
        if not pid:
            if point is not None:
                Store.writing = killed(point)
            run(kind, at)
            os._exit(0)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print(json.dumps([kind, codes]), flush=True)
"""
CHANNEL = """
[[channels]]
name = "ops"
kind = "webhook"
url = "{}"
secret = "HOOK_SECRET"
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with (receiver := Receiver()).listening():
        yield receiver


@pytest.fixture
def place(tmp_path: Path, receiver: Receiver) -> Path:
    """A monitor without models, which watches a company."""
    settings = MonitorSettings(
        languages=("zh",),
        private_hosts=(HERE,),
        alarm=AlarmSettings(false_alarms=100),
        companies={"新叶": ("新叶",)},
    )
    (tmp_path / "monitor").mkdir()
    Contents(settings, {}, Calibrations(), [], [], {}).write(tmp_path / "monitor")
    with (tmp_path / "monitor" / "monitor.toml").open("a", encoding="utf-8") as file:
        file.write(CHANNEL.format(receiver.url))
    return tmp_path


def news() -> list[dict[str, str]]:
    date = datetime.fromtimestamp(NOW - 60, UTC).isoformat()
    return [
        {"id": f"{at}", "text": f"{at**7}号新叶{at**5}店{at**3}", "date": date}
        for at in range(1, DOCUMENTS + 1)
    ]


def write(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    lines = (json.dumps(each, ensure_ascii=False) for each in news())
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def feed(web: Web) -> str:
    items = (
        f"<item><guid>{each['id']}</guid><title>{each['text']}</title>"
        f"<pubDate>{each['date']}</pubDate></item>"
        for each in news()
    )
    body = f"<rss><channel><title>F</title>{''.join(items)}</channel></rss>".encode()

    def answer(request: Any) -> Answer:
        known = request.headers["If-None-Match"] == "tag"
        return Answer(status=304) if known else Answer(body, headers={"ETag": "tag"})

    web.pages["/a.rss"] = answer
    return web.url("/a.rss")


def test_killed_at_each_point(place: Path, web: Web, receiver: Receiver) -> None:
    sources = {
        "file": str(write(place / "news.jsonl")),
        "folder": str(write(place / "folder" / "a.jsonl").parent),
        "feed": feed(web),
        "input": "-",
    }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(place), str(NOW), json.dumps(sources), str([*POINTS])],
        capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path), "HOOK_SECRET": SECRET},
    )  # fmt: skip
    keys = []
    for kind, codes in map(json.loads, ended.stdout.splitlines()):
        assert codes == [-signal.SIGKILL] * len(POINTS) + [0], (kind, ended.stderr)
        with closing(Monitor(place / f"{kind}.db")) as monitor:
            assert sum(totals(monitor)) == monitor.documents.last() == DOCUMENTS, kind
            assert differences(monitor) == []
            assert [each.subject for each in monitor.alerts.find()] == ["新叶"], kind
            with monitor.store.reading() as transaction:
                keys += transaction.select("SELECT key, state FROM deliveries")
    assert [row["state"] for row in keys] == ["sent"] * len(sources)
    assert {*receiver.keys} == {row["key"] for row in keys}
    assert len(receiver.keys) > len(keys)  # one was killed between sending and saving that
