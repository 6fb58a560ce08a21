"""A web server on the loopback address."""

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HERE = "127.0.0.1"


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
