"""How long a recommendation takes over HTTP.

    python benchmarks/recommend_load.py RUN

Starts `xinye recommend RUN --serve` with an empty store and asks 1,000 times for each row: one client after the other
with histories of the training's users; with diversity; for users who send an event before each question; and eight
clients at once. Measured from the request to the whole answer, in the process that asks, which shares the processor
with the server. Beside it: the same questions without a server. Prints one JSON object last.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import machine, progress, report

from xinye.checkpoints.item_folders import ITEMS
from xinye.jobs.recommending import Recommender
from xinye.ranking.history_file import HISTORIES
from xinye.ranking.suggestions import Asked

CLIENTS = 8  # at once
LONGEST = 200  # items of a history
WARM = 20  # requests that are not counted
KEYS = {"XINYE_CLIENT_KEY": "client-key", "XINYE_EDITOR_KEY": "editor-key"}
Question = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    facts = machine("fastapi", "uvicorn")
    histories = _histories(options.run, options.requests)
    asked: list[Question] = [{"history": each} for each in histories]
    diverse = [each | {"diversity": 0.3} for each in asked]
    progress("without a server")
    recommender = Recommender.load(options.run)
    questions = [Asked(history=tuple(each)) for each in histories]
    figures = {"no server": _figures([_seconds(recommender.recommend, each) for each in questions])}
    items = len(recommender.catalogue.items)
    del recommender
    with tempfile.TemporaryDirectory() as folder, _served(options.run, Path(folder)) as server:
        progress("one client")
        figures["one client"] = _figures(_ask(server.address, asked))
        figures["diverse"] = _figures(_ask(server.address, diverse))
        progress("with events")
        events, after = _with_events(server.address, histories)
        figures |= {"an event": _figures(events), "after an event": _figures(after)}
        progress(f"{CLIENTS} clients at once")
        with ThreadPoolExecutor(CLIENTS) as threads:
            parts = [asked[number::CLIENTS] for number in range(CLIENTS)]
            found = [*threads.map(lambda part: _ask(server.address, part), parts)]
        figures[f"{CLIENTS} clients"] = _figures([one for each in found for one in each])
    print(f"{'milliseconds':24}{'median':>10}{'p99':>10}{'most':>10}")
    for name, row in figures.items():
        print(f"{name:24}" + "".join(f"{row[key]:>10.2f}" for key in ("median", "p99", "most")))
    report(machine=facts, items=items, requests=options.requests, milliseconds=figures)


def _histories(run: Path, count: int) -> list[list[str]]:
    """Beginnings of the histories of random users."""
    rng = random.Random(0)
    lines = (run / ITEMS / HISTORIES).read_text("utf-8").splitlines()
    users = [json.loads(line)["items"][:LONGEST] for line in lines]
    chosen = [rng.choice(users) for _ in range(count)]
    return [each[: rng.randint(1, len(each))] for each in chosen]


class _served:
    """A server of a run, as a process of its own, until the block ends."""

    def __init__(self, run: Path, folder: Path) -> None:
        command = [
            *(sys.executable, "-m", "xinye", "recommend", str(run), "--serve", "--port", "0"),
            *("--json", "--store", str(folder / "recommend.db")),
        ]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | KEYS,
            text=True,
        )
        self.address = ""

    def __enter__(self) -> "_served":
        assert self.process.stdout
        self.address = json.loads(self.process.stdout.readline())["url"]
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def _client(address: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {KEYS['XINYE_CLIENT_KEY']}"}
    return httpx.Client(base_url=address, headers=headers, timeout=60)


def _ask(address: str, questions: list[Question]) -> list[float]:
    """Seconds of each question, one after the other."""
    with _client(address) as client:
        for question in questions[:WARM]:
            _post(client, "/v1/recommend", question)
        return [_seconds(_post, client, "/v1/recommend", each) for each in questions]


def _with_events(address: str, histories: list[list[str]]) -> tuple[list[float], list[float]]:
    """Seconds of each event of a user, and of the question after it."""
    events, questions = [], []
    with _client(address) as client:
        for number, history in enumerate(histories):
            user = {"user": f"benchmark {number % 100}"}
            event = user | {"item": history[-1]}
            events.append(_seconds(_post, client, "/v1/events", event))
            questions.append(_seconds(_post, client, "/v1/recommend", user))
    return events, questions


def _post(client: httpx.Client, path: str, body: Question) -> None:
    client.post(path, json=body).raise_for_status()


def _seconds(do: Callable[..., object], *values: object) -> float:
    began = time.perf_counter()
    do(*values)
    return time.perf_counter() - began


def _figures(seconds: list[float]) -> dict[str, float]:
    """Milliseconds."""
    median, p99, most = np.quantile(np.array(seconds) * 1000, (0.5, 0.99, 1.0)).tolist()
    return {"median": median, "p99": p99, "most": most}


if __name__ == "__main__":
    main()
