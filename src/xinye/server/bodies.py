"""Parses request bodies in another thread and within limits, so that other requests do not wait;
checks their fields; and writes answers as JSON.

An unknown field is refused by name, and so is a value of another type ("3" is not a number). A
field that OpenAI has but this server lacks may only hold a value that requests nothing.
"""

import asyncio
import json
import logging
import math
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError, from_json

from xinye.errors import did_you_mean
from xinye.server.errors import APIError

log = logging.getLogger("xinye.server")
# Strings, names, lists and objects in a body. Numbers do not count, because prompts may be long
# lists of tokens. A conversation of 4,096 messages in parts has 41,000; parsing ten times as many
# would take a second, during which no other thread runs.
MOST_PARTS = 50_000
# A string, even if its end is missing, which keeps the search linear.
STRING = re.compile(rb'"(?:[^"\\]+|\\.)*+(?:"|\\?\Z)', re.DOTALL)
# Only such a number may be too large for a float.
MAYBE_INFINITE = re.compile(rb"[eE]\+?\d{2}|\d{300}")
FEW_FIELDS = 10  # of a body; so many are listed if somebody writes another
Kind = TypeVar("Kind", bound=BaseModel)

# -- parsing ---------------------------------------------------------------------------------------


class JSONRequest(Request):
    """A request whose JSON is parsed by `parse`."""

    async def json(self) -> Any:
        return await asyncio.to_thread(parse, await self.body())


class JSONRoute(APIRoute):
    """A route whose requests are parsed by `parse`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JSONRequest(request.scope, request.receive))

        return handle_json


def parse(body: bytes) -> Any:
    """The value of a JSON body.

    Raises `APIError` if it is not valid by RFC 8259 in UTF-8 (no NaN, no half characters), repeats
    a name in an object, is nested more than 200 deep, or has more than `MOST_PARTS` parts.
    """
    parts, without_strings = parts_of(body)
    if parts > MOST_PARTS:
        raise APIError(
            400,
            f"the body has too many parts; at most {MOST_PARTS:,} texts, names, lists and objects "
            "are allowed",
            code="body_too_large",
        )
    try:
        value = _value_of(body, without_strings)
    except ValueError as error:
        raise APIError(400, f"the body is not valid JSON: {error}", code="invalid_json") from None
    return value


def object_in(text: str) -> dict[str, Any]:
    """The object in a JSON text within a body. Raises `ValueError` for anything else, for a name
    that is repeated, and for a number that is too large for a float.
    """
    body = text.encode()
    without_strings = STRING.sub(b"", body)
    value = _value_of(body, without_strings)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    if MAYBE_INFINITE.search(without_strings):
        json.loads(body, parse_float=_finite)
    return value


def _value_of(body: bytes, without_strings: bytes) -> Any:
    value = from_json(body, allow_inf_nan=False)
    if _count_names(value) < without_strings.count(b":"):
        json.loads(body, object_pairs_hook=_check_names)
    return value


def _finite(number: str) -> float:
    value = float(number)
    if math.isinf(value):
        raise ValueError(f"the number {number[:30]} is too large")
    return value


def parts_of(body: bytes) -> tuple[int, bytes]:
    """The number of strings, lists and objects in JSON, and the JSON without its strings. Beyond
    `MOST_PARTS` strings are neither counted nor taken out.
    """
    without_strings, strings = STRING.subn(b"", body, MOST_PARTS + 1)
    return strings + without_strings.count(b"[") + without_strings.count(b"{"), without_strings


def _count_names(value: Any) -> int:
    """The number of names in all objects of a value."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count_names, value.values()))
    return sum(map(_count_names, value)) if isinstance(value, list) else 0


def _check_names(pairs: list[tuple[str, Any]]) -> None:
    for name, times in Counter(name for name, _ in pairs).items():
        if times > 1:
            raise ValueError(f"it has {name[:100]!r} twice in one object")


# -- checking fields -------------------------------------------------------------------------------


class Body(BaseModel):
    """A request body. Unknown fields and values of another type are refused."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown(cls, given: Any) -> Any:
        """Only the first unknown field is reported: finding all of them can take seconds and block
        the server.
        """
        known = known_fields(cls)
        for name in given if isinstance(given, dict) else ():
            if name not in known:
                hint = did_you_mean(name[:100], known)
                if len(known) <= FEW_FIELDS:
                    hint += f"; the fields are {', '.join(known)}"
                about = {"field": name, "hint": hint}
                raise PydanticCustomError("unknown", "there is no such field{hint}", about)
        return given


@cache
def known_fields(kind: type[BaseModel]) -> Mapping[str, None]:
    """The names of a body's fields in their order, as a client writes them."""
    return dict.fromkeys(field.alias or name for name, field in kind.model_fields.items())


def unsupported(names: str, **allowed: tuple[Any, ...]) -> Callable[[type[Kind]], type[Kind]]:
    """A class decorator that adds fields which this server does not support. They accept null,
    empty values, False and the values in `allowed`; anything else is refused.
    """
    values: dict[str, tuple[Any, ...]] = dict.fromkeys(names.split(), ()) | allowed
    fields: Any = {name: (only(*passing), None) for name, passing in values.items()}

    def add(kind: type[Kind]) -> type[Kind]:
        name, module = kind.__name__, kind.__module__
        return create_model(name, __base__=kind, __doc__=kind.__doc__, __module__=module, **fields)

    return add


def only(*values: Any) -> Any:
    """The type of a field that accepts only null, empty values, False and these values."""
    values = (None, False, "", [], {}, *values)
    allowed = [(value, isinstance(value, bool)) for value in values]  # because True == 1

    def check(given: Any) -> None:
        if (given, isinstance(given, bool)) not in allowed:
            raise PydanticCustomError("unsupported", "not supported by this server")

    about = WithJsonSchema({"enum": [*values], "description": "not supported"})
    return Annotated[Any, PlainValidator(check), about]


def or_nothing(kind: Any) -> BeforeValidator:
    """A validator that takes a value which requests nothing as null: False or an empty one."""

    def to_null(given: Any) -> Any:
        return None if isinstance(given, bool | str | list | dict) and not given else given

    return BeforeValidator(to_null, json_schema_input_type=kind | only())


def _as_text(given: Any) -> Any:
    return str(given) if type(given) is int else given


# For ids, which may be numbers: many databases number what they hold.
OR_NUMBER = BeforeValidator(_as_text, json_schema_input_type=str | int)


# -- answers ---------------------------------------------------------------------------------------


def json_response(answer: BaseModel) -> Response:
    """The answer as JSON. It was checked when it was created."""
    return Response(answer.model_dump_json(exclude_unset=True), media_type="application/json")


def log_texts(request: Request, body: BaseModel, answers: Iterable[str] = ()) -> None:
    """Log a request and its answers, if the server's settings ask for it."""
    if request.app.state.settings.log_texts:
        asked = body.model_dump(exclude_unset=True, by_alias=True)
        about = {"path": request.url.path, "request": asked, "answers": [*answers]}
        log.info(json.dumps(about, ensure_ascii=False))
