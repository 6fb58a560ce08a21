"""A real server of the bookshop, in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from apps.recommend.bookshop import Bookshop
from server.in_thread import bearer, in_thread
from xinye.server.http import Server, end_lost, listen
from xinye.server.recommend.app import build_app
from xinye.server.recommend.serve import opened
from xinye.server.recommend.settings import RecommendServeSettings
from xinye.server.recommend.state import Service

KEYS = {"client": "client-key", "editor": "editor-key"}
CLIENT, EDITOR = KEYS.values()


class Client:
    """A server that runs, and a client of it."""

    def __init__(self, parts: Service, books: Bookshop, address: str) -> None:
        self.parts, self.books, self.address = parts, books, address
        self.http = httpx.Client(base_url=address, timeout=30)

    def ask(
        self, method: str, path: str, body: Any = None, key: str = CLIENT, language: str = "en"
    ) -> httpx.Response:
        headers = bearer(key) | {"Accept-Language": language}
        return self.http.request(method, path, json=body, headers=headers)

    def recommend(self, language: str = "en", **body: Any) -> Any:
        answer = self.ask("POST", "/v1/recommend", body, language=language)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any, key: str = CLIENT) -> tuple[int, str]:
        """The status and the one line of a refusal."""
        answer = self.ask(method, path, body, key)
        message = answer.json()["error"]["message"]
        assert "\n" not in message
        return answer.status_code, message


@contextmanager
def serving(folder: Path, **given: Any) -> Iterator[Client]:
    """A server that runs until the block ends. Its store is in the folder."""
    keys = {f"{role}_key": key for role, key in KEYS.items()}
    settings = RecommendServeSettings(**{"port": 0, **keys, **given})
    books = Bookshop()
    place, store = folder / "run", folder / "run.recommend.db"
    with (
        listen(settings) as listener,
        opened(books, place, store, settings, settings.keys()) as parts,
    ):
        end_lost(listener)
        server = Server(build_app(parts), settings, lambda: None)
        with in_thread(server, listener) as address:
            client = Client(parts, books, address)
            with client.http:
                yield client
