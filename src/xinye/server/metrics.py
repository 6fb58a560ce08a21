"""Figures for Prometheus."""

import time
from collections.abc import Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.types import Scope

from xinye.server.models import Served

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    def __init__(self, models: Mapping[str, Served]) -> None:
        self.models = models
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "xinye_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "xinye_request_seconds",
            "Seconds to a whole answer.",
            ["route"],
            buckets=SECONDS,
            registry=registry,
        )
        self.prompt_tokens = Counter(
            "xinye_prompt_tokens", "Tokens of prompts read.", ["model"], registry=registry
        )
        self.completion_tokens = Counter(
            "xinye_completion_tokens", "Tokens written.", ["model"], registry=registry
        )
        self.first = Histogram(
            "xinye_first_piece_seconds", "Seconds from a request to its first text.", ["model"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        gauges = {
            "running": "Texts being written.",
            "waiting": "Texts that wait for a place.",
            "cache_used_tokens": "Tokens whose keys and values are held for a text.",
            "cache_total_tokens": "Tokens that the cache has room for.",
        }
        self.gauges = {
            name: Gauge(f"xinye_{name}", text, ["model"], registry=registry)
            for name, text in gauges.items()
        }
        started = Gauge(
            "xinye_start_time_seconds", "When the server started, in Unix time.", registry=registry
        )
        started.set(time.time())

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """A request has ended; `status` 0 means that the client had left."""
        route = getattr(scope.get("route"), "path", "other")  # never what the client typed
        self.requests.labels(route, status or 499).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        for served in self.models.values():
            if served.line is None:
                continue
            engine: Any = served.line.engine
            values = (
                len(engine.running),
                len(engine.waiting),
                engine.cache.used,
                engine.cache.total,
            )
            for gauge, value in zip(self.gauges.values(), values, strict=True):
                gauge.labels(served.id).set(value)
        return generate_latest(self.registry)
