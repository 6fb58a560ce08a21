"""A real server on a real port, in a thread of this process; it computes in float32, the same on
every machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai

from server.in_thread import in_thread
from xinye.data.tokenizer import Tokenizer
from xinye.model.config import GPTConfig
from xinye.server.app import build_app
from xinye.server.graph import ServedGraph
from xinye.server.http import Server, listen
from xinye.server.knowledge import load_bases
from xinye.server.models import load_models
from xinye.server.serve import fail_all
from xinye.server.settings import ServeSettings
from xinye.server.worker import Worker

TOKENIZER = Tokenizer.train(
    ["从前有一片新叶，住在树上。The leaf said hello, and fell."], kind="char"
)
SHAPE = GPTConfig("modern", TOKENIZER.vocab_size, 32, 1, 2, 2, 16, 64, 256)


class Running:
    """A server that runs: its address, what it serves, and clients of it."""

    def __init__(self, server: Server, address: str, key: str | None) -> None:
        self.server, self.address, self.key = server, address, key
        self.app = server.app
        self.http = httpx.Client(base_url=address, timeout=60)
        self.openai = openai.OpenAI(
            base_url=f"{address}/v1", api_key=key or "none", max_retries=0, timeout=60
        )

    @property
    def queue(self) -> Any:
        return self.app.state.models["tiny"].queue


@contextmanager
def serving(
    names: list[str], change: Callable[[Any], None] = lambda _: None, **settings: Any
) -> Iterator[Running]:
    """Serve; `change` may touch the models before they are served."""
    asked = ServeSettings(port=0, dtype="float32", **settings)
    worker = Worker()
    models = load_models(names, asked, worker)
    change(models)
    graph = ServedGraph.read(asked.graph, models) if asked.graph else None
    models |= graph.models if graph else {}
    worker.start()
    listener = listen(asked)
    bases = load_bases(asked.knowledge)
    server = Server(build_app(models, bases, asked, worker, graph), asked, lambda: fail_all(worker))
    try:
        with in_thread(server, listener) as address:
            running = Running(server, address, asked.api_key)
            with running.http, running.openai:
                yield running
    finally:
        worker.stop()


def until(condition):
    """Wait for what another thread or process does soon."""
    for _ in range(4000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it never became so")
