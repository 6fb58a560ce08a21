"""JSON schemas: what is in one, and one whose numbers can be read again.

JSON allows numbers such as 1e999, which Python reads as infinite, and integers of 5,000 digits,
which it refuses. A schema with bounds for its numbers allows neither.
"""

from collections.abc import Iterator
from typing import Any

from xinye.generation.sampling import Schema

ANNOTATIONS = {
    "$ref",
    "$defs",
    "definitions",
    "$schema",
    "$id",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
}
CHOICES = {"anyOf", "oneOf"}
# where a schema has others: by name, or one or several of them
BY_NAME = {"properties", "patternProperties", "$defs", "definitions"}
INNER = {*CHOICES, "allOf", "items", "prefixItems", "additionalItems", "additionalProperties"}
# Most integers of 64 bits, such as ids, have smaller absolute values. The library llguidance takes
# hardly larger bounds, and numbers with bounds have no exponents there.
LARGEST = 9 * 10**18
BOUNDS = {"minimum": -LARGEST, "maximum": LARGEST}
BOUND_NAMES = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
ANY_ID = "xinye:any"
ANY = {"$ref": ANY_ID}
# Any value, with bounds for all numbers within it. Draft 4 of JSON Schema has "id" for "$id".
ANY_VALUE = {"$id": ANY_ID, "id": ANY_ID, **BOUNDS, "items": ANY, "additionalProperties": ANY}


def objects(schema: Any) -> Iterator[Schema]:
    """A schema and all JSON objects within it."""
    if isinstance(schema, dict):
        yield schema
        schema = [*schema.values()]
    for value in schema if isinstance(schema, list) else ():
        yield from objects(value)


def _schemas(schema: Any) -> Iterator[Schema]:
    """A schema and all schemas within it."""
    if isinstance(schema, dict):
        yield schema
        named = [schema[name] for name in schema.keys() & BY_NAME]
        inner = [schema[name] for name in schema.keys() & INNER]
        schema = inner + [
            value for each in named if isinstance(each, dict) for value in each.values()
        ]
    for each in schema if isinstance(schema, list) else ():
        yield from _schemas(each)


def joins(schema: Schema) -> bool:
    """Whether a value must satisfy several schemas at once."""
    return "allOf" in schema or ("$ref" in schema and bool(schema.keys() - ANNOTATIONS))


def with_bounds(schema: Schema) -> Schema:
    """The schema with bounds for the numbers that have none.

    Where any value is allowed, the numbers within it get bounds, too; not if a value may have to
    satisfy several schemas, because llguidance cannot intersect schemas that contain themselves.
    Multiples get no bounds: their grammar would be too large, and they have no exponents anyway.
    """
    place = "definitions" if "draft-0" in str(schema.get("$schema")) else "$defs"
    whole = isinstance(schema.get(place, {}), dict) and not any(
        joins(each) or _narrows_choices(each) or "patternProperties" in each
        for each in _schemas(schema)
    )
    bounded: Schema = _bounded(schema, whole)
    if not whole:
        return bounded
    return {**bounded, place: {**bounded.get(place, {}), ANY_ID: ANY_VALUE}}


def _narrows_choices(schema: Schema) -> bool:
    return bool(schema.keys() & CHOICES and schema.keys() - CHOICES - ANNOTATIONS)


def _bounded(schema: Any, whole: bool) -> Any:
    """The schema with bounds; with `whole`, for the numbers within any value, too."""
    if isinstance(schema, list):
        return [_bounded(each, whole) for each in schema]
    if schema is True:
        return ANY if whole else True
    if not isinstance(schema, dict) or schema.keys() & {"enum", "const"}:
        return schema
    inner: Schema = {name: _bounded(schema[name], whole) for name in schema.keys() & INNER}
    for name in schema.keys() & BY_NAME:
        if isinstance(schema[name], dict):
            inner[name] = {key: _bounded(value, whole) for key, value in schema[name].items()}
    bounded = schema | inner
    if not schema.keys() - ANNOTATIONS and "$ref" not in schema:
        return bounded | (ANY if whole else {})
    kinds = schema.get("type")
    if kinds is None and (not whole or schema.keys() & {"$ref", *CHOICES}):
        return bounded
    if _may_be(kinds, "number", "integer") and not _has_own_limit(schema):
        bounded = BOUNDS | bounded
    if whole and _may_be(kinds, "array"):
        rest = "additionalItems" if isinstance(bounded.get("items"), list) else "items"
        bounded.setdefault(rest, ANY)
    if whole and _may_be(kinds, "object"):
        bounded.setdefault("additionalProperties", ANY)
    return bounded


def _may_be(kinds: Any, *names: str) -> bool:
    """Whether the `type` of a schema allows one of these kinds; without a type it allows all."""
    given = kinds if isinstance(kinds, list) else [kinds]
    return kinds is None or any(name in given for name in names)


def _has_own_limit(schema: Schema) -> bool:
    """Whether the schema is of multiples, or has a bound that is larger than those here."""
    given = [schema[name] for name in schema.keys() & BOUND_NAMES]
    large = any(isinstance(bound, int | float) and abs(bound) > LARGEST for bound in given)
    return large or "multipleOf" in schema
