"""Who asks: a customer with the token of a conversation, an operator, an admin, or nobody known;
and how often."""

import time
from collections import deque
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from fastapi import Request

from xinye.server.errors import APIError
from xinye.server.keys import Caller, caller, needs, unknown
from xinye.server.support.settings import SupportSettings

REMEMBERED = 10_000  # addresses
MINUTE = 60.0  # seconds

operator = needs("operator", "admin")
admin = needs("admin")


def is_operator(caller: Caller) -> bool:
    """Whether this is an operator, or an admin, who can do the same and more."""
    return caller.role in ("operator", "admin")


def somebody(request: Request) -> Caller:
    """Who asks. Raises `APIError` 401 without a token or key."""
    found = caller(request)
    if not found.token:
        raise unknown("the token of the conversation is missing")
    return found


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
