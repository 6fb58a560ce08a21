"""Fetches a page over HTTP within limits of time, size and redirects, from checked addresses."""

import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from typing import NoReturn
from urllib.parse import SplitResult, urljoin

from xinye.apps.monitor.retry_after import retry_after
from xinye.apps.monitor.sources.connections import Connection, Deadline, read_body
from xinye.apps.monitor.web_addresses import ascii_host, checked_url
from xinye.errors import Unavailable

MOST_GATES = 1_000  # hosts that are remembered
USER_AGENT = "Xinye-Monitor"
ACCEPTED = "application/rss+xml,application/atom+xml,application/xml,text/xml,*/*;q=0.1"
NOT_MODIFIED = 304
REDIRECTS = (301, 302, 303, 307, 308)
_LATER = (429, 503)  # answers that may say when to come again


@dataclass(frozen=True)
class FetchLimits:
    """The limits of one fetch: bytes of a page (unpacked), seconds in all, redirects, and seconds
    between two requests to one host."""

    size: int = 10_000_000
    seconds: float = 30.0
    redirects: int = 5
    gap: float = 2.0


@dataclass(frozen=True)
class Page:
    """A page that was fetched. `data` is None if it has not changed since. `cut` is true if it is
    larger than the limit, and `url` is where redirects led."""

    data: bytes | None
    url: str
    cut: bool = False
    charset: str | None = None
    etag: str = ""
    modified: str = ""


class FetchError(Unavailable):
    """A page that could not be fetched. `retry_after` is in how many seconds the server wants to
    be asked again, None if it does not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Fetcher:
    """Fetches pages. Several threads can use it, but at each host only one is at a time, with a gap
    between two requests."""

    def __init__(
        self,
        limits: FetchLimits | None = None,
        allow: Collection[str] = (),
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`allow` names hosts in private networks that may be fetched. `clock` gives seconds since
        1970."""
        self.limits = limits or FetchLimits()
        self._allow = frozenset(map(ascii_host, allow))
        self._clock = clock
        self._gates = _Gates(self.limits.gap, clock, sleep)

    def fetch(self, url: str, etag: str = "", modified: str = "") -> Page:
        """The page at this address, unless it has not changed since it had this ETag and this
        Last-Modified.

        Raises `Refused` for an address that must not be fetched, and `FetchError`."""
        deadline = Deadline(self.limits.seconds)
        conditions = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in conditions.items() if value}
        parts = checked_url(url)
        # Whoever owns a public host must not be able to lead into the own network.
        allow = self._allow if parts.hostname in self._allow else frozenset[str]()
        for _ in range(self.limits.redirects + 1):
            host = parts.hostname or ""
            with self._gates.entered(host, deadline), _explained(host, deadline.seconds):
                found = self._request(parts, headers, allow, deadline)
            if isinstance(found, Page):
                return found
            parts = checked_url(urljoin(parts.geturl(), found))
        raise FetchError(f"it redirects more than {self.limits.redirects} times")

    def _request(
        self,
        parts: SplitResult,
        headers: Mapping[str, str],
        allow: Collection[str],
        deadline: Deadline,
    ) -> Page | str:
        """The page, or the address that it redirects to."""
        connection = Connection(parts, allow, deadline)
        try:
            path = f"{parts.path}?{parts.query}" if parts.query else parts.path
            own = {"User-Agent": USER_AGENT, "Accept": ACCEPTED, "Accept-Encoding": "gzip"}
            connection.request("GET", path, headers={**own, "Connection": "close", **headers})
            with connection.getresponse() as response:
                return self._answer(response, parts.geturl())
        finally:
            connection.close()

    def _answer(self, response: http.client.HTTPResponse, url: str) -> Page | str:
        status, to = response.status, response.headers.get("Location")
        if status == NOT_MODIFIED:
            return Page(None, url)
        if status in REDIRECTS and to:
            return to
        if status != 200:
            self._refuse(status, response.headers)
        data, cut = read_body(response, self.limits.size)
        return Page(
            data, url, cut, response.headers.get_content_charset(),
            response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""),
        )  # fmt: skip

    def _refuse(self, status: int, headers: Message) -> NoReturn:
        problem = f"the server answers with status {status}"
        header = headers.get("Retry-After", "") if status in _LATER else ""
        raise FetchError(problem, retry_after(header, self._clock()))


class _Gates:
    """Lets one thread at a time to a host, with a gap between two of them."""

    def __init__(
        self, gap: float, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
        self._gap, self._clock, self._sleep = gap, clock, sleep
        self._lock = threading.Lock()
        self._gates: dict[str, _Gate] = {}

    @contextmanager
    def entered(self, host: str, deadline: Deadline) -> Iterator[None]:
        """Inside, no other thread is at this host. Waiting does not count towards the deadline."""
        with self._lock:
            if len(self._gates) >= MOST_GATES:
                self._gates = {name: gate for name, gate in self._gates.items() if gate.threads}
            gate = self._gates.setdefault(host, _Gate())
            gate.threads += 1
        try:
            deadline.without(gate.lock.acquire)
            try:
                if gate.left is not None:
                    # a clock that was set back must not make it wait for longer than the gap
                    wait = min(self._gap, gate.left + self._gap - self._clock())
                    if wait > 0:
                        deadline.without(lambda: self._sleep(wait))
                yield
            finally:
                gate.left = self._clock()
                gate.lock.release()
        finally:
            with self._lock:
                gate.threads -= 1


@dataclass
class _Gate:
    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: int = 0  # inside or waiting
    left: float | None = None  # when the last thread left


@contextmanager
def _explained(host: str, seconds: float) -> Iterator[None]:
    """Inside, errors of the network become `FetchError`."""
    try:
        yield
    except TimeoutError:
        problem = f"{host}: no complete answer within {seconds:g} seconds"
    except socket.gaierror:
        problem = f"{host}: there is no host of this name, or the network is down"
    except ssl.SSLCertVerificationError as error:
        problem = f"{host}: its certificate is not valid ({error.verify_message})"
    except OSError as error:
        problem = f"{host}: it cannot be reached ({error.strerror or error})"
    except http.client.HTTPException as error:
        problem = f"{host}: the answer cannot be read ({str(error)[:100] or type(error).__name__})"
    else:
        return
    raise FetchError(problem)
