"""Runs a server of models from loading them to shutting down."""

from collections.abc import Callable, Sequence

from xinye.server.app import build_app
from xinye.server.errors import LATER, APIError
from xinye.server.graph import ServedGraph
from xinye.server.http import Server, listen, run
from xinye.server.knowledge import ServedBase, load_bases
from xinye.server.models import ServedModel, load_models
from xinye.server.settings import ServeSettings
from xinye.server.worker import Worker

OnReady = Callable[[dict[str, ServedModel], dict[str, ServedBase], ServedGraph | None, str], None]


def serve(
    names: Sequence[str],
    settings: ServeSettings,
    on_ready: OnReady = lambda *_: None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C. `on_ready` is called with the models by id, the
    knowledge bases by name, the graph, and the server's URL.

    Raises `XinyeError` if a model, a knowledge base or the graph cannot be loaded, or the port is
    in use.
    """
    settings.check()
    with listen(settings) as listener:
        bases = load_bases(settings.knowledge)
        worker = Worker()
        models = load_models(names, settings, worker)
        graph = ServedGraph.read(settings.graph, models) if settings.graph else None
        models |= graph.models if graph else {}
        worker.start()
        app = build_app(models, bases, settings, worker, graph)
        server = Server(app, settings, lambda: fail_all(worker))
        try:
            run(server, listener, lambda address: on_ready(models, bases, graph, address))
        finally:
            worker.stop()


def fail_all(worker: Worker) -> None:
    """End all texts that are being generated or wait for it, with an error."""
    error = APIError(503, "the server is shutting down", code="shutting_down", headers=LATER)
    for queue in worker.queues:
        for job in [*queue.jobs]:
            job.fail(error)
