"""Errors in OpenAI's form: `error: {message, type, param, code}`, with an HTTP status that OpenAI's
clients know.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from xinye.errors import Conflict, NotFound, TooMany, Unavailable, XinyeError
from xinye.language import chinese

log = logging.getLogger("xinye.server")
TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# codes of pydantic's errors by the types that `Body` gives them; all others are invalid values
CODES = {"unknown": "unknown_parameter", "unsupported": "unsupported_parameter"}
# how errors of these classes are answered
STATUS: Mapping[type[XinyeError], tuple[int, str]] = {
    NotFound: (404, "not_found"),
    Conflict: (409, "conflict"),
    TooMany: (429, "too_many"),
    Unavailable: (503, "unavailable"),
}
LATER = {"Retry-After": "5"}
CLOSE = {"Connection": "close"}  # headers that close the connection after the answer


class APIError(HTTPException):
    """A request that cannot be answered. `param` names the field, and `code` is for programs."""

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
        """The JSON that the client receives. Half a character in a name is replaced."""
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
    """Raises `APIError` if there are more than `limit`."""
    if count > limit:
        raise APIError(400, f"{param}: at most {limit} {what} are allowed", param)


def as_api_error(error: Exception, param: str | None = None) -> APIError:
    """Any error as an `APIError`. The message of a user's error is kept; an internal error is
    logged and its details are hidden.
    """
    if isinstance(error, APIError):
        return error
    for known, (status, name) in STATUS.items():
        if isinstance(error, known):
            later = LATER if status in (429, 503) else None
            return APIError(status, str(error), param, name, later)
    if isinstance(error, XinyeError):
        return APIError(400 if error.exit_code == 2 else 500, str(error), param)
    if isinstance(error, RequestValidationError):
        return of_validation(error.errors())
    if isinstance(error, HTTPException):  # an error of the framework, such as an unknown route
        code = "not_found" if error.status_code == 404 else None
        return APIError(error.status_code, str(error.detail), None, code, error.headers)
    log.error("a request failed", exc_info=error)
    return APIError(500, "the server could not process this request", code="internal_error")


async def on_error(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that failed, in Chinese for a page that is read in Chinese."""
    refusal = as_api_error(error)
    if reads_chinese(request):
        refusal.detail = chinese(refusal.detail)
    return refusal.response()


def reads_chinese(request: Request) -> bool:
    """Whether the first language that a client asks for is Chinese."""
    return request.headers.get("accept-language", "").lower().startswith("zh")


# These make the app answer every error in this form.
HANDLERS: Any = dict.fromkeys((HTTPException, XinyeError, RequestValidationError), on_error)


def of_validation(findings: Sequence[ErrorDetails]) -> APIError:
    """Pydantic's errors as one error that names one field."""
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
    """The order of pydantic's errors, of which the greatest is reported: an unknown field, then a
    wrong value of the right type, then the most deeply nested one.
    """
    kind = finding["type"]
    return kind in CODES, not kind.endswith(("_type", "literal_error")), len(_place(finding))


def _place(finding: ErrorDetails) -> list[str]:
    """The path to the field, without pydantic's names for alternative types."""
    kinds = ("function-", "constrained-", "list[", "literal[", "nullable")
    parts = [str(part) for part in finding["loc"][1:]]
    parts = [part for part in parts if part not in ("str", "[key]") and not part.startswith(kinds)]
    parts = [part for part in parts if not re.fullmatch("[A-Z][A-Za-z]+(Request|Tool)", part)]
    unknown = [finding["ctx"]["field"]] if finding["type"] == "unknown" else []
    return parts + unknown
