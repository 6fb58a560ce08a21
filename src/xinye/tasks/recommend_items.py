"""Reads the items that can be recommended: ids, titles, texts and tags."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye.data.columns import HEAD_RECORDS, as_text
from xinye.data.files import RECORD_SUFFIXES, find_records
from xinye.data.notes import Notes, place_of
from xinye.data.sources import read_records
from xinye.errors import XinyeError
from xinye.planning.column_settings import ColumnSettings, at_commas
from xinye.ranking.items import Item
from xinye.tasks.bad_records import Refused
from xinye.tasks.recommend_columns import ItemColumns
from xinye.tasks.recommend_events import id_of
from xinye.tasks.records import OnBad, beside, expected, note_unread, refuse, refuse_line

SEPARATORS = re.compile(r"[|,，;；、\n]")  # between tags
NO_TAGS = re.compile(r"\(no genres listed\)")  # in MovieLens, an item without tags


def record_files(names: Sequence[str], notes: Notes) -> list[Path]:
    """The files of records that names, folders, archives and globs stand for."""
    return [path for name in names for path in find_records(name, RECORD_SUFFIXES, notes)]


def read_items(
    files: Sequence[str],
    settings: ColumnSettings,
    notes: Notes | None = None,
    on_bad: OnBad = refuse,
) -> list[Item]:
    """The items of files, each once.

    Bad records go to `on_bad`. Raises `XinyeError` if an id has two different items, or a file has
    no columns of items.
    """
    notes = notes or Notes()
    found: dict[str, tuple[Item, str]] = {}  # each with its place
    for path in record_files(files, notes):
        refused = Refused(path, on_bad)
        before = len(found)
        _read_file(path, settings, found, (refused, notes))
        if len(found) == before and not refused.errors and not before:
            raise XinyeError(f"{path}: no items in it{notes.of_file(path)}")
        refused.check(len(found) - before, notes)
    return [item for item, _ in found.values()]


def _read_file(
    path: Path,
    settings: ColumnSettings,
    found: dict[str, tuple[Item, str]],
    problems: tuple[Refused, Notes],
) -> None:
    refused, notes = problems
    named = named_columns(settings)
    columns = columns_of_items(path, settings)
    for line, row in read_records(path, refuse_line(refused.add), named, notes=notes):
        place = place_of(path, line)
        try:
            item = _item(row, place, columns)
            earlier, where = found.setdefault(item.id, (item, place))
            if earlier != item:
                raise XinyeError(
                    f"{place}: the item {item.id!r} is also in {beside(place, where)}, with "
                    "another title, text or tags; delete one, or give it its own id"
                )
        except XinyeError as error:
            refused.add(error)
            continue
        if where != place:
            notes.add(place, "an item appears again, and counts once")
        if not (item.title or item.text or item.tags):
            notes.add(place, "an item has neither title nor text nor tags")
        note_unread(row, columns.used, place, notes)


def columns_of_items(path: Path, settings: ColumnSettings) -> ItemColumns:
    """The columns of a file of items. Raises `XinyeError` if they cannot be told."""
    return ItemColumns.of(path, _names(path, named_columns(settings)), settings)


def named_columns(settings: ColumnSettings) -> list[str]:
    """The columns of items that a person named."""
    fields = ("item_field", "title_field", "text_field")
    named = [name for each in fields if (name := getattr(settings, each))]
    return [*named, *at_commas(settings.tags_field or "")]


def _names(path: Path, named: Sequence[str]) -> list[str]:
    names: dict[str, None] = {}
    rows = read_records(path, lambda *bad: None, named, notes=Notes())
    for number, (_, row) in enumerate(rows):
        names.update(dict.fromkeys(row if isinstance(row, dict) else ()))
        if number == HEAD_RECORDS:
            break
    return [*names]


def _item(row: Any, place: str, columns: ItemColumns) -> Item:
    """The item in a row. Raises `XinyeError` if it is none."""
    if not isinstance(row, dict):
        raise expected(place, "an item with fields", row)
    try:
        number = id_of(row.get(columns.id))
    except ValueError as error:
        raise XinyeError(f"{place}, field {columns.id!r}: {error}") from None
    title, text = (_text(row, name, place) for name in (columns.title, columns.text))
    tags = [tag for name in columns.tags for tag in _tags(row, name, place)]
    return Item(number, " ".join(title.split()), text, tuple(dict.fromkeys(tags)))


def _text(row: dict[str, Any], name: str | None, place: str) -> str:
    value = row.get(name) if name else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)  # such as the title 1984
    text = as_text(value)
    if text is None:
        raise expected(f"{place}, field {name!r}", "a text", value)
    return text.strip()


def _tags(row: dict[str, Any], name: str, place: str) -> list[str]:
    """The tags in a column, in order."""
    text = _text(row, name, place)
    if NO_TAGS.fullmatch(text):
        return []
    return [tag for part in SEPARATORS.split(text) if (tag := part.strip())]
