"""HTTP by uvicorn and h11, made stricter here: a request is refused early if a proxy could read it
differently, or if it would block the event loop.
"""

import asyncio
import re
import signal
import socket
from collections.abc import Callable
from itertools import compress
from typing import Any, Protocol

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from xinye.errors import XinyeError
from xinye.server.errors import CLOSE, APIError
from xinye.server.hub import Hub
from xinye.server.team import Tally, Team

LAST_SECONDS = 5  # seconds after the grace time in which the last answers are sent
GONE_SECONDS = 60  # until the connection of a client that takes nothing more is ended
PATIENCE = 10  # how often a worker leaves a connection to others before it takes it
PAUSE = 0.001  # seconds between two times
READ = 2**14  # bytes read at once; 256 kB of one-byte chunks would take a second
HEAD = 2**14  # bytes of a request's head
MOST_CHUNKS = 20_000  # of a body
LOOK_AT = "Look at its first line and its headers, such as Content-Length."
# A line that continues the previous one, or ends without a carriage return; or the end of the head
# if there is neither.
FIRST_ODD_LINE = re.compile(rb"\n[ \t]|(?<!\r)\n|\r\n\r\n")
NOT_ASCII = re.compile(rb"[\x80-\xff]")


# -- reading requests ----------------------------------------------------------------------------


class Connection(h11.Connection):
    """h11's connection with stricter rules for lines and chunks."""

    chunks = 0  # chunks of the current body

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            self._escape_first_line()
            found = FIRST_ODD_LINE.search(self.trailing_data[0])
            if found and found[0] != b"\r\n\r\n":
                raise h11.RemoteProtocolError(
                    "each line of a request must end with CR and LF, and must not be folded"
                )
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = 0
        self.chunks += isinstance(event, h11.Data)
        if self.chunks > MOST_CHUNKS:
            raise h11.RemoteProtocolError("too many chunks")
        return event

    def _escape_first_line(self) -> None:
        """Escape the bytes of an address that are not ASCII. curl sends them as they were typed."""
        data: bytearray = self._receive_buffer._data
        end = data.find(b"\n")
        if end > 0 and not data[:end].isascii():
            data[:end] = NOT_ASCII.sub(lambda found: b"%%%02X" % found[0][0], data[:end])


class State(ServerState):
    """What a server's connections know of it."""

    stopping = False


class StrictProtocol(H11Protocol):
    """uvicorn's protocol with this connection, and with errors in the API's form."""

    server_state: State

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = Connection(h11.SERVER, HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.max_size = READ  # type: ignore[attr-defined]
        super().connection_made(transport)
        if self.server_state.stopping:
            # It was accepted before the server stopped listening, but begins after all others were
            # told to end. uvicorn would wait for its client until the grace time is over.
            self.shutdown()

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            refusal = APIError(400, f"{msg} {LOOK_AT}", code="invalid_http", headers=CLOSE)
            response = refusal.response()
            head = h11.Response(
                status_code=400, headers=response.raw_headers, reason=b"Bad Request"
            )
            for event in (head, h11.Data(data=bytes(response.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        # Otherwise the request was answered before its body arrived.
        if self.cycle:  # the app may have started on this request, and must not answer, too
            self.cycle.disconnected = True
        self.transport.close()


# -- serving -------------------------------------------------------------------------------------


class Place(Protocol):
    """The settings that say where a server listens, and how long it may take to end."""

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def grace(self) -> int: ...


class Server(uvicorn.Server):
    """A server that shuts down in order: `end` is called after the grace time, and ends what still
    runs then.
    """

    def __init__(
        self,
        app: FastAPI,
        settings: Place,
        end: Callable[[], None],
        connections: Tally | None = None,
    ) -> None:
        """`connections` counts the open connections."""
        self.app, self.grace, self.end = app, settings.grace, end
        self.connections = connections or Team().tally()
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                ws="none",
                access_log=False,
                log_config=None,
                server_header=False,
                proxy_headers=False,
                http=StrictProtocol,
                loop="asyncio",  # `StrictProtocol` and `FairListener` rely on it
                timeout_graceful_shutdown=settings.grace + LAST_SECONDS,
            )
        )
        self.server_state: State = State()

    async def on_tick(self, counter: int) -> bool:
        self.connections.own = len(self.server_state.connections)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.stopping = True
        end = asyncio.get_running_loop().call_later(self.grace, self.end)
        await super().shutdown(sockets)
        end.cancel()


class StreamingServer(Server):
    """A server whose streams end as soon as it shuts down: their clients come back to the next."""

    def __init__(self, app: FastAPI, settings: Place, hub: Hub) -> None:
        super().__init__(app, settings, lambda: None)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._hub.close()
        await super().shutdown(sockets)


class FairListener(socket.socket):
    """A listening socket that several workers accept from. One that has more connections than
    another that is ready leaves the next one to it."""

    def __init__(self, listener: socket.socket, connections: Tally, ready: Tally) -> None:
        super().__init__(fileno=listener.detach())
        self._connections, self._ready, self._left = connections, ready, 0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection. Raises `BlockingIOError` if there is none for this worker now."""
        own = self._connections.own
        of_ready = compress(self._connections.each, self._ready.each)
        if own > min(of_ready, default=own) and self._left < PATIENCE:
            self._left += 1
            self._rest()
            raise BlockingIOError
        accepted = super().accept()
        self._left = 0
        self._connections.own += 1
        return accepted

    def _rest(self) -> None:
        """Keep this socket out of the event loop for a moment."""
        loop = asyncio.get_running_loop()
        selector = loop._selector  # type: ignore[attr-defined]
        key = selector.unregister(self)

        def resume() -> None:
            if self.fileno() >= 0:  # the server may have closed it
                selector.register(self, key.events, key.data)

        loop.call_later(PAUSE, resume)


def run(server: Server, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Run a server until SIGTERM or Ctrl-C. `on_ready` is called with its URL."""
    # uvicorn handles signals while it runs, and raises them again when it ends; these handlers
    # ignore that.
    signals = {
        number: signal.signal(number, server.handle_exit)
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        on_ready(url_of(listener))
        server.run(sockets=[listener])
    finally:
        for number, handler in signals.items():
            signal.signal(number, handler)


def url_of(listener: socket.socket) -> str:
    """The URL of a server that listens here."""
    host, port = listener.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def listen(settings: Place) -> socket.socket:
    """A listening socket, opened before the models are loaded: a port in use fails at once, and
    early clients wait. Raises `XinyeError`.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        raise XinyeError(
            f"cannot listen on {settings.host}, port {settings.port}: {error.strerror or error}; "
            "choose another port with --port",
            1,
        ) from None
    return listener


def end_lost(listener: socket.socket) -> None:
    """Let the system end connections whose client has vanished or reads nothing, so that it does
    not hold a stream for hours."""
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listener.setsockopt(socket.IPPROTO_TCP, option, GONE_SECONDS * 1000)
