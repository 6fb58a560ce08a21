"""How soon customers read the first words of a reply, when many ask at once.

    python benchmarks/support_load.py DESK

Starts `xinye support serve DESK`, opens 50 conversations with a stream each, and lets each ask 4 questions of the
desk's FAQ, the next when the reply is there: all 50 at once. Measured from the request to the first event with the
reply, in the process that asks, which shares the processor with the server. Beside it: the same questions answered
without a server, one after the other. Prints one JSON object last.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
from common import machine, progress, report

from xinye.apps.support.messages import Message
from xinye.apps.support.replies import Answerer

QUESTIONS = 4  # of each customer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("desk", type=Path)
    parser.add_argument("--customers", type=int, default=50)
    options = parser.parse_args()
    facts = machine("fastapi", "uvicorn")
    bot = Answerer.read(options.desk)
    known = [text for entry in bot.desk.entries for text in entry.wordings]
    rng = random.Random(0)
    asked = [
        [_reworded(rng.choice(known), rng) for _ in range(QUESTIONS)]
        for _ in range(options.customers)
    ]
    progress("without a server")
    alone = []
    for question in (text for questions in asked for text in questions):
        began = time.perf_counter()
        bot.answer([Message.of_customer(question)])
        alone.append(time.perf_counter() - began)
    progress(f"{options.customers} customers at once")
    with tempfile.TemporaryDirectory() as folder:
        served = _served(options.desk, Path(folder) / "support.db", asked)
    figures = {"alone": _figures(alone), "served": _figures(served)}
    print(f"{'':24}{'median':>10}{'p99':>10}{'most':>10}")
    for name, found in figures.items():
        print(f"{name:24}" + "".join(f"{found[key]:>10.3f}" for key in ("median", "p99", "most")))
    report(machine=facts, customers=options.customers, replies=len(served), **figures)


def _reworded(text: str, rng: random.Random) -> str:
    """A question with a character left out, so that it is not known as it stands."""
    at = rng.randrange(len(text))
    return text[:at] + text[at + 1 :] or text


def _served(desk: Path, store: Path, asked: list[list[str]]) -> list[float]:
    """Seconds to the first words of each reply."""
    environment = os.environ | {"XINYE_OPERATOR_KEY": "operator", "XINYE_ADMIN_KEY": "admin"}
    command = [
        *(sys.executable, "-m", "xinye", "support", "serve", str(desk), "--store", str(store)),
        *("--port", "0", "--json", "--begun-per-minute", "1000"),
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, text=True
    ) as server:
        assert server.stdout
        try:
            address = json.loads(server.stdout.readline())["url"]
            seconds: list[float] = []
            barrier = threading.Barrier(len(asked))
            threads = [
                threading.Thread(target=_customer, args=(address, questions, barrier, seconds))
                for questions in asked
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            server.terminate()
    return seconds


def _customer(
    address: str, questions: list[str], barrier: threading.Barrier, seconds: list[float]
) -> None:
    """Ask one question after the other, and note how long each reply takes."""
    with httpx.Client(base_url=address, timeout=120) as client:
        begun = client.post("/v1/support/conversations", json={}).raise_for_status().json()
        path = f"/v1/support/conversations/{begun['id']}/messages"
        key = {"Authorization": f"Bearer {begun['token']}"}
        with client.stream("GET", path, headers=key | {"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            barrier.wait()
            for question in questions:
                began = time.perf_counter()
                client.post(path, headers=key, json={"text": question}).raise_for_status()
                if not _replied(lines):
                    return  # handed over to a person, who is not here
                seconds.append(time.perf_counter() - began)


def _replied(lines: Iterator[str]) -> bool:
    """Wait for a reply of the bot; False if it hands the conversation over."""
    for line in lines:
        if line.startswith("data: "):
            event = json.loads(line.removeprefix("data: "))
            if event.get("sender") == "bot":
                return event["kind"] != "handover"
            if event.get("state") in ("waiting", "closed"):
                return False
    return False


def _figures(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        "median": statistics.median(ordered),
        "p99": ordered[min(len(ordered) - 1, round(0.99 * len(ordered)))],
        "most": ordered[-1],
    }


if __name__ == "__main__":
    main()
