"""`xinye monitor serve`."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.monitor_folder import Contents
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.server.monitor.settings import BoardSettings

SOURCE = Path(__file__).parents[2] / "src"
KEYS = ("XINYE_ANALYST_KEY", "XINYE_ADMIN_KEY", "XINYE_INGEST_KEY")


@pytest.fixture
def monitor(tmp_path: Path) -> Path:
    """A monitor without models."""
    folder = tmp_path / "monitor"
    folder.mkdir()
    Contents(MonitorSettings(name="新叶"), {}, Calibrations(), [], [], {}).write(folder)
    return folder


def test_what_is_refused(xinye, monitor: Path, tmp_path: Path) -> None:
    store = ("--store", tmp_path / "monitor.db")
    for arguments, said in (
        ((monitor, *store, "--host", "0.0.0.0"), "choose all keys: --analyst-key, --admin-key"),
        ((monitor, *store, "--analyst-key", "a", "--admin-key", "a"), "two of the keys are equal"),
        ((tmp_path / "none", *store, "--port", 0), "none"),
        ((monitor, *store, "--port", 0, "--source", "none.jsonl"), "no such file or folder"),
        ((monitor, *store, "--port", 99999), "xinye monitor serve: --port: 99999"),
    ):
        outcome = xinye("monitor", "serve", *arguments)
        assert outcome.code == 2 and said in outcome.complaint


def test_a_key_that_can_be_guessed_is_told() -> None:
    keys = {"analyst_key": "ana", "admin_key": "0123456789abcdef"}
    (warning,) = BoardSettings(**keys).warnings()
    assert warning.startswith("the analyst key has fewer than 16 characters")


def test_it_reads_its_sources_prints_its_keys_and_ends_with_0(monitor: Path) -> None:
    news = monitor.with_name("news.jsonl")
    news.write_text('{"id": 1, "title": "火灾", "published": "2024-05-01"}\n', "utf-8")
    command = [sys.executable, "-m", "xinye", "monitor", "serve", str(monitor), "--port", "0"]
    command += ["--store", str(monitor.with_name("a.db")), "--source", str(news), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    for name in KEYS:
        environment.pop(name, None)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout
        told = json.loads(running.stdout.readline())
        head = {"Authorization": f"Bearer {told['analyst_key']}"}
        url, found = told["url"] + "/v1/monitor/", []
        with httpx.stream("GET", url + "events", headers=head, timeout=20) as events:
            for line in events.iter_lines():
                found = httpx.get(url + "documents", headers=head).json()["documents"]
                if found or line == "event: documents":
                    break
            running.send_signal(signal.SIGTERM)
            assert running.wait(20) == 0
    assert [each["title"] for each in found] == ["火灾"]
    assert told.keys() == {"url", "analyst_key", "admin_key", "ingest_key"}
