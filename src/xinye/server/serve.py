"""From models to a running server, and to its end."""

import asyncio
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from fastapi import FastAPI

from xinye.errors import XinyeError
from xinye.server.app import build_app
from xinye.server.errors import APIError
from xinye.server.models import ServedModel, load_models
from xinye.server.protocol import Protocol
from xinye.server.settings import ServeSettings
from xinye.server.worker import Worker

LAST_SECONDS = 5  # after the grace time, for the last words to go out


class Server(uvicorn.Server):
    """Ends in an orderly way: what still runs after the grace time is told so."""

    def __init__(self, app: FastAPI, settings: ServeSettings) -> None:
        self.app, self.grace = app, settings.grace
        config = uvicorn.Config(
            app,
            lifespan="off",
            ws="none",
            access_log=False,
            log_config=None,
            server_header=False,
            proxy_headers=False,
            http=Protocol,
            timeout_graceful_shutdown=settings.grace + LAST_SECONDS,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end = asyncio.get_running_loop().call_later(self.grace, self._end_all)
        await super().shutdown(sockets)
        end.cancel()

    def _end_all(self) -> None:
        for queue in self.app.state.worker.queues:
            for job in [*queue.jobs]:
                job.fail(
                    APIError(
                        503, "the server is being stopped", code="shutting_down", retry_after=5
                    )
                )


def serve(
    names: Sequence[str],
    settings: ServeSettings,
    on_ready: Callable[[dict[str, ServedModel], str], None] = lambda *_: None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C; `on_ready` gets them by id, and the server's address.

    Raises `XinyeError` where a model cannot be loaded, or the port is taken.
    """
    settings.check()
    listener = listen(settings)
    with listener:
        worker = Worker()
        models = load_models(names, settings, worker)
        worker.start()
        host, port = listener.getsockname()[:2]
        server = Server(build_app(models, settings, worker), settings)

        def stop(*_: Any) -> None:
            server.should_exit = True

        # While it runs, uvicorn hears the signals; at its end it raises them again, when they have
        # done their work.
        signals = {
            number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            on_ready(models, f"http://{f'[{host}]' if ':' in host else host}:{port}")
            server.run(sockets=[listener])
        finally:
            for number, handler in signals.items():
                signal.signal(number, handler)
            worker.stop()


def listen(settings: ServeSettings) -> socket.socket:
    """A socket that listens, before the models are loaded: a port in use is known at once, and who
    asks early waits."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise XinyeError(
            f"cannot listen at {settings.host}, port {settings.port}: {reason}; choose another "
            "with --port",
            1,
        ) from None
    return listener
