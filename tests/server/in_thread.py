"""A server in a thread of the test, and the header that a key is sent in."""

import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from xinye.server.http import LAST_SECONDS, Server


@contextmanager
def in_thread(server: Server, listener: socket.socket) -> Iterator[str]:
    """Inside, the server answers at the address that this yields. It ends after its clients have
    closed their connections, within its own limits. A request that it has to wait for is named, and
    what the server's thread does."""
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(10)
        if thread.is_alive():
            requests = [getattr(each, "scope", None) for each in server.server_state.connections]
            running = [str(each) for each in server.server_state.tasks]
            at = "".join(traceback.format_stack(sys._current_frames().get(thread.ident)))
            warnings.warn(f"did not end: {requests}, {running}; it is at {at}", stacklevel=2)
            thread.join(server.grace + LAST_SECONDS + 10)
        assert not thread.is_alive()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
