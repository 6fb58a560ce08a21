"""`RequestMetrics`: what every server counts for Prometheus."""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

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


@contextmanager
def shared_metrics() -> Iterator[None]:
    """Within this context, this process and its children keep all metrics in files of a folder,
    where each of them finds those of all. The folder is in memory if possible: files that are
    mapped there do not meet a full disk."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    alone = values.ValueClass
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="xinye-", dir=memory)
    values.ValueClass = values.get_value_class()
    try:
        yield
    finally:
        forget_metrics()
        del os.environ[FOLDER]
        values.ValueClass = alone


def use_metrics() -> int:
    """Let others know that this process uses the shared metrics. Returns what `leave_metrics`
    needs, a file descriptor of its own."""
    folder = os.open(os.environ[FOLDER], os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_SH)
    return folder


def leave_metrics(folder: int) -> None:
    """Delete the files that hold the shared metrics if no other process uses them."""
    with suppress(BlockingIOError):
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        forget_metrics()


def forget_metrics() -> None:
    """Delete the files that hold the shared metrics."""
    shutil.rmtree(os.environ[FOLDER], ignore_errors=True)
