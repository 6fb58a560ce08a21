"""Builds the app: its routes, guard, web page, metrics and OpenAPI document."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Security
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer
from prometheus_client import Counter, Gauge, Histogram

from xinye.server import answering, chat, completions, embeddings, knowledge, tasks
from xinye.server.errors import HANDLERS, APIError
from xinye.server.graph import ServedGraph
from xinye.server.guard import Guard
from xinye.server.knowledge import ServedBase
from xinye.server.metrics import SECONDS, RequestMetrics
from xinye.server.models import ServedModel, find_model
from xinye.server.pages import Page
from xinye.server.schemas import ErrorAnswer, Health, Model, ModelList
from xinye.server.settings import ServeSettings
from xinye.server.team import Tally
from xinye.server.worker import EngineQueue, Worker

PAGE = Path(__file__).with_name("page.html")
ERRORS: dict[int | str, str] = {
    400: "The request is invalid: `param` names the field",
    401: "The API key is missing or wrong",
    403: "The host name or origin of the request is not allowed",
    404: "There is no such model, task or knowledge base",
    408: "The body did not arrive in time",
    413: "The body is too large",
    429: "Too many texts are waiting: try again after Retry-After seconds",
    500: "The server could not process the request",
    503: "Too many requests at once: try again after Retry-After seconds",
    "default": "Any other error",
}
PROMETHEUS = {"text/plain": {"schema": {"type": "string"}}}
# Values of an engine, for Prometheus.
GAUGES: tuple[tuple[str, str, Callable[[EngineQueue], float]], ...] = (
    ("running", "Texts that are being generated.", lambda queue: len(queue.engine.running)),
    ("waiting", "Texts that are waiting to be generated.", lambda queue: len(queue.engine.waiting)),
    (
        "cache_used_tokens",
        "Tokens in the KV cache that are in use.",
        lambda queue: queue.engine.cache.used,
    ),
    (
        "cache_total_tokens",
        "Tokens that the KV cache can hold.",
        lambda queue: queue.engine.cache.total,
    ),
)


def build_app(
    models: Mapping[str, ServedModel],
    bases: Mapping[str, ServedBase],
    settings: ServeSettings,
    worker: Worker,
    graph: ServedGraph | None = None,
    requests: Tally | None = None,
) -> FastAPI:
    """The app for knowledge bases, a graph, and models whose worker is already running. `requests`
    counts the requests in progress, of all workers together."""
    app = FastAPI(
        title="Xinye",
        version=version("xinye"),
        description="Texts from models of your own, by OpenAI's API.",
        docs_url=None,  # these pages would load scripts from other sites
        redoc_url=None,
        responses={
            status: {"model": ErrorAnswer, "description": text} for status, text in ERRORS.items()
        },
        redirect_slashes=False,
        exception_handlers=HANDLERS,
    )
    state, metrics = app.state, Metrics(models)
    state.models, state.bases, state.graph = models, bases, graph
    state.metrics = metrics
    state.settings, state.worker = settings, worker
    app.add_middleware(Guard, settings=settings, on_answer=metrics.answered, requests=requests)
    # The guard checks the key; this only adds it to the OpenAPI document.
    bearer = [] if settings.api_key is None else [Security(HTTPBearer(auto_error=False))]
    # `answering` before `tasks`, whose route takes any name of a task.
    for part in (completions, chat, embeddings, knowledge, answering, tasks):
        app.include_router(part.router, dependencies=bearer)
    _add_page(app)
    _add_state(app, bearer)
    return app


def _add_state(app: FastAPI, bearer: list[Any]) -> None:
    """Adds the routes for the server's state and its models."""
    state, metrics = app.state, app.state.metrics

    @app.get("/health")
    async def health() -> Health:
        """The server is running, even if it is busy."""
        return Health(status="ok")

    @app.get("/ready", dependencies=bearer)
    async def ready() -> Health:
        """The engines are running."""
        if not state.worker.is_alive():
            raise APIError(
                503, "the engines are not running", code="not_ready", headers={"Retry-After": "5"}
            )
        return Health(status="ok")

    @app.get(
        "/metrics",
        dependencies=bearer,
        response_class=Response,
        responses={200: {"content": PROMETHEUS}},
    )
    async def figures() -> Response:
        """Metrics for Prometheus."""
        return metrics.response()

    @app.get("/v1/models", dependencies=bearer)
    async def list_models() -> ModelList:
        """The models, and what each can do."""
        return ModelList(data=[describe(model) for model in state.models.values()])

    @app.get("/v1/models/{model:path}", dependencies=bearer)
    async def one_model(model: str, request: Request) -> Model:
        """One of the models."""
        return describe(find_model(request, model))


def describe(model: ServedModel) -> Model:
    """A model as /v1/models lists it."""
    return Model(id=model.id, created=model.created, max_model_len=model.context, tasks=model.tasks)


def _add_page(app: FastAPI) -> None:
    """Adds the web page."""
    page = Page.read(PAGE)

    @app.get("/", response_class=HTMLResponse)
    async def show_page() -> HTMLResponse:
        """A web page to write and chat with the models."""
        return page.response()


# -- metrics for Prometheus ----------------------------------------------------------------------


class Metrics(RequestMetrics):
    """The server's metrics for Prometheus."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        super().__init__()
        counter = partial(Counter, registry=self.registry)
        self.prompt_tokens = counter("xinye_prompt_tokens", "Tokens of prompts read.", ["model"])
        self.completion_tokens = counter("xinye_completion_tokens", "Tokens written.", ["model"])
        self.draft_tokens = counter(
            "xinye_draft_tokens", "Tokens guessed by speculative decoding.", ["model"]
        )
        self.accepted_tokens = counter(
            "xinye_accepted_tokens", "Of these, tokens that came true.", ["model"]
        )
        self.first = Histogram(
            "xinye_first_piece_seconds",
            "Seconds from a request to its first text.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        queues = {model.id: model.queue for model in models.values() if model.queue}
        for name, text, read in GAUGES:
            gauge = Gauge(
                f"xinye_{name}",
                text,
                ["model"],
                registry=self.registry,
                multiprocess_mode="livesum",  # of the workers that run
            )
            for identity, queue in queues.items():
                queue.gauges.append((gauge.labels(identity), read))
        for queue in queues.values():
            queue.show()
