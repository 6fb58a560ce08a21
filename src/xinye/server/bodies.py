"""From a request's body to JSON, in another thread and within limits, so that all others are
answered meanwhile; and from an answer to its JSON."""

import asyncio
import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel
from pydantic_core import from_json

from xinye.server.errors import APIError

log = logging.getLogger("xinye.server")
# Of texts, names, lists and objects. Numbers do not count, for tokens are many. A conversation of
# 4,096 messages in parts has 41,000; ten times as many would take a second to read, in which no
# other thread runs.
MOST_PARTS = 50_000
# A string, also where its end is missing: so the search is linear.
STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class JSONRequest(Request):
    async def json(self) -> Any:
        return await asyncio.to_thread(parse, await self.body())


class JSONRoute(APIRoute):
    """A route whose body is read by `parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JSONRequest(request.scope, request.receive))

        return handle_json


def parse(body: bytes) -> Any:
    """A body's JSON. Raises `APIError` where it is none by RFC 8259 in UTF-8 (so no NaN, and no
    half of a character), gives a name twice, is nested more than 200 deep, or has too many
    parts."""
    without_strings, strings = STRING.subn(b"", body, MOST_PARTS + 1)
    if strings + without_strings.count(b"[") + without_strings.count(b"{") > MOST_PARTS:
        raise APIError(
            400,
            f"the body has too many parts: at most {MOST_PARTS:,} texts, names, lists and objects "
            "are read here",
            code="body_too_large",
        )
    try:
        value = from_json(body, allow_inf_nan=False)
        if _count_names(value) < without_strings.count(b":"):
            json.loads(body, object_pairs_hook=_check_names)
    except ValueError as error:
        raise APIError(400, f"the body is not valid JSON: {error}", code="invalid_json") from None
    return value


def _count_names(value: Any) -> int:
    """How many names its objects have."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count_names, value.values()))
    return sum(map(_count_names, value)) if isinstance(value, list) else 0


def _check_names(pairs: list[tuple[str, Any]]) -> None:
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise ValueError(f"it has {name[:100]!r} twice in one object")


def json_response(answer: BaseModel) -> Response:
    """As it is: it was checked when it was made."""
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")


def log_texts(request: Request, body: BaseModel, answers: Iterable[str] = ()) -> None:
    """Only where the one who runs the server has asked for it."""
    if request.app.state.settings.log_texts:
        asked = body.model_dump(exclude_unset=True, by_alias=True)
        about = {"path": request.url.path, "request": asked, "answers": [*answers]}
        log.info(json.dumps(about, ensure_ascii=False))
