"""The app: its routes, its guard, its page, and the document that describes it."""

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Security
from fastapi.responses import HTMLResponse, Response
from fastapi.security import HTTPBearer

from xinye.server import chat, completions, errors, reading
from xinye.server.errors import APIError
from xinye.server.guard import Guard
from xinye.server.metrics import Metrics
from xinye.server.models import Served
from xinye.server.schemas import ErrorAnswer, Health, Model, ModelList
from xinye.server.settings import ServeSettings
from xinye.server.worker import Worker
from xinye.server.writing import served

PAGE = Path(__file__).with_name("page.html")
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The request is wrong: `param` names the field"},
    401: {"description": "The API key is missing or wrong"},
    403: {"description": "Asked by another name or origin than this server answers to"},
    404: {"description": "There is no such model, or task"},
    408: {"description": "The body did not arrive in time"},
    413: {"description": "The body is too large"},
    429: {"description": "Too many texts wait: try again after Retry-After seconds"},
    500: {"description": "The server failed at this request"},
    503: {"description": "Too many requests at once: try again after Retry-After seconds"},
    "default": {"description": "Any other error"},
}


def build_app(models: Mapping[str, Served], settings: ServeSettings, worker: Worker) -> FastAPI:
    """The app for models whose worker runs already."""
    bearer = (
        [] if settings.api_key is None else [Security(HTTPBearer(auto_error=False))]
    )  # for the document
    app = FastAPI(
        title="Xinye",
        version=version("xinye"),
        description="Texts from models of your own, by OpenAI's API.",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        responses={status: {"model": ErrorAnswer, **what} for status, what in ERRORS.items()},
        redirect_slashes=False,
    )
    metrics = Metrics(models)
    app.state.models, app.state.settings, app.state.worker, app.state.metrics = (
        models,
        settings,
        worker,
        metrics,
    )
    errors.install(app)
    app.add_middleware(Guard, settings=settings, metrics=metrics)
    for part in (chat, completions, reading):
        app.include_router(part.router, dependencies=bearer)
    _page(app)

    @app.get("/health")
    async def health() -> Health:
        """The server is there; also while engines work."""
        return Health(status="ok")

    @app.get("/ready", dependencies=bearer)
    async def ready() -> Health:
        """The engines work."""
        if not worker.alive:
            raise APIError(503, "the engines do not run", code="not_ready", retry_after=5)
        return Health(status="ok")

    @app.get(
        "/metrics",
        dependencies=bearer,
        response_class=Response,
        responses={200: {"content": PROMETHEUS}},
    )
    async def figures() -> Response:
        """Figures for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/v1/models", dependencies=bearer)
    async def list_models() -> ModelList:
        """The models, and what each can do."""
        return ModelList(data=[describe(model) for model in models.values()])

    @app.get("/v1/models/{model:path}", dependencies=bearer)
    async def one_model(model: str, request: Request) -> Model:
        """One of the models."""
        return describe(served(request, model))

    return app


PROMETHEUS = {"text/plain": {"schema": {"type": "string"}}}


def describe(model: Served) -> Model:
    return Model(id=model.id, created=model.created, max_model_len=model.context, tasks=model.tasks)


def _page(app: FastAPI) -> None:
    """The first page. A browser runs its own script and style, known by their hashes, and nothing else."""
    text = PAGE.read_text("utf-8")

    def hashes(tag: str) -> str:
        parts = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.S)
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
            for part in parts
        )

    policy = "; ".join([
        "default-src 'none'",
        f"script-src {hashes('script')}",
        f"style-src {hashes('style')}",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    ])  # fmt: skip
    headers = {
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Frame-Options": "DENY",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-cache",
    }

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """A page to write and chat with the models."""
        return HTMLResponse(text, headers=headers)
