"""Runs a server of models from loading them to shutting down."""

import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence

import torch
from fastapi import FastAPI

from xinye import machine
from xinye.console import console
from xinye.errors import XinyeError, plural
from xinye.server.app import build_app
from xinye.server.errors import LATER, APIError
from xinye.server.graph import ServedGraph
from xinye.server.http import FairListener, Server, listen, run, url_of
from xinye.server.knowledge import ServedBase, load_bases
from xinye.server.models import ServedModel, load_models
from xinye.server.settings import ServeSettings
from xinye.server.team import Tally, Team
from xinye.server.worker import Worker

# PyTorch and oneDNN keep code for each shape of a bf16 product. Of 1,024 shapes, their own default,
# this takes more memory than a small model, and keeping fewer costs hardly any time.
SHAPES = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}
log = logging.getLogger("xinye.server")
OnReady = Callable[[dict[str, ServedModel], dict[str, ServedBase], ServedGraph | None, str], None]


def serve(
    names: Sequence[str],
    settings: ServeSettings,
    on_ready: OnReady = lambda *_: None,
    on_loaded: Callable[[], None] = lambda: None,
) -> None:
    """Serve models until SIGTERM or Ctrl-C. `on_loaded` is called when everything is loaded.
    `on_ready` is called with the models by id, the knowledge bases by name, the graph, and the
    server's URL.

    Raises `XinyeError` if a model, a knowledge base or the graph cannot be loaded, or the port is
    in use.
    """
    settings.check()
    for name, count in SHAPES.items():
        os.environ.setdefault(name, count)
    threads = threads_of_each(settings.workers) if settings.workers > 1 else 0
    team = Team(settings.workers)
    requests, connections = team.tally(), team.tally()
    with FairListener(listen(settings), connections, team.ready) as listener:
        bases = load_bases(settings.knowledge)
        worker = Worker()
        models = load_models(names, settings, worker, team)
        graph = ServedGraph.read(settings.graph, models) if settings.graph else None
        models |= graph.models if graph else {}
        on_loaded()

        def answer(on_address: Callable[[str], None]) -> None:
            worker.start()
            app = build_app(models, bases, settings, worker, graph, requests)
            server = TextServer(app, settings, worker, connections)
            try:
                run(server, listener, on_address)
            finally:
                worker.stop()

        def ready(address: str) -> None:
            on_ready(models, bases, graph, address)

        if settings.workers == 1:
            answer(ready)
        else:
            from xinye.server.workers import Workers  # needs Linux

            address = url_of(listener)
            Workers(team, settings, listener, threads, answer).run(lambda: ready(address))


class TextServer(Server):
    """A server that tells for how many texts it waits when it shuts down."""

    def __init__(
        self, app: FastAPI, settings: ServeSettings, worker: Worker, connections: Tally
    ) -> None:
        super().__init__(app, settings, lambda: fail_all(worker), connections)
        self._worker = worker

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if texts := sum(queue.texts.own for queue in self._worker.queues):
            said = f"stopping; waiting for {plural(texts, 'text')} to be finished"
            log.info(said)
        await super().shutdown(sockets)


def threads_of_each(workers: int) -> int:
    """The threads that each worker computes with. From now on this process has one. Raises
    `XinyeError` if several workers are no use on this machine."""
    if sys.platform != "linux":
        raise XinyeError("--workers: several processes can share the weights only on Linux", 1)
    if machine.device().type != "cpu":
        raise XinyeError(
            "--workers: on a GPU, one process computes the texts of all requests together; leave "
            "it out",
            1,
        )
    cores = min(torch.get_num_threads(), machine.allowed_cores())
    if workers > cores:
        said = f"{workers} workers share {cores} cores; more workers than cores are rarely faster"
        console.print(f"note: {said}", soft_wrap=True)
    # Threads would not survive the fork: those of PyTorch, of other libraries with OpenMP, and of
    # the tokenizers.
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    return max(1, cores // workers)


def fail_all(worker: Worker) -> None:
    """End all texts that are being generated or wait for it, with an error."""
    error = APIError(503, "the server is shutting down", code="shutting_down", headers=LATER)
    for queue in worker.queues:
        for job in [*queue.jobs]:
            job.fail(error)
