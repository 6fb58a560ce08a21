"""A monitor that knows a few words instead of models, and a real server of it in a thread."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from apps.monitor.conftest import EAGER, analyse
from server.in_thread import bearer, in_thread
from xinye.apps.monitor.analysis import Reason, Word
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.ingest import Ingest
from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.apps.monitor.monitor_store import Monitor
from xinye.server.http import StreamingServer, end_lost, listen
from xinye.server.monitor.app import build_app
from xinye.server.monitor.serve import opened
from xinye.server.monitor.settings import BoardSettings
from xinye.server.monitor.state import Board

KEYS = {"analyst": "analyst-key", "admin": "admin-key", "ingest": "ingest-key"}
ANALYST, ADMIN, INGEST = KEYS.values()
API = "/v1/monitor"


class Words:
    """Says that the first words of a text decided."""

    topics = ("安全", "售后", "门店")

    def reasons(self, title: str, text: str) -> tuple[str, list[Reason]]:
        read = f"{title}\n{text}".strip()
        word = Word(read[:2], 0, 2, 1.5)
        against = Word(read[2:4], 2, 4, -0.5)
        return read, [Reason("mood", "negative", 0.9, (word, against))]


@dataclass
class Desk:
    """What a server does besides answering: nothing but what a test puts into `todo`."""

    monitor: Monitor
    ingest: Ingest
    analyst: Words = field(default_factory=Words)
    todo: list[Sequence[Incoming]] = field(default_factory=list)
    steps: int = 0
    reading: bool = False

    def step(self) -> object:
        self.steps += 1
        while self.todo:
            self.ingest.add(self.todo.pop(0))
        self.ingest.close_quiet()
        return None


class Client:
    """A server that runs, and a client of it."""

    def __init__(self, parts: Board, work: Desk, address: str) -> None:
        self.parts, self.work, self.address = parts, work, address
        self.http = httpx.Client(base_url=address, timeout=30)

    def ask(self, method: str, path: str, body: Any = None, key: str = ANALYST) -> httpx.Response:
        return self.http.request(method, f"{API}/{path}", json=body, headers=bearer(key))

    def get(self, path: str, key: str = ANALYST) -> Any:
        answer = self.ask("GET", path, key=key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, key: str = ANALYST, **body: Any) -> Any:
        answer = self.ask("POST", path, {"who": "小王", **body}, key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def add(self, *documents: Any) -> Any:
        answer = self.ask("POST", "documents", [*documents], INGEST)
        assert answer.status_code == 200, answer.text
        return answer.json()


def burst(count: int, words: str = "火灾 差") -> list[dict[str, Any]]:
    """Documents of one topic, enough for an alarm, no two of them alike."""
    return [
        {"id": f"{words} {number}", "title": f"{words} {number}", "text": chr(0x4E00 + number) * 9}
        for number in range(count)
    ]


@contextmanager
def serving(store: Path, **given: Any) -> Iterator[Client]:
    """A server that runs until the block ends."""
    keys = {f"{role}_key": key for role, key in KEYS.items()}
    settings = BoardSettings(**{"port": 0, **keys, **given})
    monitor = Monitor(store)
    work = Desk(monitor, monitor.ingest(EAGER, analyse))
    about = MonitorSettings(name="新叶", time_zone="Asia/Shanghai")
    with listen(settings) as listener, opened(work, about, settings, settings.keys()) as parts:
        end_lost(listener)
        server = StreamingServer(build_app(parts), settings, parts.hub)
        with in_thread(server, listener) as address:
            client = Client(parts, work, address)
            with client.http:
                yield client
