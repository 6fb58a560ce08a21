"""A stand-in for an S3 server: objects in memory, by path-style addresses, read whole or in part."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

KEY = "AKIAXINYE"


class S3Server(ThreadingHTTPServer):
    """Serves `objects`, by "bucket/name", to whoever signs with `KEY`. `cut` is the number of
    answers that break off in the middle, and `asked` lists the names that were asked for.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.cut = 0

    def add(self, bucket: str, folder: Path) -> None:
        """Put the files of a folder into a bucket."""
        for path in folder.rglob("*"):
            if path.is_file():
                name = f"{bucket}/{folder.name}/{path.relative_to(folder)}"
                self.objects[name] = path.read_bytes()

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a client finds the server, and is let in."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server_port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }


class _Handler(BaseHTTPRequestHandler):
    server: S3Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        name = self.path.removeprefix("/").partition("?")[0]
        self.server.asked.append(name)
        buckets = {each.partition("/")[0] for each in self.server.objects}
        if f"Credential={KEY}/" not in self.headers.get("Authorization", ""):
            self.refuse(403, "AccessDenied")
        elif name.partition("/")[0] not in buckets:
            self.refuse(404, "NoSuchBucket")
        elif name not in self.server.objects:
            self.refuse(404, "NoSuchKey")
        else:
            self.give(self.server.objects[name])

    def give(self, data: bytes) -> None:
        part = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        size = len(data)
        if part and int(part[1]) >= size:
            self.refuse(416, "InvalidRange")
            return
        self.send_response(206 if part else 200)
        if part:
            data = data[int(part[1]) : int(part[2]) + 1]
            last = int(part[1]) + len(data) - 1
            self.send_header("Content-Range", f"bytes {part[1]}-{last}/{size}")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Last-Modified", "Sun, 29 Nov 2026 00:00:00 GMT")
        self.send_header("ETag", '"1"')
        self.end_headers()
        if self.server.cut:
            self.server.cut -= 1
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
            self.connection.close()
        else:
            self.wfile.write(data)

    def refuse(self, status: int, code: str) -> None:
        body = f"<Error><Code>{code}</Code></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[S3Server]:
    """A server that answers until the end of the block."""
    with S3Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
