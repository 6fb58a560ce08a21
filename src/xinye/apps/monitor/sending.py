"""What channels share: a request that ends in time, and why a message did not arrive."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from smtplib import SMTPException
from urllib.parse import quote, urlsplit

from xinye import __version__
from xinye.apps.monitor.retry_after import retry_after
from xinye.errors import XinyeError

LONGEST_ANSWER = 65_536  # bytes that are read of an answer
# Such an answer stays the same, however often the message is sent. All else can be put right
# without changing the message: a receiver that is being updated answers 404, and a secret that is
# wrong 401.
FOR_GOOD = {
    400: "it does not understand the message",
    410: "the address is gone",
    413: "the message is too large",
    415: "it does not read JSON",
    422: "it cannot use the message",
}
PROBLEMS = FOR_GOOD | {
    401: "it does not accept the signature",
    403: "it does not allow this",
    404: "nothing is at this address",
    429: "it gets too many messages",
}


class Undelivered(XinyeError):
    """Why a message did not arrive. Its text holds no address and no secret. `for_good`: it is not
    worth another attempt; `wait`: the seconds that the receiver asks for."""

    def __init__(self, message: str, for_good: bool = False, wait: float = 0.0) -> None:
        super().__init__(message, exit_code=1)
        self.for_good, self.wait = for_good, wait


@dataclass(frozen=True)
class Answer:
    """What a receiver answers."""

    status: int
    retry_after: str
    text: bytes = field(repr=False)

    def check(self, now: float) -> None:
        """Raise `Undelivered` unless the answer says that the message has arrived."""
        if 200 <= self.status <= 299:
            return
        problem = PROBLEMS.get(self.status, "an error of the receiver")
        if 300 <= self.status <= 399:
            problem = "it names another address, which is not followed; correct the address"
        raise Undelivered(
            f"the receiver answered with status {self.status}: {problem}",
            self.status in FOR_GOOD,
            retry_after(self.retry_after, now) or 0.0,
        )


def post(
    url: str, body: bytes, headers: Mapping[str, str], timeout: float, read: bool = False
) -> Answer:
    """The answer to a POST request with JSON, its text only if `read`. Redirects are not followed.
    Raises `Undelivered` without an answer in time."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"xinye/{__version__}",
        "Connection": "close",
        **headers,
    }
    connection: HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = HTTPSConnection(host, parts.port, timeout=timeout, context=context)
    else:
        connection = HTTPConnection(host, parts.port, timeout=timeout)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?") if parts.query else ""
    with explained(timeout, lambda: connection.sock):
        try:
            connection.request("POST", path + query, body, headers)
            with connection.getresponse() as response:
                text = response.read(LONGEST_ANSWER) if read else b""
                return Answer(response.status, response.getheader("Retry-After", ""), text)
        finally:
            connection.close()


@contextmanager
def explained(seconds: float, connected: Callable[[], socket.socket | None]) -> Iterator[None]:
    """Inside, errors of a connection become `Undelivered`, without the texts of servers, which
    might repeat a secret. The connection is cut after so many seconds, also if the other side sends
    a byte now and then."""
    late = threading.Event()
    try:
        with _deadline(seconds, connected, late):
            yield
    except Undelivered:
        raise
    except (OSError, HTTPException, SMTPException, UnicodeError, ValueError) as error:
        # smtplib reports that the time is over as a lost connection.
        cause = error.__context__ if isinstance(error, SMTPException) else error
        if late.is_set() or isinstance(cause, TimeoutError):
            raise Undelivered(f"no answer within {seconds:g} seconds") from None
        raise Undelivered(_problem(error)) from None


@contextmanager
def _deadline(
    seconds: float, connected: Callable[[], socket.socket | None], late: threading.Event
) -> Iterator[None]:
    ended = threading.Event()

    def watch() -> None:
        wait = seconds
        while not ended.wait(wait):
            late.set()
            wait = 0.1  # it may be connecting now; cut it as soon as it is
            if connection := connected():
                with suppress(OSError):
                    # Not that of an SSL socket, which first changes what another thread reads.
                    socket.socket.shutdown(connection, socket.SHUT_RDWR)

    watcher = threading.Thread(target=watch, daemon=True, name="deadline")
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()


def _problem(error: Exception) -> str:
    match error:
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {error.verify_message}"
        case ssl.SSLError():
            return "no encrypted connection is possible"
        case ConnectionRefusedError():
            return "the connection is refused; nothing listens there"
        case socket.gaierror():
            return "the name of the host is unknown"
        case ConnectionError() | HTTPException() | SMTPException():
            return "the connection broke off"
        case OSError():
            reason = error.strerror or type(error).__name__
            return f"the connection failed ({reason})"
    return f"the message cannot be sent ({type(error).__name__})"
