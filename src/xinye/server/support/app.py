"""Builds the app of a desk: its routes, guard, pages, metrics and OpenAPI document."""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, Response

from xinye.server.errors import HANDLERS, LATER, APIError
from xinye.server.metrics import RequestMetrics
from xinye.server.pages import Page
from xinye.server.support import customer, knowledge, operators
from xinye.server.support.roles import Door, operator
from xinye.server.support.state import Support

PAGES = Path(__file__).with_name("pages")
SCRIPT = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "cross-origin",  # pages of the shop load it
}


def build_app(parts: Support) -> FastAPI:
    """The app for a desk whose bots are already running."""
    app = FastAPI(
        title="Xinye support",
        version=version("xinye"),
        description="A desk: customers, the bot that answers them, and operators.",
        docs_url=None,  # these pages would load scripts from other sites
        redoc_url=None,
        openapi_url=None,  # it needs a key
        redirect_slashes=False,
        exception_handlers=HANDLERS,
    )
    metrics = RequestMetrics()
    app.state.support = parts
    app.add_middleware(Door, settings=parts.settings, on_answer=metrics.answered)
    for part in (customer, operators, knowledge):
        app.include_router(part.router)
    _add_pages(app, parts)
    _add_state(app, parts, metrics)
    return app


def _add_state(app: FastAPI, parts: Support, metrics: RequestMetrics) -> None:
    """Adds the routes for the server's state."""
    keyed = [Depends(operator)]

    @app.get("/health")
    async def health() -> dict[str, str]:
        """The server is running, even if it is busy."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """The bot is running."""
        if not parts.bots.is_alive():
            raise APIError(503, "the bot is not running", code="not_ready", headers=LATER)
        return {"status": "ok"}

    @app.get("/metrics", dependencies=keyed)
    async def figures() -> Response:
        """Metrics for Prometheus."""
        return metrics.response()

    @app.get("/openapi.json", dependencies=keyed, include_in_schema=False)
    async def document() -> dict[str, Any]:
        return app.openapi()


def _add_pages(app: FastAPI, parts: Support) -> None:
    """Adds the pages, and the script that shows one in a frame of a shop's page."""
    chat = Page.read(PAGES / "customer.html", framed_by=("'self'", *parts.settings.allow_origin))
    desk = Page.read(PAGES / "operator.html")
    allowed = json.dumps(parts.settings.allow_origin)
    widget = (PAGES / "widget.js").read_text("utf-8").replace("...ALLOWED", f"...{allowed}")

    @app.get("/", response_class=HTMLResponse)
    async def show_chat() -> HTMLResponse:
        """The page of customers."""
        return chat.response()

    @app.get("/desk", response_class=HTMLResponse)
    async def show_desk() -> HTMLResponse:
        """The page of operators."""
        return desk.response()

    @app.get("/widget.js")
    async def script() -> Response:
        """The script that adds the chat to a page."""
        return Response(widget, headers=SCRIPT, media_type="text/javascript")
