"""A desk with a bot that repeats what it hears, and a real server of it in a thread."""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from server.in_thread import bearer, in_thread
from xinye.apps.models_file import MODELS, write_models
from xinye.apps.support.desk_folder import CALIBRATION, FAQ, TEMPLATES, Calibrations, DeskFolder
from xinye.apps.support.desk_settings import ROLES, SETTINGS, DeskSettings, write_settings
from xinye.apps.support.log import ASKED
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply, Source
from xinye.data.files import write_json, write_json_lines
from xinye.server.http import StreamingServer, end_lost, listen
from xinye.server.support.app import build_app
from xinye.server.support.serve import opened
from xinye.server.support.settings import SupportSettings
from xinye.server.support.state import Support

OPERATOR, ADMIN = "operator-key", "admin-key"
SPOKEN_OF = Source("退货.md", 3, "七天内可以退货。")


def make_desk(folder: Path, company: str = "新叶") -> Path:
    """A desk with one entry and no documents."""
    folder.mkdir()
    write_settings(folder / SETTINGS, DeskSettings(company=company, bot="小叶"))
    write_models(folder / MODELS, {}, ROLES)
    source = {"file": "faq.csv", "line": 2}
    entry = {"question": "怎么退货？", "answer": "七天内可以退货。", "source": source}
    write_json_lines(folder / FAQ, [entry])
    write_json_lines(folder / TEMPLATES, [])
    write_json(folder / CALIBRATION, Calibrations().model_dump())
    return folder


class Echo:
    """Answers with the company's name and the question. It is slow to answer "慢", hands over on
    "人", and fails on "崩"."""

    def __init__(self, folder: Path, before: Any = None) -> None:
        self.desk = DeskFolder.read(folder)
        self.models = SimpleNamespace(tagger=None)

    def answer(self, turns: Sequence[Message]) -> Reply:
        asked = turns[-1].text
        if "崩" in asked:
            raise RuntimeError(f"a secret of the customer: {asked}")
        if "慢" in asked:
            time.sleep(0.5)
        if "人" in asked:
            return Reply("handover", "", why=ASKED)
        text = f"{self.desk.settings.company} {asked}"
        return Reply("faq", text, (SPOKEN_OF,), 0.9, 0.8, "it was asked", "0" * 64)

    def suggestions(self, turns: Sequence[Message], count: int = 3) -> list[Reply]:
        if "人" in turns[-1].text:
            return []
        return [Reply("faq", "七天内可以退货。", (SPOKEN_OF,), 0.5, 0.8)]


@dataclass
class Customer:
    """A customer who has begun a conversation."""

    http: httpx.Client
    id: str
    token: str

    def ask(self, method: str, path: str = "", body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(
            method, f"/v1/support/conversations/{self.id}{path}", json=body,
            headers=bearer(self.token), **more,
        )  # fmt: skip

    def says(self, text: str, client: str = "") -> httpx.Response:
        return self.ask("POST", "/messages", {"text": text, "client_id": client})

    @property
    def texts(self) -> list[str]:
        return [each["text"] for each in self.ask("GET", "/messages").json()["messages"]]

    def waits_for(self, count: int) -> list[str]:
        """The texts of the messages, as soon as there are so many."""
        end = time.monotonic() + 10
        while len(texts := self.texts) < count and time.monotonic() < end:
            time.sleep(0.01)
        return texts


class Desk:
    """A server that runs, and a client of it."""

    def __init__(self, parts: Support, address: str) -> None:
        self.parts, self.address = parts, address
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.Client(base_url=address, timeout=30, limits=limits)

    def begin(self) -> Customer:
        begun = self.http.post("/v1/support/conversations", json={}).json()
        return Customer(self.http, begun["id"], begun["token"])

    def operator(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, path, json=body, headers=bearer(OPERATOR), **more)

    def admin(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.http.request(method, path, json=body, headers=bearer(ADMIN), **more)

    def does(self, conversation: str, what: str, **body: Any) -> httpx.Response:
        return self.operator("POST", f"/v1/support/conversations/{conversation}/{what}", body)


@contextmanager
def serving(
    folder: Path, store: Path, timeout: float = 5.0, load: Any = Echo, **settings: Any
) -> Iterator[Desk]:
    """Serve a desk in a thread. `timeout` is that of the store."""
    given = {"operator_key": OPERATOR, "admin_key": ADMIN, "begun_per_minute": 1000} | settings
    asked = SupportSettings(port=0, **given)
    with listen(asked) as listener, opened(folder, store, asked, asked.keys(), load) as parts:
        parts.store.store.timeout = timeout
        end_lost(listener)
        server = StreamingServer(build_app(parts), asked, parts.hub)
        with in_thread(server, listener) as address:
            desk = Desk(parts, address)
            with desk.http:
                yield desk


class Events:
    """The events of an open stream, one after the other: (name, data, id)."""

    def __init__(self, response: httpx.Response) -> None:
        assert response.headers["content-type"].startswith("text/event-stream")
        self._lines = response.iter_lines()

    def __iter__(self) -> Iterator[tuple[str, Any, str]]:
        event = dict[str, str]()
        for line in self._lines:
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "event" in event:
                yield event["event"], json.loads(event["data"]), event.get("id", "")
                event = {}
