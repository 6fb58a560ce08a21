"""Checks every request before its route: who asks, from where, how much, and how many at once."""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import ClassVar, Protocol
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinye.server.errors import CLOSE, APIError, as_api_error
from xinye.server.team import Tally, Team

OPEN = ("/", "/health")  # reachable without a key: the page contains no data and asks for the key
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
# Called after each request with its status (0 if the client left) and its duration in seconds.
OnAnswer = Callable[[Scope, int, float], None]


class Access(Protocol):
    """The settings that say who may ask, and how much."""

    @property
    def host(self) -> str: ...

    @property
    def api_key(self) -> str | None: ...

    @property
    def allow_origin(self) -> tuple[str, ...]: ...

    @property
    def max_requests(self) -> int: ...

    @property
    def max_body(self) -> int: ...


class Guard:
    """The middleware that checks each request. `on_answer` is called when it has ended."""

    # what pages of allowed origins may send
    methods: ClassVar[str] = "GET, POST"
    headers: ClassVar[str] = "authorization, content-type"
    body_seconds: float = 60  # in which a body must arrive

    def __init__(
        self,
        app: ASGIApp,
        settings: Access,
        on_answer: OnAnswer,
        requests: Tally | None = None,
    ) -> None:
        """`requests` counts the requests in progress, of all workers together."""
        self.app, self.settings, self.on_answer = app, settings, on_answer
        self.key = None if settings.api_key is None else _digest(f"Bearer {settings.api_key}")
        self.requests = requests or Team().tally()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, status = time.monotonic(), 0
        scope = {**scope, "path": scope["path"].rstrip("/") or "/"}
        if scope["method"] == "HEAD":  # handled like GET; the HTTP library omits the body
            scope["method"] = "GET"
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        asked_by_page = origin in self.settings.allow_origin
        added = {
            "x-request-id": f"req-{secrets.token_hex(12)}",
            "x-content-type-options": "nosniff",
        }
        if asked_by_page:
            added |= {"access-control-allow-origin": str(origin), **EXPOSED}

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).update(added)
            await send(message)

        counted = self.counts(scope, headers)
        self.requests.own += counted
        try:
            self._check_framing(scope, headers)
            if scope["method"] == "OPTIONS" and asked_by_page:
                return await self._preflight()(scope, receive, answer)
            self.check_caller(scope, headers)
            self._check_load(scope)
            self._check_encoding(headers)
            limit = self.settings.max_body * 1_000_000
            body = LimitedBody(receive, headers, limit, self.body_seconds)
            await self.app(scope, body.receive, answer)
        except Exception as error:
            refusal = as_api_error(error)  # also logs internal errors
            if status == 0:
                await refusal.response()(scope, receive, answer)
        finally:
            self.requests.own -= counted
            self.on_answer(scope, status, time.monotonic() - began)

    def counts(self, scope: Scope, headers: Headers) -> bool:
        """Whether the request counts towards `max_requests`."""
        return True

    def _preflight(self) -> Response:
        allowed = {"methods": self.methods, "headers": self.headers}
        named = {f"access-control-allow-{name}": value for name, value in allowed.items()}
        return Response(status_code=204, headers=named | {"access-control-max-age": "600"})

    @staticmethod
    def _check_framing(scope: Scope, headers: Headers) -> None:
        """Raises `APIError` if a proxy could see a different end of the request than this server,
        and so let a hidden second request pass (RFC 9112, 6.1). h11 refuses all other such
        requests.
        """
        two_ends = "content-length" in headers or scope["http_version"] < "1.1"
        if "transfer-encoding" in headers and two_ends:
            raise APIError(
                400,
                "Transfer-Encoding: not allowed together with Content-Length, nor in HTTP/1.0",
                headers=CLOSE,
            )

    @staticmethod
    def _check_encoding(headers: Headers) -> None:
        """Raises `APIError` for a compressed body, because it could have any size when unpacked."""
        encoding = headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            raise APIError(
                415,
                f"Content-Encoding {encoding[:40]!r} is not supported; send the body uncompressed, "
                "without this header",
                code="unsupported_encoding",
            )

    def check_caller(self, scope: Scope, headers: Headers) -> None:
        """Raises `APIError` if this caller must not be answered."""
        if self.key is None:
            self.check_origin(headers)
        elif scope["path"] not in OPEN and not hmac.compare_digest(
            _digest(headers.get("authorization", "")), self.key
        ):
            raise APIError(
                401,
                "the API key is missing or wrong: send it as Authorization: Bearer KEY",
                code="invalid_api_key",
            )

    def _check_load(self, scope: Scope) -> None:
        """Raises `APIError` if there are too many requests."""
        if self.requests.total > self.settings.max_requests and scope["path"] != "/health":
            raise APIError(
                503,
                "the server has too many requests at once; try again later",
                code="overloaded",
                headers={"Retry-After": "1"},
            )

    def check_origin(self, headers: Headers) -> None:
        """Raises `APIError` for other hosts and origins. Without a key, any web page in a browser
        on this machine could send requests, from its own origin or through a host name that points
        here (DNS rebinding).
        """
        host = headers.get("host", "")
        if _hostname(host) not in (*LOCAL_NAMES, self.settings.host):
            raise APIError(
                403,
                "this server answers only to localhost; to use other host names, start it with an "
                "API key",
            )
        allowed = (None, *self.settings.allow_origin, f"http://{host}", f"https://{host}")
        if headers.get("origin") not in allowed:
            raise APIError(
                403,
                "this origin is not allowed; allow it with --allow-origin when starting the server",
            )


EXPOSED = {"access-control-expose-headers": "x-request-id, retry-after", "vary": "Origin"}


class LimitedBody:
    """A request's body, which must not be too large or take too long."""

    def __init__(self, receive: Receive, headers: Headers, limit: int, seconds: float) -> None:
        self._receive, self.limit = receive, limit
        self.size = 0
        self.whole = False
        self.sent = "content-length" in headers or "transfer-encoding" in headers
        length = headers.get("content-length", "0")
        # enough for any limit; Python refuses to parse thousands of digits
        digits = length.lstrip("0")[:20]
        self.declared = int(digits) if digits.isdecimal() else 0
        self.end = asyncio.get_running_loop().time() + seconds

    async def receive(self) -> Message:
        """The next message of the body. Raises `APIError` if it is too large or too late."""
        if self.whole:
            return await self._receive()
        self._check_size()  # check now, because the rest might never arrive
        try:
            async with asyncio.timeout_at(self.end):
                message = await self._receive()
        except TimeoutError:
            raise APIError(408, "the body did not arrive in time", headers=CLOSE) from None
        if message["type"] == "http.disconnect":
            if not self.sent:  # a stream, whose client has left
                return message
            raise APIError(400, "the body ended before its end", headers=CLOSE)
        self.size += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        self._check_size()
        return message

    def _check_size(self) -> None:
        if max(self.size, self.declared) > self.limit:
            raise APIError(
                413, f"the body is larger than {self.limit / 1e6:g} MB", code="body_too_large"
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
