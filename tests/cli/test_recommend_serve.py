"""`xinye recommend RUN --serve`, `--export` and `--forget`."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from jobs.test_recommending import folder  # noqa: F401
from xinye.apps.recommend.behaviour import Behaviour, Event, store_of

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def run(folder: Path, tmp_path: Path) -> Path:  # noqa: F811
    return shutil.copytree(folder, tmp_path / "店")


def test_a_user_is_exported_and_forgotten(xinye, run: Path) -> None:
    trained = json.loads(xinye("recommend", run, "--export", "user1").out)
    assert trained["user"] == "user1" and trained["events"] == []
    assert len(trained["trained"]["items"]) == 5
    with closing(Behaviour(store_of(run))) as behaviour:
        behaviour.add([Event("user1", "cup3", 7.0), Event("小明", "tea3")])
    found = json.loads(xinye("recommend", run, "--export", "user1").out)
    assert found["events"] == [{"item": "cup3", "at": 7.0, "kind": ""}]
    assert "deleted 6 events of the user 'user1'" in xinye("recommend", run, "--forget=user1").out
    for flag in ("--export", "--forget"):
        nobody = xinye("recommend", run, flag, "user1")
        assert nobody.code == 2 and "nothing is kept of a user 'user1'" in nobody.complaint
    told = xinye("recommend", run, "--forget", "小明", "--json").out
    assert json.loads(told) == {"user": "小明", "deleted": 1}


def test_a_run_without_a_store(xinye, run: Path) -> None:
    assert json.loads(xinye("recommend", run, "--forget", "user3", "--json").out)["deleted"] == 5
    assert not store_of(run).exists()
    assert xinye("recommend", run, "--export", "user3").code == 2


def test_what_is_refused(xinye, tmp_path: Path, run: Path) -> None:
    Path(tmp_path / "other.db").write_text("not a store, but long enough to be read as one")
    for arguments, said in (
        ((run, "--serve", "--host", "0.0.0.0"), "choose all keys: --client-key, --editor-key"),
        ((run, "--serve", "--port", 99999), "port: 99999"),
        ((tmp_path, "--serve", "--port", 0), "not the folder of a recommender"),
        ((tmp_path, "--export", "u"), "not the folder of a recommender"),
        ((tmp_path, "--forget", "u"), "not the folder of a recommender"),
        ((run, "--serve", "--port", 0, "--store", tmp_path / "other.db"), "is not a database"),
    ):
        outcome = xinye("recommend", *arguments)
        assert outcome.code == 2 and said in outcome.complaint, outcome.complaint


@contextmanager
def served(run: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    command = [sys.executable, "-m", "xinye", "recommend", str(run), "--serve", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    for name in ("XINYE_CLIENT_KEY", "XINYE_EDITOR_KEY"):
        environment.pop(name, None)
    with subprocess.Popen(
        [*command, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as running:
        assert running.stdout
        yield running, json.loads(running.stdout.readline())


def test_events_and_items_survive_a_kill(run: Path) -> None:
    with served(run) as (running, told):
        client = httpx.Client(base_url=told["url"])
        keys = [{"Authorization": f"Bearer {told[name]}"} for name in ("client_key", "editor_key")]

        def ask(body: dict[str, Any]) -> Any:
            return client.post("/v1/recommend", json=body, headers=keys[0]).json()

        assert ask({"user": "小明"})["cold"]
        item = {"title": "white cup, blue", "tags": ["杯"]}
        put = client.put("/v1/items/%E6%96%B0%2F1", json=item, headers=keys[1])
        assert put.status_code == 201
        event = {"user": "小明", "item": "新/1"}
        assert client.post("/v1/events", json=event, headers=keys[0]).json()["new"] == 1
        before = ask({"user": "小明", "k": 100})
        assert not before["cold"] and "新/1" not in {each["id"] for each in before["data"]}
        unknown = client.post("/v1/events", json=event | {"item": "tea99"}, headers=keys[0])
        assert unknown.status_code == 404 and "'tea" in unknown.json()["error"]["message"]
        running.kill()
    with served(run) as (running, told):
        client = httpx.Client(base_url=told["url"])
        keys = [{"Authorization": f"Bearer {told[name]}"} for name in ("client_key", "editor_key")]
        assert ask({"user": "小明", "k": 100}) == before
        running.send_signal(signal.SIGTERM)
        assert running.wait(20) == 0
        assert running.stderr and "Traceback" not in running.stderr.read()
