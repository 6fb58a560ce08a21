"""Builds the app of a monitor: its routes and its page."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from xinye.server.application import new_app
from xinye.server.monitor import alerts, documents, figures
from xinye.server.monitor.state import Board, analyst
from xinye.server.pages import Page

PAGE = Path(__file__).with_name("pages") / "board.html"


def build_app(parts: Board) -> FastAPI:
    """The app for a monitor whose loop is already running."""
    about = "The board of an opinion monitor."
    app = new_app("monitor", about, parts, analyst, streams=("/events",))
    app.state.board = parts
    for part in (documents, alerts, figures):
        app.include_router(part.router)
    page = Page.read(PAGE)

    @app.get("/", response_class=HTMLResponse)
    async def show() -> HTMLResponse:
        """The board."""
        return page.response()

    return app
