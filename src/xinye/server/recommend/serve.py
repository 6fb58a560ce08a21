"""Runs the server of recommendations from loading it to shutting down."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from xinye.apps.recommend.behaviour import Behaviour
from xinye.apps.recommend.recommender import Recommending
from xinye.apps.recommend.service import Shop
from xinye.server.http import Server, end_lost, listen, run
from xinye.server.keys import Keys
from xinye.server.recommend.app import build_app
from xinye.server.recommend.settings import RecommendServeSettings
from xinye.server.recommend.state import Service
from xinye.server.threads import Threads

OnReady = Callable[[Service, str], None]
WORKERS = 2  # threads that compute recommendations


@contextmanager
def opened(
    recommender: Recommending,
    place: Path,
    store: Path,
    settings: RecommendServeSettings,
    keys: Mapping[str, str],
) -> Iterator[Service]:
    """Everything that serves the recommender of a run in the folder `place`. Its store is closed in
    the end."""
    with closing(Behaviour(store)) as behaviour:
        threads = Threads(behaviour.store.path, place, recommend=WORKERS)
        try:
            shop = Shop(recommender, behaviour, place)
            yield Service(settings, Keys(**keys), shop, threads)
        finally:
            threads.stop()


def serve(
    load: Callable[[], Recommending],
    place: Path,
    store: Path,
    settings: RecommendServeSettings,
    keys: Mapping[str, str],
    on_ready: OnReady = lambda *_: None,
) -> None:
    """Serve a run until SIGTERM or Ctrl-C. `load` loads its recommender; `keys` are those of the
    roles; `on_ready` is called with the parts of the server and its URL.

    Raises `XinyeError` if the run cannot be loaded, or the port is in use."""
    settings.check()
    with listen(settings) as listener, opened(load(), place, store, settings, keys) as parts:
        end_lost(listener)
        server = Server(build_app(parts), settings, lambda: None)
        run(server, listener, lambda address: on_ready(parts, address))
