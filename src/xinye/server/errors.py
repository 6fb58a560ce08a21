"""What goes wrong, in OpenAI's form: `error: {message, type, param, code}` with a status that its client knows."""

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from xinye.errors import XinyeError, did_you_mean

log = logging.getLogger("xinye.server")


class APIError(HTTPException):
    """A request that cannot be answered; `retry_after` is in seconds, `close` ends the connection with it."""

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
        headers |= {"Connection": "close"} if close else {}
        super().__init__(status, message, headers)
        self.param, self.code = param, code

    def body(self) -> dict[str, Any]:
        """What the client reads. A client can put half a character into a name: it is replaced."""
        kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
            self.status_code, "server_error" if self.status_code >= 500 else "invalid_request_error"
        )
        message, param = (
            None if text is None else text.encode("utf-8", "replace").decode()[:1000]
            for text in (self.detail, self.param)
        )
        return {"error": {"message": message, "type": kind, "param": param, "code": self.code}}

    def response(self) -> JSONResponse:
        return JSONResponse(self.body(), self.status_code, self.headers)


def failed() -> APIError:
    """What a client is told of an error of ours: nothing of the machine."""
    return APIError(500, "the server failed at this request", code="internal_error")


def refused(error: XinyeError, param: str | None = None) -> APIError:
    """What a person has caused, as it was told."""
    return APIError(400 if error.exit_code == 2 else 500, str(error), param)


def of_validation(findings: list[dict[str, Any]], known: list[str]) -> APIError:
    """What pydantic has found, as an answer that names one field. `known` are the body's."""
    error = _plainest(findings)
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


def _plainest(findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several findings, as where a field may be of several kinds, the one that tells most: a field that is not there
    at all, then a value of the right type that is wrong, then what lies deepest."""
    return max(
        findings,
        key=lambda each: (
            each["type"] in ("extra_forbidden", "unsupported"),
            not each["type"].endswith(("_type", "literal_error")),
            len(_place(each)),
        ),
    )


def _place(finding: dict[str, Any]) -> list[str]:
    """Where in the body it is, without pydantic's names for the kinds that a field may be of."""
    kinds = ("function-", "constrained-", "list[", "nullable")
    parts = [str(part) for part in finding["loc"][1:]]
    return [part for part in parts if part not in ("str", "[key]") and not part.startswith(kinds)]


def install(app: FastAPI) -> None:
    """Let every error of the app be answered in this form."""

    @app.exception_handler(APIError)
    async def on_api_error(_: Request, error: APIError) -> JSONResponse:
        return error.response()

    @app.exception_handler(XinyeError)
    async def on_xinye_error(_: Request, error: XinyeError) -> JSONResponse:
        return refused(error).response()

    @app.exception_handler(RequestValidationError)
    async def on_validation(request: Request, error: RequestValidationError) -> JSONResponse:
        return of_validation([*error.errors()], _known(request)).response()

    @app.exception_handler(HTTPException)
    async def on_http(_: Request, error: HTTPException) -> JSONResponse:
        answer = APIError(
            error.status_code,
            str(error.detail),
            code="not_found" if error.status_code == 404 else None,
        )
        answer.headers = error.headers
        return answer.response()


def _known(request: Request) -> list[str]:
    """The fields of the route's body."""
    body = getattr(request.scope.get("route"), "body_field", None)
    kind = getattr(getattr(body, "field_info", None), "annotation", None)
    return list(getattr(kind, "model_fields", ()))
