"""Runs the server of a monitor from loading it to shutting down."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from xinye.apps.monitor.monitor_settings import MonitorSettings
from xinye.server.http import StreamingServer, end_lost, listen, run
from xinye.server.hub import Hub
from xinye.server.keys import Keys
from xinye.server.monitor.app import build_app
from xinye.server.monitor.loop import Loop
from xinye.server.monitor.settings import BoardSettings
from xinye.server.monitor.state import Board, Work
from xinye.server.threads import Threads

OnReady = Callable[[Board, str], None]


@contextmanager
def opened(
    work: Work,
    about: MonitorSettings,
    settings: BoardSettings,
    keys: Mapping[str, str],
    clock: Callable[[], float] = time.time,
) -> Iterator[Board]:
    """Everything that serves a monitor, running. Its store is closed in the end."""
    with closing(work.monitor) as monitor:
        hub = Hub(settings.max_streams)
        loop = Loop(monitor, work, hub)
        threads = Threads(monitor.store.path, ingest=1, explain=1)
        try:
            loop.start()
            yield Board(settings, Keys(**keys), about, work, hub, loop, threads, clock, {})
        finally:
            hub.close()
            threads.stop()
            loop.stop(settings.grace)


def serve(
    load: Callable[[], Work],
    about: MonitorSettings,
    settings: BoardSettings,
    keys: Mapping[str, str],
    on_ready: OnReady = lambda *_: None,
) -> None:
    """Serve a monitor until SIGTERM or Ctrl-C. `load` opens its store and loads its models; `keys`
    are those of the roles; `on_ready` is called with the parts of the server and its URL.

    Raises `XinyeError` if the monitor cannot be loaded, or the port is in use."""
    settings.check()
    with listen(settings) as listener, opened(load(), about, settings, keys) as parts:
        end_lost(listener)
        server = StreamingServer(build_app(parts), settings, parts.hub)
        run(server, listener, lambda address: on_ready(parts, address))
