"""Connections to checked addresses that end in time, however slowly the other side sends."""

import http.client
import io
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any
from urllib.parse import SplitResult

from xinye.apps.monitor.sources.addresses import find_addresses
from xinye.apps.monitor.web_addresses import SCHEMES

BLOCK = 1 << 16  # bytes


class Deadline:
    """When a fetch must have ended. `time.monotonic` is real time, because sockets know no
    other."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds that are left. Raises `TimeoutError` if none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def without(self, wait: Callable[[], object]) -> None:
        """Wait. The time that this takes does not count."""
        start = time.monotonic()
        wait()
        self._end += time.monotonic() - start


class Connection(http.client.HTTPConnection):
    """A connection to one of the addresses of a host that may be fetched. It asks for the addresses
    once and connects to what it has checked. Proxies in the environment are not used, since they
    would choose the address."""

    def __init__(self, parts: SplitResult, allow: Collection[str], deadline: Deadline) -> None:
        self.default_port = SCHEMES[parts.scheme]
        super().__init__(parts.hostname or "", parts.port or self.default_port)
        self._secure = parts.scheme == "https"
        self._allow, self._deadline = allow, deadline

    def connect(self) -> None:
        """Connect. Raises `Refused`, and `OSError` if no address answers."""
        addresses = find_addresses(self.host, self.port, self._allow)
        for number, address in enumerate(addresses, 1):
            try:
                share = self._deadline.left() / (len(addresses) - number + 1)
                connected = socket.create_connection((address, self.port), share)
                break
            except OSError:
                if number == len(addresses):
                    raise
        try:
            if self._secure:
                connected.settimeout(self._deadline.left())
                connected = _trust().wrap_socket(connected, server_hostname=self.host)
        except BaseException:
            connected.close()
            raise
        self.sock = _Timed(connected, self._deadline)


@lru_cache(1)
def _trust() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Timed:
    """The part of a socket that `http.client` uses. Each call ends at the deadline."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(self._deadline.left())
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reader(self._socket, self._deadline))

    def close(self) -> None:
        self._socket.close()


class _Reader(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket, self._deadline = connected, deadline
        self._file = connected.makefile("rb", buffering=0)  # the socket stays open with it

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._socket.settimeout(self._deadline.left())
        return self._file.readinto(buffer)

    def close(self) -> None:
        self._file.close()
        super().close()


def read_body(response: http.client.HTTPResponse, size: int) -> tuple[bytes, bool]:
    """The unpacked body of a response, at most `size` bytes, and whether it was cut there. Raises
    `HTTPException` if it is damaged or ends early."""
    packing = response.headers.get("Content-Encoding", "").strip().lower() or "identity"
    if packing not in ("identity", "gzip", "x-gzip", "deflate"):
        raise http.client.HTTPException(f"its encoding {packing[:40]} is not known")
    unpacker = None if packing == "identity" else zlib.decompressobj(zlib.MAX_WBITS + 32)
    body = bytearray()
    while len(body) <= size and (block := response.read(BLOCK)):
        try:
            body += unpacker.decompress(block, size + 1 - len(body)) if unpacker else block
        except zlib.error:
            raise http.client.HTTPException("its gzip data is damaged") from None
    cut = len(body) > size
    if not cut and (response.length or (unpacker and body and not unpacker.eof)):
        raise http.client.HTTPException("it ends early")
    return bytes(body[:size]), cut
