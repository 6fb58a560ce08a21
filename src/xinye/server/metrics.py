"""Figures for Prometheus."""

import time
from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Scope

from xinye.server.models import ServedModel
from xinye.server.worker import EngineQueue

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
# of an engine, at the time when they are asked for
GAUGES: tuple[tuple[str, str, Callable[[EngineQueue], float]], ...] = (
    ("running", "Texts being written.", lambda queue: len(queue.engine.running)),
    ("waiting", "Texts that wait for a place.", lambda queue: len(queue.engine.waiting)),
    (
        "cache_used_tokens",
        "Tokens whose keys and values are held for a text.",
        lambda queue: queue.engine.cache.used,
    ),
    (
        "cache_total_tokens",
        "Tokens that the cache has room for.",
        lambda queue: queue.engine.cache.total,
    ),
)


class Metrics:
    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self.registry = CollectorRegistry()
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, buckets=SECONDS, registry=self.registry)
        self.requests = counter("xinye_requests", "Requests answered.", ["route", "status"])
        self.seconds = histogram("xinye_request_seconds", "Seconds to a whole answer.", ["route"])
        self.prompt_tokens = counter("xinye_prompt_tokens", "Tokens of prompts read.", ["model"])
        self.completion_tokens = counter("xinye_completion_tokens", "Tokens written.", ["model"])
        self.first = histogram(
            "xinye_first_piece_seconds", "Seconds from a request to its first text.", ["model"]
        )
        queues = {model.id: model.queue for model in models.values() if model.queue}
        for name, text, read in GAUGES:
            gauge = Gauge(f"xinye_{name}", text, ["model"], registry=self.registry)
            for identity, queue in queues.items():
                gauge.labels(identity).set_function(partial(read, queue))
        Gauge(
            "xinye_start_time_seconds",
            "When the server started, in Unix time.",
            registry=self.registry,
        ).set(time.time())

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """A request has ended; `status` 0 means that the client had left."""
        route = getattr(scope.get("route"), "path", "other")  # never what the client typed
        self.requests.labels(route, status or 499).inc()
        self.seconds.labels(route).observe(seconds)
