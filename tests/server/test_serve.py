"""`xinye serve` as a process, and what it refuses to begin with."""

import asyncio
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import openai
import pytest
from fastapi import FastAPI

from server.in_thread import in_thread
from xinye.libraries import install_command
from xinye.server.http import Server, listen
from xinye.server.models import memory_need
from xinye.server.serve import TextServer, serve
from xinye.server.settings import ServeSettings

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture
def process(folders):
    """The command as a person would run it, ready."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(SOURCE),
        "XINYE_API_KEY": "leaf",
        "OMP_NUM_THREADS": "1",
    }
    environment.pop("PYTHONUNBUFFERED", None)  # that it is ready is told at once all the same
    command = [
        sys.executable,
        "-m",
        "xinye",
        "serve",
        f"新叶={folders[0]}",
        "--port",
        "0",
        "--json",
        "--dtype",
        "float32",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as running:
        running.told = json.loads(running.stdout.readline())
        yield running
        running.kill()


def test_sigterm_lets_a_stream_end_and_exits_with_0(process):
    assert process.told["models"] == ["新叶"]
    assert httpx.get(process.told["url"] + "/v1/models").status_code == 401
    with openai.OpenAI(base_url=process.told["url"] + "/v1", api_key="leaf") as client:
        stream = client.completions.create(
            model="新叶", prompt="从前", max_tokens=200, stream=True, extra_body={"min_tokens": 200}
        )
        chunks = iter(stream)
        next(chunks)
        process.send_signal(signal.SIGTERM)
        assert [*chunks][-1].choices[0].finish_reason == "length"
    assert process.wait(30) == 0
    said = process.stderr.read()
    assert "Traceback" not in said and "从前" not in said and "leaf" not in said


def test_a_server_that_stops_tells_for_how_many_texts_it_waits(monkeypatch, caplog):
    async def stop(server, sockets=None):
        pass

    monkeypatch.setattr(Server, "shutdown", stop)
    queue = SimpleNamespace(texts=SimpleNamespace(own=2))
    for queues, said in (([queue, queue], "stopping; waiting for 4 texts"), ([], "")):
        server = object.__new__(TextServer)
        server._worker = SimpleNamespace(queues=queues)
        caplog.clear()
        with caplog.at_level("INFO", "xinye"):
            asyncio.run(server.shutdown())
        assert said in caplog.text and bool(said) == bool(caplog.text)


@pytest.mark.parametrize("turns", range(6))
def test_a_client_that_connects_while_the_server_stops_is_not_waited_for(turns):
    """It connects, and the server stops so many turns of the event loop later."""
    settings = ServeSettings(port=0)
    client = socket.socket()

    class Stopping(Server):
        async def shutdown(self, sockets=None):
            client.connect(sockets[0].getsockname())
            for _ in range(turns):
                await asyncio.sleep(0)
            await super().shutdown(sockets)

    server = Stopping(FastAPI(), settings, lambda: None)
    with client:
        with in_thread(server, listen(settings)):
            began = time.monotonic()
        assert time.monotonic() < began + 5


def test_a_signal_that_comes_as_soon_as_it_is_ready_ends_it(folders):
    settings = ServeSettings(port=0, dtype="float32")
    serve(folders[:1], settings, lambda *_: signal.raise_signal(signal.SIGTERM))  # it returns


def test_a_port_in_use(xinye, folders):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        outcome = xinye("serve", folders[0], "--port", port)
    assert outcome.code == 1
    assert outcome.complaint == (
        f"xinye serve: cannot listen on 127.0.0.1, port {port}: Address already in use; choose "
        "another port with --port"
    )


def test_what_it_refuses_to_begin_with(xinye, folders, tmp_path, monkeypatch):
    monkeypatch.setattr("xinye.server.serve.Server.run", None)  # a failing test must end, too
    outcome = xinye("serve", folders[0], "--host", "0.0.0.0", "--port", 0)
    assert (
        outcome.code == 2
        and "other machines can reach 0.0.0.0; give --api-key KEY" in outcome.complaint
    )
    outcome = xinye("serve", folders[0], folders[0], "--port", 0)
    assert (
        outcome.code == 2
        and "the name tiny is given twice; give one of them another name" in outcome.complaint
    )
    shutil.copytree(folders[0], tmp_path / "damaged")
    (tmp_path / "damaged" / "model.safetensors").write_bytes(b"leaf")
    outcome = xinye("serve", tmp_path / "damaged", "--port", 0)
    assert outcome.code == 2 and "model.safetensors" in outcome.complaint
    monkeypatch.setattr("xinye.machine.memory_bytes", lambda _: 60_000)
    outcome = xinye("serve", folders[0], f"other={folders[0]}", "--port", 0)
    assert (
        outcome.code == 1
        and "do not fit in memory together (tiny 0.0 GB, other 0.0 GB" in outcome.complaint
    )
    monkeypatch.setattr("xinye.machine.memory_bytes", lambda _: 1_000_000)
    outcome = xinye("serve", folders[0], "--port", 0, "--cache-tokens", 10**12)
    assert (
        outcome.code == 1
        and "tiny: the KV cache for 1,000,000,000,000 tokens takes" in outcome.complaint
    )
    assert memory_need(folders[0], 2) * 2 == memory_need(folders[0], 4)
    assert memory_need(folders[1], 2) == memory_need(folders[1], 4)  # what judges is kept in fp32


def test_a_missing_package_is_one_line(xinye, folders, monkeypatch):
    for name in ("fastapi", "prometheus_client"):
        monkeypatch.setitem(sys.modules, name, None)
    outcome = xinye("serve", folders[0])
    assert (
        f"the server needs fastapi, prometheus-client; to install it: {install_command()}"
        in outcome.complaint
    )


def test_help_needs_neither_torch_nor_fastapi():
    check = (
        "import sys; from xinye.cli.main import main\n"
        "try: main(['serve', '--help'])\n"
        "finally: assert not {'torch', 'fastapi', 'uvicorn'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", check], check=True, env={**os.environ, "PYTHONPATH": str(SOURCE)}
    )


NEGATIVE = '{"a":{"dtype":"F32","shape":[-5],"data_offsets":[0,20]}}'


@pytest.mark.parametrize(
    "header", ["[" * 100_000, NEGATIVE, '{"a":1}'], ids=["deep", "negative", "no tensor"]
)
def test_a_header_that_is_none_is_told_in_one_line(folders, tmp_path, xinye, header):
    model = shutil.copytree(folders[0], tmp_path / "model")
    (model / "training" / "manifest.json").unlink(missing_ok=True)
    (model / "model.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header.encode() + bytes(20)
    )
    outcome = xinye("serve", model, "--port", "0")
    assert outcome.code == 2 and "model.safetensors: damaged or cut short" in outcome.complaint
