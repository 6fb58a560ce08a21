"""Reads the rows of a table that is stored as one JSON object, as pandas and Hugging Face's
datasets write them.
"""

from collections.abc import Iterable
from itertools import chain, islice
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes, RecordNumber
from xinye.data.records import OnBad, Records, Row

ENVELOPES = {  # keys of an object around a list of rows, as Navicat and web services write it
    "records", "data", "items", "rows", "list", "result", "results",
}  # fmt: skip
NOTE = "the file is one JSON object that holds a table: its rows are read"
_OF_A_MESSAGE = {"role", "content", "from", "value"}
_TOKENS = {"tokens", "words", "chars"}  # the words of one sentence, with a tag for each


def table_or_records(path: Path, values: Records, on_bad: OnBad, notes: Notes) -> Records:
    """The values of a file. If the only one is an object that holds a table, its rows instead, with
    a note.
    """
    head = list(islice(values, 2))
    rows = None
    if len(head) == 1:
        try:
            rows = _rows_of(head[0][1])
        except ValueError as error:
            on_bad(path, head[0][0], str(error))
            return
    note = NOTE
    if rows is None and len(head) == 1:
        name, rows = _in_envelope(head[0][1])
        note = f"one object that holds a list of rows in {name!r}: they are read"
    if rows is None:
        yield from chain(head, values)
        return
    notes.add(str(path), note)
    for number, row in enumerate(rows, 1):
        yield RecordNumber(number), row


def _rows_of(value: Any) -> list[Row] | None:
    """The rows of a table in one object, or None if the object is a record.

    It knows a list or an object of values for each column, an object of rows keyed by number, and
    pandas' `orient="split"` and `orient="table"`. Raises `ValueError` if columns have different
    lengths.
    """
    if not isinstance(value, dict) or not value:
        return None
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list):
        return _split(columns, data)
    if isinstance(value.get("schema"), dict) and isinstance(data, list):
        return data
    if len(value) > 1 and all(isinstance(cells, list) for cells in value.values()):
        return None if _is_record(value) else _by_column(value)
    if all(isinstance(cells, dict) for cells in value.values()):
        return _by_number(value)
    return None


def _in_envelope(value: Any) -> tuple[str, list[Row] | None]:
    """The key of the only list of objects in an object, and that list. The list is None if there is
    none, or if its objects are parts of one record.
    """
    if not isinstance(value, dict):
        return "", None
    nested = [name for name in value if isinstance(value[name], dict | list)]
    if len(nested) != 1 or nested[0].lower() not in ENVELOPES:
        return "", None
    name = nested[0]
    rows = value[name]
    if isinstance(rows, dict):  # {"code": 0, "data": {"total": 2, "list": [...]}}
        inner, found = _in_envelope(rows)
        return f"{name}.{inner}", found
    if not rows or not all(isinstance(row, dict) for row in rows):
        return "", None
    messages = len(_OF_A_MESSAGE & rows[0].keys()) > 1
    return name, None if messages else rows


def _is_record(value: dict[str, list[Any]]) -> bool:
    """True if the lists belong to one record: messages, or the words of a sentence."""
    columns = value.values()
    if max(map(len, columns)) < 2:
        return True
    messages = any(
        isinstance(cell, dict) and len(_OF_A_MESSAGE & cell.keys()) > 1
        for cells in columns
        for cell in cells[:1]
    )
    words = any(isinstance(cell, str) for name in _TOKENS for cell in value.get(name, [])[:1])
    uneven = len(set(map(len, columns))) > 1
    return messages or words or (uneven and any(map(_is_nested, columns)))


def _is_nested(cells: Iterable[Any]) -> bool:
    """True if a cell is not a plain value, as cells of tables are."""
    return any(isinstance(cell, dict | list) for cell in cells)


def _by_column(value: dict[str, list[Any]]) -> list[Row]:
    lengths = {name: len(cells) for name, cells in value.items()}
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name!r} {length}" for name, length in [*lengths.items()][:5])
        raise ValueError(
            f"the columns have different lengths ({shown}); make them equally long, or write one "
            "object for each record"
        )
    return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]


def _split(columns: list[Any], data: list[Any]) -> list[Row]:
    names = list(map(str, columns))
    for number, cells in enumerate(data, 1):
        if not isinstance(cells, list) or len(cells) != len(names):
            raise ValueError(
                f"row {number} of 'data' must have {len(names)} cells, one for each of 'columns'"
            )
    return [dict(zip(names, cells, strict=True)) for cells in data]


def _by_number(value: dict[str, Row]) -> list[Row] | None:
    """The rows of an object whose columns have numbered cells, or whose rows are numbered. None
    otherwise.
    """
    rows = [*value.values()]
    numbers = rows[0].keys()
    if not all(row.keys() == numbers for row in rows) or not numbers:
        return None
    if all(number.isdecimal() for number in numbers):
        return [{name: cells[number] for name, cells in value.items()} for number in numbers]
    plain = not any(_is_nested(row.values()) for row in rows)
    return rows if plain and all(number.isdecimal() for number in value) else None
