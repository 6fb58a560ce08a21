"""HTTP as uvicorn and h11 read it, made stricter: what a proxy could read in another way, and what would keep the event
loop from all others, is refused before it is a request."""

import asyncio
import re
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

READ = 2**14  # bytes read at once: a quarter of a megabyte of chunks of one byte takes a second
HEAD = 2**14  # bytes of a request's head
MOST_CHUNKS = 20_000  # of a body
# A line that goes on with the one before, or ends without a carriage return; or the head's end, where neither was.
FIRST_ODD_LINE = re.compile(rb"\n[ \t]|(?<!\r)\n|\r\n\r\n")


class Connection(h11.Connection):
    chunks = 0  # of the body that is being read

    def next_event(self) -> Any:
        if self.their_state is h11.IDLE:
            found = FIRST_ODD_LINE.search(self.trailing_data[0])
            if found and found[0] != b"\r\n\r\n":
                raise h11.RemoteProtocolError(
                    "lines of a request end with CR and LF, and none goes on in the next one"
                )
        event = super().next_event()
        if isinstance(event, h11.Request):
            self.chunks = 0
        self.chunks += isinstance(event, h11.Data)
        if self.chunks > MOST_CHUNKS:
            raise h11.RemoteProtocolError("too many chunks")
        return event


class Protocol(H11Protocol):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = Connection(h11.SERVER, HEAD)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        transport.max_size = READ  # type: ignore[attr-defined]
        super().connection_made(transport)

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:  # it was answered before its body had come
            self.transport.close()
