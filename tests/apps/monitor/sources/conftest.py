"""A web server on the loopback address, a store, and a clock that a test moves."""

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.schema import MIGRATIONS
from xinye.apps.monitor.sources.feeds import Feeds, FeedSettings
from xinye.apps.monitor.sources.fetching import FetchLimits
from xinye.apps.store import Store

HERE = "127.0.0.1"
NOW = 1_714_550_400.0  # 2024-05-01 08:00 UTC
SETTINGS = FeedSettings(allow=(HERE,), limits=FetchLimits(size=200_000, seconds=5.0, gap=0.0))


@dataclass(frozen=True)
class Answer:
    """What the server answers. `write` sends the body in a way of its own."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    write: Callable[[Any], None] | None = None


class Web:
    """A web server. `pages` are its answers by path, and `asked` counts requests."""

    def __init__(self) -> None:
        self.pages: dict[str, Answer | Callable[[Any], Answer]] = {}
        self.asked: defaultdict[str, int] = defaultdict(int)
        self.stopped = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                web.asked[path] += 1
                page = web.pages.get(path, Answer(status=404))
                answer = page(self) if callable(page) else page
                self.send_response(answer.status)
                if not answer.write:
                    self.send_header("Content-Length", str(len(answer.body)))
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    if answer.write:
                        answer.write(self.wfile)
                    else:
                        self.wfile.write(answer.body)
                except OSError:
                    pass  # the client has had enough

            def log_message(self, *arguments: object) -> None: ...

        self.server = ThreadingHTTPServer((HERE, 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_port
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def url(self, path: str, host: str = HERE) -> str:
        return f"http://{host}:{self.port}{path}"

    def add(self, path: str, body: bytes | str, **headers: str) -> str:
        """Answer a path with this body. Returns its address."""
        data = body if isinstance(body, bytes) else body.encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.pages[path] = Answer(data, headers=named)
        return self.url(path)

    def close(self) -> None:
        self.stopped.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


class Clock:
    """A clock that a test moves. `slept` are the seconds that were slept."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Reader:
    """Makes `Feeds` on one store, which may fetch from `HERE`, and keeps what they warn of."""

    store: Store
    clock: Clock
    warned: list[str] = field(default_factory=list)
    settings: FeedSettings = SETTINGS

    def feeds(self, *urls: str, **settings: Any) -> Feeds:
        return Feeds(
            self.store, dict.fromkeys(urls, ""), replace(self.settings, **settings), self.clock, self.clock.sleep,
            self.warned.append,
        )  # fmt: skip

    def read(self, *urls: str, **settings: Any) -> list[Incoming]:
        return [each for batch in self.feeds(*urls, **settings).due() for each in batch]


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> Iterator[Reader]:
    store = Store(tmp_path / "monitor.db", "monitor", MIGRATIONS)
    yield Reader(store, clock)
    store.close()
