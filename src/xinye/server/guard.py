"""What stands before every route: who may ask, from where, how much, and how many at once."""

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xinye.server.errors import APIError, failed
from xinye.server.metrics import Metrics
from xinye.server.settings import ServeSettings

log = logging.getLogger("xinye.server")
OPEN = ("/", "/health")  # without a key: the page holds nothing, and asks for it
BODY_SECONDS = 60  # to send a whole one
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")


class Guard:
    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self.app, self.settings, self.metrics = app, settings, metrics
        self.key = None if settings.api_key is None else _digest(settings.api_key)
        self.requests = 0  # being answered now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        began, identity = time.monotonic(), f"req-{secrets.token_hex(12)}"
        headers, status = Headers(scope=scope), 0
        origin = headers.get("origin")

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                out = MutableHeaders(scope=message)
                out["x-request-id"] = identity
                out["x-content-type-options"] = "nosniff"
                if origin in self.settings.allow_origin:
                    out["access-control-allow-origin"], out["vary"] = str(origin), "Origin"
                    out["access-control-expose-headers"] = "x-request-id, retry-after"
            await send(message)

        self.requests += 1
        try:
            self._check_framing(scope, headers)
            if scope["method"] == "OPTIONS" and origin in self.settings.allow_origin:
                await answer({"type": "http.response.start", "status": 204, "headers": PREFLIGHT})
                await answer({"type": "http.response.body", "body": b""})
                return
            self._check(scope, headers)
            await self.app(
                scope, Body(receive, headers, self.settings.max_body * 1_000_000).receive, answer
            )
        except APIError as error:
            if status == 0:
                await error.response()(scope, receive, answer)
        except Exception:
            log.exception("a request failed")
            if status == 0:
                await failed().response()(scope, receive, answer)
        finally:
            self.requests -= 1
            self.metrics.answered(scope, status, time.monotonic() - began)

    @staticmethod
    def _check_framing(scope: Scope, headers: Headers) -> None:
        """Raises `APIError` where a proxy before this server could see another end of the request than it does itself,
        and let a second request pass that it has not seen (RFC 9112, 6.1). h11 refuses the other such requests."""
        if "transfer-encoding" in headers and (
            "content-length" in headers or scope["http_version"] < "1.1"
        ):
            raise APIError(
                400,
                "Transfer-Encoding: not with Content-Length, nor in HTTP/1.0; send one",
                close=True,
            )

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raises `APIError` where the request is not to be answered."""
        path = scope["path"]
        if self.key is not None:
            given = headers.get("authorization", "")
            right = hmac.compare_digest(_digest(given.removeprefix("Bearer ")), self.key)
            if path not in OPEN and not (right and given.startswith("Bearer ")):
                raise APIError(
                    401,
                    "the API key is missing or wrong: send it as Authorization: Bearer KEY",
                    code="invalid_api_key",
                )
        else:
            self._check_origin(headers)
        if self.requests > self.settings.max_requests and path != "/health":
            raise APIError(
                503,
                "the server answers too many requests at once; try again",
                code="overloaded",
                retry_after=1,
            )

    def _check_origin(self, headers: Headers) -> None:
        """Without a key any page that a browser on this machine shows could ask: by a name of its own that leads here
        (DNS rebinding), or from its own origin."""
        host = headers.get("host", "")
        if _hostname(host) not in (*LOCAL_NAMES, self.settings.host):
            raise APIError(
                403,
                "this server answers to localhost only; for other names start it with an API key",
            )
        origin = headers.get("origin")
        if origin is not None and origin not in (
            *self.settings.allow_origin,
            f"http://{host}",
            f"https://{host}",
        ):
            raise APIError(
                403, "this origin may not ask; start the server with --allow-origin to let it"
            )


PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
]


class Body:
    """A request's body, as long as it is not too long and does not take too long."""

    def __init__(self, receive: Receive, headers: Headers, most: int) -> None:
        self._receive, self.most, self.size = receive, most, 0
        self.whole = False
        length = headers.get("content-length", "0")
        self.told = int(length) if length.isdecimal() and len(length) < 20 else 0
        self.end = asyncio.get_running_loop().time() + BODY_SECONDS

    async def receive(self) -> Message:
        if self.whole:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self.end):
                message = await self._receive()
        except TimeoutError:
            raise APIError(408, "the body did not arrive in time", close=True) from None
        self.size += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        if max(self.size, self.told) > self.most:
            raise APIError(
                413, f"the body is larger than {self.most / 1e6:g} MB", code="body_too_large"
            )
        return message


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
