"""Builds the app of a recommender: its routes and its page."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from xinye.server.application import new_app
from xinye.server.pages import Page
from xinye.server.recommend import routes
from xinye.server.recommend.state import Service, client

PAGE = Path(__file__).with_name("pages") / "recommend.html"


def build_app(parts: Service) -> FastAPI:
    """The app for a recommender that is loaded."""
    about = "Recommendations that use the newest events and items at once."
    app = new_app("recommend", about, parts, client, streams=(), body_seconds=15)
    app.state.service = parts
    app.include_router(routes.router)
    page = Page.read(PAGE)

    @app.get("/", response_class=HTMLResponse)
    async def show() -> HTMLResponse:
        """A page to try it."""
        return page.response()

    return app
