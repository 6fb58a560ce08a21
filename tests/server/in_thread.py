"""A server in a thread of the test, and the header that a key is sent in."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xinye.server.http import Server


@contextmanager
def in_thread(server: Server, listener: socket.socket) -> Iterator[str]:
    """Inside, the server answers at the address that this yields. It ends after its clients have
    closed their connections."""
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"} if key else {}
