"""Reads files of events row by row, in all formats of records. Errors name the line."""

from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.columns import HEAD_RECORDS
from xinye.data.notes import Notes, place_of
from xinye.data.sources import headerless, read_records
from xinye.errors import XinyeError
from xinye.planning.column_settings import ColumnSettings
from xinye.tasks.bad_records import Refused
from xinye.tasks.recommend_columns import EventColumns
from xinye.tasks.recommend_events import (
    Block,
    Coded,
    Gathering,
    Part,
    id_of,
    out_of_range,
    rating_of,
)
from xinye.tasks.recommend_times import Times, TwoFormats
from xinye.tasks.records import expected, note_unread, refuse_line

ROWS = 1 << 16  # that are kept as Python objects


@dataclass(frozen=True)
class Head:
    """The first records of a file: the line of the first one, all names, and the columns."""

    line: int
    names: list[str]
    columns: EventColumns

    def note_unread(self, path: Path, notes: Notes) -> None:
        """Note the columns that are not used."""
        rest = [name for name in self.names if name not in self.columns.used]
        note_unread(dict.fromkeys(rest, "…"), (), place_of(path, self.line), notes)


def named_columns(settings: ColumnSettings) -> list[str]:
    """The columns of events that a person named."""
    fields = ("user_field", "item_field", "time_field", "event_field", "rating_field")
    return [name for each in fields if (name := getattr(settings, each))]


def head_of(path: Path, settings: ColumnSettings, notes: Notes) -> Head:
    """The head of a file of events. Raises `XinyeError` if it has no users and items."""
    named = named_columns(settings)
    bad: list[XinyeError] = []
    rows = read_records(path, refuse_line(bad.append), named, notes=notes)
    head = [(line, row) for line, row in islice(rows, HEAD_RECORDS) if isinstance(row, dict)]
    names = [*dict.fromkeys(name for _, row in head for name in row)]
    if not names:
        nothing = XinyeError(f"{path}: no events in it{notes.of_file(path)}")
        raise next(iter(bad), nothing)
    try:
        return Head(head[0][0], names, EventColumns.of(path, names, settings))
    except XinyeError as error:
        why = headerless(path, named)
        if not why:
            raise
        raise XinyeError(
            f"{error}; the first line is read as a record, because {why}: add a header, or give "
            "the columns as numbers: --user-field 1 --item-field 2"
        ) from None


@dataclass
class _Rows:
    """Rows of a file that wait to become a block."""

    users: list[str] = field(default_factory=list)
    items: list[str] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    ratings: list[float] = field(default_factory=list)

    def block(self) -> Block:
        """The rows as a block."""
        return Block(
            Coded.of(self.users),
            Coded.of(self.items),
            np.array(self.times) if self.times else None,
            Coded.of(self.kinds) if self.kinds else None,
            np.array(self.ratings) if self.ratings else None,
        )


def read_rows(path: Path, gathering: Gathering, refused: Refused, notes: Notes) -> Part:
    """The events of one file. Bad records go to `refused`. Raises `XinyeError` if its columns are
    not found, its times have two formats, or ratings are out of range."""
    head = head_of(path, gathering.settings, Notes())
    columns = head.columns
    head.note_unread(path, notes)
    times = Times(path, columns.time or "")
    part = Part(path)
    waiting = _Rows()
    first_rated: dict[float, int] = {}
    named = named_columns(gathering.settings)
    for line, row in read_records(path, refuse_line(refused.add), named, notes=notes):
        try:
            _add_row((line, row), columns, times, waiting)
        except TwoFormats:
            raise
        except XinyeError as error:
            refused.add(error)
            continue
        if columns.rating:
            first_rated.setdefault(waiting.ratings[-1], line)
        if len(waiting.users) == ROWS:
            gathering.add(waiting.block(), part)
            waiting = _Rows()
    if waiting.users:
        gathering.add(waiting.block(), part)
    part.form = times.form
    _check_range(part, first_rated)
    return part


def _check_range(part: Part, first_rated: dict[float, int]) -> None:
    """Raises `XinyeError` for a rating out of range. `first_rated` holds the first line of each."""
    wrong = out_of_range(part.ratings)
    if not wrong:
        return
    usual = [rating for rating in part.ratings if rating not in wrong]
    count = sum(part.ratings[rating] for rating in wrong)
    first = min(wrong, key=first_rated.__getitem__)
    raise XinyeError(
        f"{place_of(part.path, first_rated[first])}: the rating {first:g} is out of range: all but "
        f"{count:,} of {part.ratings.total():,} ratings lie between {min(usual):g} and "
        f"{max(usual):g}. Correct such ratings or delete the records"
    )


def _add_row(placed: tuple[int, Any], columns: EventColumns, times: Times, rows: _Rows) -> None:
    """Add a row to those that wait. Raises `XinyeError` if it is no event."""
    line, row = placed
    place = place_of(times.path, line)
    if not isinstance(row, dict):
        raise expected(place, "an event with fields", row)
    column = columns.user
    try:
        user = id_of(row.get(column))
        column = columns.item
        item = id_of(row.get(column))
        column = columns.rating or ""
        rating = rating_of(row.get(column))
    except ValueError as error:
        raise XinyeError(f"{place}, field {column!r}: {error}") from None
    if columns.time:
        rows.times.append(times.seconds(_time_text(row.get(columns.time)), line))
    if columns.event:
        kind = row.get(columns.event)
        rows.kinds.append("" if kind is None else str(kind).strip())
    if columns.rating:
        rows.ratings.append(rating)
    rows.users.append(user)
    rows.items.append(item)


def _time_text(value: Any) -> str:
    """A time as text; whole numbers without a fraction, dates as ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
