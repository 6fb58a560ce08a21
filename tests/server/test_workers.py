"""`xinye serve --workers`: several processes behind one port."""

import asyncio
import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import openai
import pytest
import torch

from conftest import open_files
from server.tiny_server import SHAPE, TOKENIZER, until
from xinye.checkpoints.huggingface import save_model
from xinye.errors import XinyeError
from xinye.model.gpt import GPT
from xinye.server.http import FairListener, listen
from xinye.server.metrics import leave_metrics, shared_metrics, use_metrics
from xinye.server.settings import ServeSettings
from xinye.server.team import Team

Workers = pytest.importorskip("xinye.server.workers").Workers
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux shares the weights")
SOURCE = Path(__file__).parents[2] / "src"
LARGE = replace(SHAPE, hidden_size=768, intermediate_size=3072, num_hidden_layers=3)
CACHE = 32 * SHAPE.max_position_embeddings
ASKED = {"model": "leaf", "prompt": "新", "max_tokens": 12, "temperature": 0}


class Serving:
    """A server that runs: its process, its URL and its workers."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path) -> None:
        assert process.stdout is not None
        self.process, self.log = process, log
        self.url: str = json.loads(process.stdout.readline())["url"]

    @property
    def workers(self) -> list[int]:
        return children(self.process.pid)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30)


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def runs(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not asked for how does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def serving(model: Path, log: Path) -> Iterator[Serving]:
    command = [sys.executable, "-m", "xinye", "serve", f"leaf={model}", "--port", "0", "--json"]
    command += ["--cache-tokens", str(CACHE)]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [*command, "--dtype", "float32", "--workers", "2"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=environment,
        ) as process,
    ):
        try:
            yield Serving(process, log)
        finally:
            process.kill()  # the workers end, too


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose weights take more memory than anything else that a worker has."""
    folder = tmp_path_factory.mktemp("models") / "leaf"
    network = GPT(LARGE)
    network.initialize(1)
    save_model(folder, network, TOKENIZER)
    return folder


@pytest.fixture(scope="module")
def server(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(model, tmp_path_factory.mktemp("log") / "log") as server:
        yield server


def memory(pid: int, what: str) -> int:
    """Bytes of a process: `Private_Dirty`, `Pss` …"""
    facts = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(rf"{what}:\s+(\d+)", facts)[1]) * 1024


def counted(client: httpx.Client, metric: str) -> float:
    return float(re.search(rf"{re.escape(metric)} (.+)", client.get("/metrics").text)[1])


def test_the_weights_are_in_memory_once_and_not_in_a_file(server, model):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
        before = client.completions.create(**ASKED).choices[0].text
        os.truncate(model / "model.safetensors", 100)
        assert client.completions.create(**ASKED).choices[0].text == before
    with server.client() as one, server.client() as other:
        for each in (one, other):  # two connections, one to each worker
            assert each.post("/v1/completions", json=ASKED).json()["choices"][0]["text"] == before
    own = [memory(pid, "Private_Dirty") for pid in server.workers]
    assert len(own) == 2 and max(own) < 4 * LARGE.parameters


def test_metrics_are_those_of_all_whoever_answers(server):
    with server.client() as one, server.client() as other:
        begun = counted(one, 'xinye_completion_tokens_total{model="leaf"}')
        for each in (one, other):
            assert each.get("/ready").json() == {"status": "ok"}
            assert each.post("/v1/completions", json=ASKED).status_code == 200
        for metric, wanted in (
            ('xinye_completion_tokens_total{model="leaf"}', begun + 2 * ASKED["max_tokens"]),
            ('xinye_running{model="leaf"}', 0),
            ('xinye_cache_total_tokens{model="leaf"}', CACHE),
        ):
            assert [counted(each, metric) for each in (one, other)] == [wanted, wanted]


def test_a_worker_that_dies_is_replaced(server):
    with server.client() as one, server.client() as other:
        for each in (one, other):
            assert each.get("/ready").status_code == 200
        tokens = counted(one, 'xinye_completion_tokens_total{model="leaf"}')
        dead, living = server.workers
        os.kill(dead, signal.SIGKILL)
        until(lambda: "replaces it" in server.log.read_text())
        [new] = {*server.workers} - {living}
        how = rf"worker \d \(process {dead}\) was killed by signal 9; process {new} replaces it"
        assert re.search(how, server.log.read_text())
        for each in (one, other):
            assert each.get("/ready").status_code == 200
        assert counted(one, 'xinye_completion_tokens_total{model="leaf"}') == tokens  # none is lost


def test_sigterm_ends_all_in_order(folders, tmp_path):
    with serving(folders[0], tmp_path / "log") as server:
        workers = server.workers
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none") as client:
            asked = ASKED | {"max_tokens": 99, "stream": True, "extra_body": {"min_tokens": 99}}
            chunks = iter(client.completions.create(**asked))
            next(chunks)
            server.process.send_signal(signal.SIGTERM)
            assert [*chunks][-1].choices[0].finish_reason == "length"
        assert server.process.wait(30) == 0
        assert not any(map(runs, workers))
        assert "Traceback" not in server.log.read_text()


def working(serve, count=2):
    """The first process of workers that run `serve`."""
    settings = ServeSettings(port=0, workers=count, grace=0)
    return Workers(Team(count), settings, listen(settings), 1, serve)


def test_no_worker_outlives_the_first_process():
    def serve(on_address):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        on_address("")
        time.sleep(60)

    ready, told = os.pipe()
    first = os.fork()
    if first == 0:
        try:
            folder = "PROMETHEUS_MULTIPROC_DIR"
            working(serve).run(lambda: os.write(told, os.environ[folder].encode()))
        finally:
            os._exit(1)
    metrics = Path(os.read(ready, 1000).decode())
    workers = children(first)
    assert len(workers) == 2 and metrics.is_dir()
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    until(lambda: not any(map(runs, workers)))
    assert not metrics.exists()


def test_the_last_worker_deletes_the_metrics():
    with shared_metrics():
        folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        one, other = use_metrics(), use_metrics()
        leave_metrics(one)
        assert folder.is_dir()
        leave_metrics(other)
        assert not folder.exists()
        for each in (one, other):
            os.close(each)


def test_a_busy_worker_leaves_connections_to_those_that_are_ready(monkeypatch):
    monkeypatch.setattr("xinye.server.http.PATIENCE", 10**9)
    team, accepted = Team(2), asyncio.Event()
    connections = team.tally()
    connections.own = team.ready.own = team.ready.each[1] = 1

    async def serve_one(reader, writer):
        accepted.set()
        writer.close()

    async def check():
        listener = FairListener(listen(ServeSettings(port=0)), connections, team.ready)
        async with await asyncio.start_server(serve_one, sock=listener):
            with socket.create_connection(listener.getsockname()):
                await asyncio.sleep(0.02)  # the event loop goes on
                assert not accepted.is_set()
                team.ready.each[1] = 0  # the other one has ended
                await asyncio.wait_for(accepted.wait(), 10)
            listener._rest()  # and it is closed before the moment is over
        await asyncio.sleep(0.01)

    asyncio.run(check(), debug=True)


def test_workers_leave_nothing_open():
    handler = logging.StreamHandler(stream := io.StringIO())
    logging.getLogger().addHandler(handler)
    before = open_files()
    try:
        with pytest.raises(XinyeError):
            working(lambda on_address: os._exit(3), 1).run(lambda: None)
        assert handler.stream is stream and "worker 1" in stream.getvalue()
        assert not open_files() - before
    finally:
        logging.getLogger().removeHandler(handler)


def test_workers_that_always_die_end_the_command():
    with pytest.raises(XinyeError, match=r"worker \d ended 3 times before it was ready") as raised:
        working(lambda on_address: os._exit(3)).run(lambda: None)
    assert raised.value.exit_code == 1


def test_workers_that_would_be_no_use(xinye, folders, monkeypatch):
    monkeypatch.setattr("xinye.server.serve.Server.run", None)  # a failing test must end, too
    for name in ("OMP_NUM_THREADS", "TOKENIZERS_PARALLELISM"):
        monkeypatch.setenv(name, "1")  # and as it was, afterwards
    serve = ("serve", folders[0], "--port", 0, "--workers", 3)
    outcome = xinye(*serve, "--max-running", 2)
    assert outcome.code == 2 and "less than one text for each of the 3 workers" in outcome.complaint
    threads = torch.get_num_threads()
    outcome = xinye(*serve, "--cache-tokens", 700)
    torch.set_num_threads(threads)
    assert outcome.code == 2 and "use at least 768, or fewer --workers" in outcome.complaint
    monkeypatch.setattr("xinye.machine.device", lambda: torch.device("cuda"))
    outcome = xinye(*serve)
    assert outcome.code == 1 and "on a GPU, one process computes" in outcome.complaint
