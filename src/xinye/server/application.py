"""What the servers of all applications share: the guard, and the routes for the server's state."""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any, ClassVar, Protocol

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Scope

from xinye.server.errors import HANDLERS, LATER, APIError
from xinye.server.guard import Guard, OnAnswer
from xinye.server.keys import Caller, Keys
from xinye.server.metrics import RequestMetrics
from xinye.server.settings import RoleSettings
from xinye.server.streams import wants_stream


class Parts(Protocol):
    """What an application's server is made of."""

    @property
    def settings(self) -> RoleSettings: ...

    @property
    def keys(self) -> Keys: ...

    @property
    def works(self) -> bool: ...


class Door(Guard):
    """The guard of an application's server. Its routes check the keys. Streams, which take long and
    do little, have a limit of their own: their paths end with one of `streams`."""

    methods: ClassVar[str] = "GET, POST, PUT, DELETE"
    headers: ClassVar[str] = "authorization, content-type, last-event-id"
    settings: RoleSettings

    def __init__(
        self,
        app: ASGIApp,
        settings: RoleSettings,
        on_answer: OnAnswer,
        streams: tuple[str, ...],
        body_seconds: float | None,
    ) -> None:
        super().__init__(app, settings, on_answer)
        self._streams = streams
        if body_seconds is not None:
            self.body_seconds = body_seconds

    def check_caller(self, scope: Scope, headers: Headers) -> None:
        # Where keys were given, clients come by any host name. Else this is a trial on one machine,
        # and a strange page in its browser must not talk to the server.
        if self.settings.is_trial:
            self.check_origin(headers)

    def counts(self, scope: Scope, headers: Headers) -> bool:
        streams = scope["path"].endswith(self._streams)
        return not (streams and scope["method"] == "GET" and wants_stream(headers))


def new_app(
    name: str,
    description: str,
    parts: Parts,
    reader: Callable[[Request], Caller],
    streams: tuple[str, ...],
    body_seconds: float | None = None,
) -> FastAPI:
    """The app of an application, with the routes for the server's state. `reader` checks who may
    read metrics and the OpenAPI document. `streams` are the ends of the paths of streams. A body
    must arrive in `body_seconds`, None for the time of every server."""
    app = FastAPI(
        title=f"Xinye {name}",
        version=version("xinye"),
        description=description,
        docs_url=None,  # these pages would load scripts from other sites
        redoc_url=None,
        openapi_url=None,  # it needs a key
        redirect_slashes=False,
        exception_handlers=HANDLERS,
    )
    metrics = RequestMetrics()
    app.state.keys = parts.keys
    app.add_middleware(
        Door,
        settings=parts.settings,
        on_answer=metrics.answered,
        streams=streams,
        body_seconds=body_seconds,
    )
    _add_state(app, parts, metrics, [Depends(reader)])
    return app


def _add_state(app: FastAPI, parts: Parts, metrics: RequestMetrics, keyed: list[Any]) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """The server is running, even if it is busy."""
        return {"status": "ok"}

    @app.get("/ready")
    async def ready() -> dict[str, str]:
        """The threads that do the work are running."""
        if not parts.works:
            raise APIError(503, "the server's work has stopped", code="not_ready", headers=LATER)
        return {"status": "ok"}

    @app.get("/metrics", dependencies=keyed)
    async def figures() -> Response:
        """Metrics for Prometheus."""
        return metrics.response()

    @app.get("/openapi.json", dependencies=keyed, include_in_schema=False)
    async def document() -> dict[str, Any]:
        return app.openapi()
