"""What goes wrong, in OpenAI's form: `error: {message, type, param, code}` with a status that its
client knows."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from xinye.errors import XinyeError, did_you_mean

log = logging.getLogger("xinye.server")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class APIError(HTTPException):
    """A request that cannot be answered; `retry_after` is in seconds, `close` ends the connection
    with it."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
        close: bool = False,
    ) -> None:
        headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if close:
            headers["Connection"] = "close"
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    def body(self) -> dict[str, dict[str, str | None]]:
        """What the client reads. A client can put half a character into a name: it is replaced."""
        usual = "server_error" if self.status_code >= 500 else "invalid_request_error"
        message, param = (
            text and text.encode("utf-8", "replace").decode()[:1000]
            for text in (self.detail, self.param)
        )
        kind = TYPES.get(self.status_code, usual)
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status_code, self.headers)


def check_count(count: int, limit: int, param: str, what: str = "texts") -> None:
    """Raises `APIError` where there are too many."""
    if count > limit:
        raise APIError(400, f"{param}: at most {limit} {what} here", param)


def as_api_error(error: Exception, param: str | None = None) -> APIError:
    """What a person has caused as it was worded; of an error of ours, which is logged, nothing of
    the machine."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, XinyeError):
        return APIError(400 if error.exit_code == 2 else 500, str(error), param)
    if isinstance(error, HTTPException):  # the framework's, such as of a route that is not there
        code = "not_found" if error.status_code == 404 else None
        result = APIError(error.status_code, str(error.detail), code=code)
        result.headers = error.headers
        return result
    log.error("a request failed", exc_info=error)
    return APIError(500, "the server failed at this request", code="internal_error")


def of_validation(findings: list[dict[str, Any]], known: list[str]) -> APIError:
    """What pydantic has found, as an answer that names one field. `known` are the body's."""
    error = max(findings, key=_plainness)
    place = _place(error)
    param = ".".join(place) or None
    if error["type"] == "extra_forbidden":
        message = f"{param}: there is no such field{did_you_mean(place[-1][:100], known)}"
        return APIError(400, message, param, "unknown_parameter")
    if error["type"] == "unsupported":
        return APIError(400, f"{param}: {error['msg']}", param, "unsupported_parameter")
    if param is None:
        return APIError(
            400, "the request has no JSON object; send one, with Content-Type: application/json"
        )
    same = [each for each in findings if _place(each) == place and each["type"].endswith("_type")]
    messages = dict.fromkeys(
        each["msg"].removeprefix("Value error, ") for each in (same if error in same else [error])
    )
    return APIError(400, f"{param}: {', or '.join(messages)}", param, "invalid_value")


def _plainness(finding: dict[str, Any]) -> tuple[bool, bool, int]:
    """Of several findings, as where a field may be of several kinds, the greatest is reported: a
    field that is not there at all, then a value of the right type that is wrong, then what lies
    deepest."""
    kind = finding["type"]
    no_field = kind in ("extra_forbidden", "unsupported")
    return no_field, not kind.endswith(("_type", "literal_error")), len(_place(finding))


def _place(finding: dict[str, Any]) -> list[str]:
    """Where in the body it is, without pydantic's names for the kinds that a field may be of."""
    kinds = ("function-", "constrained-", "list[", "nullable")
    parts = [str(part) for part in finding["loc"][1:]]
    return [part for part in parts if part not in ("str", "[key]") and not part.startswith(kinds)]


def install(app: FastAPI) -> None:
    """Let every error of the app be answered in this form."""

    @app.exception_handler(HTTPException)
    @app.exception_handler(XinyeError)
    async def on_error(_: Request, error: Exception) -> JSONResponse:
        return as_api_error(error).response()

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        body = getattr(request.scope.get("route"), "body_field", None)
        kind = getattr(getattr(body, "field_info", None), "annotation", None)
        known = list(getattr(kind, "model_fields", ()))
        return of_validation([*error.errors()], known).response()
