"""What goes wrong, in OpenAI's form: `error: {message, type, param, code}` with a status that its
client knows."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from xinye.errors import XinyeError

log = logging.getLogger("xinye.server")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# of what pydantic finds, by the names that `Body` gives it; all else is an invalid value
CODES = {"unknown": "unknown_parameter", "unsupported": "unsupported_parameter"}
CLOSE = {"Connection": "close"}  # headers: the connection ends with the answer


class APIError(HTTPException):
    """A request that cannot be answered."""

    def __init__(
        self,
        status: int,
        message: str,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
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
        raise APIError(400, f"{param}: at most {limit} {what} are allowed", param)


def as_api_error(error: Exception, param: str | None = None) -> APIError:
    """The answer to an error: the message of a user's error as it is. An internal error is logged,
    and its details are not shown."""
    if isinstance(error, APIError):
        return error
    if isinstance(error, XinyeError):
        return APIError(400 if error.exit_code == 2 else 500, str(error), param)
    if isinstance(error, RequestValidationError):
        return of_validation(error.errors())
    if isinstance(error, HTTPException):  # the framework's, such as of a route that is not there
        code = "not_found" if error.status_code == 404 else None
        return APIError(error.status_code, str(error.detail), None, code, error.headers)
    log.error("a request failed", exc_info=error)
    return APIError(500, "the server could not process this request", code="internal_error")


async def on_error(_: Request, error: Exception) -> JSONResponse:
    return as_api_error(error).response()


# Every error of the app is answered in this form.
HANDLERS: Any = dict.fromkeys((HTTPException, XinyeError, RequestValidationError), on_error)


def of_validation(findings: Sequence[ErrorDetails]) -> APIError:
    """What pydantic has found, as an answer that names one field."""
    error = max(findings, key=_plainness)
    place = _place(error)
    if not place:
        return APIError(
            400, "the body must be a JSON object, sent with Content-Type: application/json"
        )
    same = [each for each in findings if _place(each) == place and each["type"].endswith("_type")]
    messages = dict.fromkeys(
        each["msg"].removeprefix("Value error, ") for each in (same if error in same else [error])
    )
    param = ".".join(place)
    code = CODES.get(error["type"], "invalid_value")
    return APIError(400, f"{param}: {', or '.join(messages)}", param, code)


def _plainness(finding: ErrorDetails) -> tuple[bool, bool, int]:
    """Of several findings, as where a field may be of several kinds, the greatest is reported: a
    field that is not there at all, then a value of the right type that is wrong, then what lies
    deepest."""
    kind = finding["type"]
    return kind in CODES, not kind.endswith(("_type", "literal_error")), len(_place(finding))


def _place(finding: ErrorDetails) -> list[str]:
    """Where in the body it is, without pydantic's names for the kinds that a field may be of."""
    kinds = ("function-", "constrained-", "list[", "nullable")
    parts = [str(part) for part in finding["loc"][1:]]
    parts = [part for part in parts if part not in ("str", "[key]") and not part.startswith(kinds)]
    unknown = [finding["ctx"]["field"]] if finding["type"] == "unknown" else []
    return parts + unknown
