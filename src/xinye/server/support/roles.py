"""Who asks: a customer with the token of a conversation, an operator, an admin, or nobody known."""

import hashlib
import hmac
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address
from typing import ClassVar

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import Scope

from xinye.server.errors import APIError
from xinye.server.guard import Guard
from xinye.server.support.settings import SupportSettings

REMEMBERED = 10_000  # addresses
LONGEST_TOKEN = 200  # characters
MINUTE = 60.0  # seconds


class Keys:
    """The keys of a server. Only their hashes are kept."""

    def __init__(self, operator: str, admin: str) -> None:
        self._hashes = {"operator": _hash(operator), "admin": _hash(admin)}

    def role(self, token: str) -> str:
        """The role that a token belongs to; "customer" if it is no key. Every key is compared in
        the same time."""
        hashed, role = _hash(token), "customer"
        for name, key in self._hashes.items():
            if hmac.compare_digest(hashed, key):
                role = name
        return role


@dataclass(frozen=True)
class Caller:
    """Who asks. `role` is "admin", "operator", "customer" or, without a token, "nobody"."""

    role: str
    token: str

    @property
    def is_operator(self) -> bool:
        """Whether this is an operator, or an admin, who can do the same and more."""
        return self.role in ("operator", "admin")


def caller(request: Request) -> Caller:
    """Who asks."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        return Caller("nobody", "")
    if len(token) > LONGEST_TOKEN:
        raise _unknown("the key is missing or wrong")
    keys: Keys = request.app.state.support.keys
    return Caller(keys.role(token), token)


def somebody(request: Request) -> Caller:
    """Who asks. Raises `APIError` 401 without a token or key."""
    found = caller(request)
    if found.role == "nobody":
        raise _unknown("the token of the conversation is missing")
    return found


def operator(request: Request) -> Caller:
    """An operator or admin. Raises `APIError` 401 for anybody else."""
    found = caller(request)
    if not found.is_operator:
        raise _unknown("the operator key is missing or wrong")
    return found


def admin(request: Request) -> Caller:
    """An admin. Raises `APIError`: 403 for an operator, 401 for anybody else."""
    found = operator(request)
    if found.role != "admin":
        raise APIError(403, "this needs the admin key", code="admin_only")
    return found


def _unknown(problem: str) -> APIError:
    return APIError(401, f"{problem}: send it as Authorization: Bearer …", code="invalid_api_key")


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


# -- limits ----------------------------------------------------------------------------------------


class Door(Guard):
    """The guard of a desk's server. Its routes check the keys; streams, which take long and do
    little, have a limit of their own."""

    methods: ClassVar[str] = "GET, POST, PUT, DELETE"
    body_seconds: ClassVar[float] = 15  # messages are small
    headers: ClassVar[str] = "authorization, content-type, last-event-id"
    settings: SupportSettings

    def check_caller(self, scope: Scope, headers: Headers) -> None:
        # Where keys were given, customers come by any host name. Else this is a trial on one
        # machine, and a strange page in its browser must not talk to the desk.
        if self.settings.is_trial:
            self.check_origin(headers)

    def counts(self, scope: Scope, headers: Headers) -> bool:
        streams = scope["path"].endswith(("/messages", "/queue")) and scope["method"] == "GET"
        return not (streams and wants_stream(headers))


def wants_stream(headers: Headers) -> bool:
    """Whether the client asks for events."""
    return "text/event-stream" in headers.get("accept", "").lower()


def address_of(request: Request) -> str:
    """The address that counts as one client: of IPv6 the first 64 bits, which one household has."""
    settings: SupportSettings = request.app.state.support.settings
    address = request.client.host if request.client else ""
    if settings.proxy:
        address = request.headers.get("x-forwarded-for", address).rpartition(",")[2].strip()
    try:
        parsed = ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return parsed.exploded[:19]
    return str(parsed)


class Rate:
    """Lets each address, or each conversation, do something at most `most` times a minute;
    `problem` says what was done too often."""

    def __init__(
        self, most: int, problem: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._problem, self._clock = most, problem, clock
        self._times: dict[str, deque[float]] = {}  # that of the latest is last

    def check(self, address: str) -> None:
        """Count one more. Raises `APIError` 429 if these are too many."""
        now = self._clock()
        times = self._times.pop(address, deque())
        while times and times[0] <= now - MINUTE:
            times.popleft()
        self._times[address] = times
        if len(times) >= self._most:
            wait = max(1, round(times[0] + MINUTE - now))
            raise APIError(
                429,
                f"{self._problem}; try again later",
                code="too_many",
                headers={"Retry-After": str(wait)},
            )
        times.append(now)
        while len(self._times) > REMEMBERED:  # the one that was quiet for longest
            self._times.pop(next(iter(self._times)))
