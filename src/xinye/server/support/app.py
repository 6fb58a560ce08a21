"""Builds the app of a desk: its routes and pages."""

import json
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response

from xinye.server.application import new_app
from xinye.server.pages import Page
from xinye.server.support import customer, knowledge, operators
from xinye.server.support.roles import operator
from xinye.server.support.state import Support

PAGES = Path(__file__).with_name("pages")
SCRIPT = {
    "Cache-Control": "no-cache",
    "Cross-Origin-Resource-Policy": "cross-origin",  # pages of the shop load it
}


def build_app(parts: Support) -> FastAPI:
    """The app for a desk whose bots are already running."""
    app = new_app(
        "support",
        "A desk: customers, the bot that answers them, and operators.",
        parts,
        operator,
        streams=("/messages", "/queue"),
        body_seconds=15,  # messages are small
    )
    app.state.support = parts
    for part in (customer, operators, knowledge):
        app.include_router(part.router)
    _add_pages(app, parts)
    return app


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
