"""`RequestMetrics`: what every server counts for Prometheus."""

import os
import time

from fastapi.responses import Response
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    values,
)
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import Scope

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the variable by which the library finds the files of others
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class RequestMetrics:
    """The requests that were answered, by route and status, and how long they took; of all workers
    together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "xinye_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "xinye_request_seconds",
            "Seconds to a whole answer.",
            ["route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        Gauge(
            "xinye_start_time_seconds",
            "When the server started, in Unix time.",
            registry=self.registry,
            multiprocess_mode="min",
        ).set(time.time())

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request that has ended. `status` 0 means that the client left before the
        answer.
        """
        route = getattr(scope.get("route"), "path", "other")  # never the path that the client sent
        self.requests.labels(route, status or 499).inc()
        self.seconds.labels(route).observe(seconds)

    def response(self) -> Response:
        """All metrics, as Prometheus reads them."""
        registry = self.registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)
        return Response(
            generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8"
        )


def share_metrics(folder: str) -> None:
    """Keep all metrics that this process or its children make from now on in files of a folder,
    where each of them finds those of all."""
    os.environ[FOLDER] = folder
    values.ValueClass = values.get_value_class()
