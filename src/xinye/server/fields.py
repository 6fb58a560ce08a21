"""How a request's body is checked: a field that is not there is refused by its name, and so is a
value of another type ("3" is no number). A field that this server does not have may ask for
nothing, as a client's own messages do."""

from collections.abc import Callable
from functools import cache
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    PlainValidator,
    WithJsonSchema,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

Kind = TypeVar("Kind", bound=BaseModel)


class Body(BaseModel):
    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=()
    )

    @model_validator(mode="before")
    @classmethod
    def _one_unknown_field(cls, given: Any) -> Any:
        """Of several unknown fields the first is reported: to find all takes seconds, in which
        nobody is answered."""
        if not isinstance(given, dict):
            return given
        unknown = [name for name in given if name not in known_fields(cls)]
        return {name: value for name, value in given.items() if name not in unknown[1:]}


@cache
def known_fields(kind: type[BaseModel]) -> frozenset[str]:
    return frozenset(field.alias or name for name, field in kind.model_fields.items())


def unsupported(names: str, **allowed: Any) -> Callable[[type[Kind]], type[Kind]]:
    """A decorator: the class gets fields that this server does not have, and where only what asks
    for nothing passes: null, what is empty or false, and for those in `allowed` one value more, or
    several in a tuple."""
    fields: dict[str, Any] = dict.fromkeys(names.split(), (only(), None))
    for name, values in allowed.items():
        fields[name] = (only(*values) if isinstance(values, tuple) else only(values), None)

    def add(kind: type[Kind]) -> type[Kind]:
        name, module = kind.__name__, kind.__module__
        return create_model(name, __base__=kind, __doc__=kind.__doc__, __module__=module, **fields)

    return add


def only(*values: Any) -> Any:
    """The type of a field where nothing but null, what is empty or false, and these values pass."""
    values = (None, False, "", [], {}, *values)
    allowed = [(value, isinstance(value, bool)) for value in values]  # for True is equal to 1

    def check(given: Any) -> None:
        if (given, isinstance(given, bool)) not in allowed:
            raise PydanticCustomError("unsupported", "not supported by this server")

    about = WithJsonSchema({"enum": [*values], "description": "not supported"})
    return Annotated[Any, PlainValidator(check), about]
