"""Checks the events and items of a recommender before training."""

from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.notes import Notes
from xinye.errors import XinyeError, quoted
from xinye.planning.column_settings import COLUMNS
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.recommend_columns import EventColumns, ItemColumns
from xinye.tasks.recommend_data import read_all
from xinye.tasks.recommend_items import columns_of_items, record_files
from xinye.tasks.recommend_records import Events, learned
from xinye.tasks.recommend_rows import head_of

SHOWN = 3  # histories
SHOWN_ITEMS = 8  # items of a history
LISTED = 1000  # bad records


def check_events(settings: FinetuneSettings) -> dict[str, Any]:
    """The report that `xinye data check --task recommend` prints, in the form of
    `check_records.check_records`.

    `counts` holds the numbers of users, items and events, and `shown` the first histories, by the
    titles of their items. Raises `XinyeError` if nothing can be learned from the events.
    """
    bad: list[str] = []
    notes = Notes()
    try:
        found = read_all(
            settings, settings.data, notes, on_bad=lambda error: bad.append(str(error))
        )
        events = learned(found, settings.min_events)
    except XinyeError as error:  # bad records may be the cause
        more = f"; {bad[0]}" if bad and bad[0] not in str(error) else ""
        raise XinyeError(f"{error}{more}") from None
    return {
        "task": settings.task,
        "files": [*_files(settings, events)],
        "counts": _counts(events),
        "bad": bad[:LISTED],
        "bad_total": len(bad),
        "findings": [*notes.sentences(), *events.findings],
        "shown": [*_shown(events)],
        "command": " ".join(map(quoted, _command(settings))),
    }


def _files(settings: FinetuneSettings, events: Events) -> list[dict[str, Any]]:
    found = []
    for path in events.files:
        columns = head_of(path, settings, Notes()).columns
        found.append(_file(path, "events", event_columns(columns, events.order)))
    for path in record_files(settings.items, Notes()):
        found.append(_file(path, "items", item_columns(columns_of_items(path, settings))))
    return found


def _file(path: Path, part: str, columns: list[str]) -> dict[str, Any]:
    return {"file": str(path), "part": part, "columns": columns}


def event_columns(columns: EventColumns, order: str) -> list[str]:
    """What the columns of events hold, for messages."""
    read = [f"users in {columns.user!r}", f"items in {columns.item!r}"]
    if columns.time:
        read.append(f"times in {columns.time!r} ({order})")
    if columns.event:
        read.append(f"kinds in {columns.event!r}")
    if columns.rating:
        read.append(f"ratings in {columns.rating!r}")
    return read


def item_columns(columns: ItemColumns) -> list[str]:
    """What the columns of items hold, for messages."""
    read = [f"ids in {columns.id!r}"]
    if columns.title:
        read.append(f"titles in {columns.title!r}")
    if columns.text:
        read.append(f"texts in {columns.text!r}")
    return read + [f"tags in {name!r}" for name in columns.tags]


def _counts(events: Events) -> dict[str, int]:
    return {
        "records read": events.rows,
        "known users": len(events.users),
        "learned items": len(events.items),
        "rare items": len(events.rare),
        "events that count": events.histories.event_count,
        "events of a user (median)": int(np.median(np.diff(events.histories.starts))),
        "users of an item (median)": int(np.median(events.histories.counts())),
    }


def _shown(events: Events) -> list[dict[str, Any]]:
    """The first histories, each as a list of titles."""
    found = []
    for number, user in enumerate(events.users[:SHOWN]):
        items = [events.items[item] for item in events.histories[number].tolist()]
        titles = [item.title or item.id for item in items[:SHOWN_ITEMS]]
        found.append({"user": user, "items": titles, "more": len(items) - len(titles)})
    return found


def _command(settings: FinetuneSettings) -> list[str]:
    """The command that trains on these files with these settings."""
    given = {name: getattr(settings, name) for name in ("data", *COLUMNS)}
    for name in ("sheet", "bad_records", "bad_bytes", "min_events"):
        if getattr(settings, name) != type(settings).model_fields[name].default:
            given[name] = getattr(settings, name)
    return command_line("finetune", {"size": "1M", "task": settings.task, **given, "output": "RUN"})
