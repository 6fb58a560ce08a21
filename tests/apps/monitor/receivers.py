"""Receivers of messages on this machine: web servers and a mail server."""

import base64
import hashlib
import hmac
import json
import socket
import socketserver
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "s3cret-of-the-test"


class Receiver:
    """A web server that checks signatures as docs/monitor.md tells receivers to, and handles each
    key once. `answers` are the statuses of the next requests; after them it answers 200."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}  # of its answers
        self.silent = 0.0  # seconds until it answers
        self.drip = False  # whether it sends a byte now and then instead of an answer
        self.keys: list[str] = []  # of all requests
        self.bodies: dict[str, dict[str, Any]] = {}  # of those that are handled
        self.paths: list[str] = []
        self.on_request: Callable[[], object] = lambda: None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def handle(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        """The status and the text of the answer to a request."""
        key = request.headers["X-Xinye-Delivery"]
        self.keys.append(key)
        self.paths.append(request.path)
        status = self.answers.pop(0) if self.answers else 200
        if not signed(request.headers["X-Xinye-Signature"] or "", body):
            status = 401
        if status == 200:
            self.bodies.setdefault(key, json.loads(body))
        return status, SECRET.encode()  # an answer may repeat a secret

    @contextmanager
    def listening(self, context: ssl.SSLContext | None = None) -> Iterator["Receiver"]:
        """Inside, the receiver listens, always on the same port."""
        with ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self)) as server:
            server.daemon_threads = True
            if context:
                server.socket = context.wrap_socket(server.socket, server_side=True)
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


class FeishuGroup(Receiver):
    """A custom bot of Feishu, which answers as the documentation says: always with a code."""

    def __init__(self, secret: str = SECRET) -> None:
        super().__init__()
        self.secret = secret
        self.codes: list[int] = []
        self.posts: list[dict[str, Any]] = []

    def handle(self, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes]:
        values = json.loads(body)
        key = f"{values.get('timestamp')}\n{self.secret}".encode()
        sign = base64.b64encode(hmac.new(key, digestmod=hashlib.sha256).digest()).decode()
        if len(body) > 20_480:
            return 400, answer(9499)
        if self.codes:
            return 200, answer(self.codes.pop(0))
        if values.get("sign") != sign:
            return 200, answer(19021)
        self.posts.append(values)
        return 200, answer(0)


def answer(code: int) -> bytes:
    return json.dumps({"code": code, "data": {}, "msg": SECRET if code else "success"}).encode()


def signed(header: str, body: bytes) -> bool:
    """Whether `X-Xinye-Signature` is right."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    message = parts.get("t", "").encode() + b"." + body
    expected = hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts.get("v1", ""))


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.on_request()
            status, text = receiver.handle(self, body)
            time.sleep(receiver.silent)
            if receiver.drip:
                for letter in b"HTTP/1.1 200 OK\r\n" * 3:
                    self.wfile.write(bytes([letter]))
                    time.sleep(0.1)
            self.send_response(status)
            for name, value in receiver.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def handle(self) -> None:
            with suppress(OSError):  # the sender has gone
                super().handle()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class MailServer:
    """A small mail server. `refuse` maps a command, such as RCPT, to what it answers instead."""

    def __init__(self) -> None:
        self.refuse: dict[str, str] = {}
        self.silent = 0.0  # seconds until it says something
        self.context: ssl.SSLContext | None = None  # for STARTTLS
        self.heard: list[str] = []  # all lines before a mail
        self.mails: list[bytes] = []
        self.port = 0

    @contextmanager
    def listening(self) -> Iterator["MailServer"]:
        """Inside, the server listens."""
        mail_server = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # the sender has gone
                    mail_server._talk(self.request)

        socketserver.ThreadingTCPServer.daemon_threads = True
        with socketserver.ThreadingTCPServer(("127.0.0.1", self.port), Handler) as server:
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()

    def _talk(self, connection: socket.socket) -> None:
        time.sleep(self.silent)
        lines = connection.makefile("rb")
        connection.sendall(self.refuse.get("banner", "220 ready").encode() + b"\r\n")
        while line := lines.readline():
            said = line.decode().strip()
            self.heard.append(said)
            command = said.split()[0].upper()
            reply = self.refuse.get(command) or self._reply(command)
            connection.sendall(reply.encode() + b"\r\n")
            if command == "STARTTLS" and self.context and reply.startswith("220"):
                connection = self.context.wrap_socket(connection, server_side=True)
                lines = connection.makefile("rb")
            if command == "DATA" and reply.startswith("354"):
                mail = b"".join(iter(lines.readline, b".\r\n"))
                end = self.refuse.get("mail", "250 taken")
                if end.startswith("250"):
                    self.mails.append(mail)
                connection.sendall(end.encode() + b"\r\n")

    def _reply(self, command: str) -> str:
        if command == "EHLO":
            starttls = "250-STARTTLS\r\n" if self.context else ""
            return f"250-here\r\n{starttls}250 AUTH PLAIN"
        return {"DATA": "354 go on", "AUTH": "235 welcome", "STARTTLS": "220 go on"}.get(
            command, "250 fine"
        )
