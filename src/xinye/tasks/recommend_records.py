"""Reads events and puts them together: the history of each user, and the items of all."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from xinye.data.files import fingerprint
from xinye.data.notes import Notes
from xinye.errors import XinyeError, plural
from xinye.planning.column_settings import ColumnSettings
from xinye.ranking.histories import Histories
from xinye.ranking.items import Item
from xinye.tasks.bad_records import Refused
from xinye.tasks.recommend_events import Gathering, Ids, Part, check_kinds, shown_kinds
from xinye.tasks.recommend_items import record_files
from xinye.tasks.recommend_quick import Odd, read_quickly
from xinye.tasks.recommend_rows import read_rows
from xinye.tasks.recommend_times import ORDER
from xinye.tasks.records import MISSING, OnBad, refuse

SORTED_AT_ONCE = 1 << 18  # events


@dataclass(frozen=True)
class Events:
    """The events of all files. `items` are those of the catalogue first, then others in the order
    of their first event; item i is number i of the histories.

    After `learned`, `items` are only those that are learned by id, and `rare` are all others.
    """

    histories: Histories
    users: list[str]
    items: list[Item]
    rare: list[Item] = field(default_factory=list)
    files: tuple[Path, ...] = ()
    rows: int = 0  # records in the files
    left_out: dict[str, int] = field(default_factory=dict)  # how many events, by reason
    order: str = "the order of the file"  # what orders a history
    findings: list[str] = field(default_factory=list)

    @property
    def fingerprint(self) -> str:
        """A hash of the files' bytes."""
        return fingerprint(self.files)


def read_events(
    files: Sequence[str],
    settings: ColumnSettings,
    items: Sequence[Item] = (),
    notes: Notes | None = None,
    on_bad: OnBad = refuse,
    to_learn: bool = True,
) -> Events:
    """The events of files, sorted by user and time; of several events of a user with an item, the
    first counts. `items` are those of the catalogue.

    Bad records go to `on_bad`. If the events are `to_learn` from, this raises `XinyeError` where
    nothing can be learned.
    """
    notes = notes or Notes()
    gathering = Gathering(settings, Ids(), Ids(item.id for item in items))
    parts = []
    for path in record_files(files, notes):
        refused = Refused(path, on_bad)
        try:
            part = read_quickly(path, gathering, notes)
        except Odd:
            part = read_rows(path, gathering, refused, notes)
        if not part.rows:
            nothing = XinyeError(f"{path}: no events in it{notes.of_file(path)}")
            raise next(iter(refused.errors), nothing)
        refused.check(part.rows, notes)
        parts.append(part)
    kinds = sum((part.kinds for part in parts), Counter[str]())
    check_kinds(kinds, settings)
    if settings.min_rating is not None and not any(part.ratings for part in parts):
        raise XinyeError(
            "--min-rating: the events have no ratings; leave it out, or name the column with "
            "--rating-field"
        )
    _check_times(parts)
    events = _together(parts, gathering, items)
    if to_learn:
        _check(events, settings, parts)
    return replace(events, findings=[*_findings(events, settings, parts, items)])


def _check_times(parts: Sequence[Part]) -> None:
    """Raises `XinyeError` if the times of two files cannot be compared."""
    first = parts[0]
    for part in parts[1:]:
        if bool(part.form) != bool(first.form):
            timed, other = (part, first) if part.form else (first, part)
            raise XinyeError(
                f"{other.path}: its events have no times, but those of {timed.path} have; add a "
                "column of times, or remove it there"
            )
        if part.form != first.form and ORDER in (part.form, first.form):
            raise XinyeError(
                f"{first.path} and {part.path}: the times have two formats: {first.form} and "
                f"{part.form}. Write all in one format"
            )


def _together(parts: list[Part], gathering: Gathering, items: Sequence[Item]) -> Events:
    """The events of all files, without repeated ones."""
    left_out = sum((part.left_out for part in parts), Counter[str]())
    form = parts[0].form
    names, user_names = [*gathering.items.numbers], [*gathering.users.numbers]
    histories = sorted_histories(parts, len(user_names))
    histories, repeats = without_repeats(replace(histories, item_count=len(names)))
    left_out["repeats"] = repeats
    histories, kept_users = with_events(histories)
    known = [*items, *(Item(name) for name in names[len(items) :])]
    used = histories.counts() > 0
    used[: len(items)] = True  # the catalogue stays, used or not
    return Events(
        numbered(histories, used),
        [user_names[number] for number in kept_users],
        [known[number] for number in np.flatnonzero(used)],
        files=tuple(part.path for part in parts),
        rows=sum(part.rows for part in parts),
        left_out={reason: count for reason, count in left_out.items() if count},
        order=form or "the order of the file",
    )


def _joined(parts: Sequence[Part], name: str) -> np.ndarray:
    """A column of all files. The parts lose it."""
    arrays = [array for part in parts for array in getattr(part, name)]
    for part in parts:
        getattr(part, name).clear()
    return np.concatenate(arrays) if arrays else np.empty(0)


# -- histories from arrays of events ---------------------------------------------------------------


def sorted_histories(parts: Sequence[Part], user_count: int) -> Histories:
    """The histories in the events of files; events of the same time keep their order.

    The parts lose their events: at most 36 bytes an event are in use at any moment.
    """
    users = _joined(parts, "users")
    counts = np.bincount(users, minlength=user_count)
    starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))
    order = np.argsort(users, kind="stable")
    del users
    items = _joined(parts, "items")[order]
    if not any(part.times for part in parts):
        return Histories(starts, items, 0)
    times = _joined(parts, "times")[order]
    del order
    for some, users in _blocks(starts):
        order = np.lexsort((times[some], users))
        items[some] = items[some][order]
        times[some] = times[some][order]
    return Histories(starts, items, 0, times)


def _blocks(starts: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """The events in slices, each of whole users and with the user of each event."""
    first = 0
    while first < len(starts) - 1:
        end = int(np.searchsorted(starts, starts[first] + SORTED_AT_ONCE))
        end = min(max(end, first + 1), len(starts) - 1)
        users = np.repeat(np.arange(first, end), np.diff(starts[first : end + 1]))
        yield slice(int(starts[first]), int(starts[end])), users
        first = end


def without_repeats(histories: Histories) -> tuple[Histories, int]:
    """The histories with only the first of several events of a user with an item, and the number
    of the others."""
    keep = np.ones(histories.event_count, bool)
    for some, users in _blocks(histories.starts):
        key = users * histories.item_count + histories.items[some]
        _, first = np.unique(key, return_index=True)
        keep[some] = False
        keep[some.start + first] = True
    repeats = int((~keep).sum())
    return (histories.kept(keep) if repeats else histories), repeats


def with_events(histories: Histories) -> tuple[Histories, np.ndarray]:
    """The histories that are not empty, and the numbers of their users."""
    lengths = np.diff(histories.starts)
    users = np.flatnonzero(lengths)
    starts = np.concatenate(([0], np.cumsum(lengths[users])))
    return replace(histories, starts=starts), users


def numbered(histories: Histories, kept: np.ndarray) -> Histories:
    """The histories with only the items of a mask (n,), numbered 0, 1, 2 … in their order."""
    there = kept[histories.items]
    if not there.all():
        histories = histories.kept(there)
    numbers = np.cumsum(kept, dtype=np.int32) - np.int32(1)
    return replace(histories, items=numbers[histories.items], item_count=int(kept.sum()))


def learned(events: Events, min_events: int) -> Events:
    """The events with only the items that have at least `min_events`, which are numbered anew; all
    others become `rare`. Raises `XinyeError` if fewer than two items are left."""
    often = events.histories.counts() >= min_events
    if often.sum() < 2:
        most = int(events.histories.counts().max())
        raise XinyeError(
            f"only {plural(int(often.sum()), 'item')} with {plural(min_events, 'event')} or more, "
            f"too few to learn from; the most used item has {most:,}. Give more events, or a "
            "smaller --min-events"
        )
    histories, users = with_events(numbered(events.histories, often))
    lost = events.histories.event_count - histories.event_count
    findings = [*events.findings]
    if lost:
        findings.append(
            f"items with fewer than {plural(min_events, 'event')} are recommended by text only: "
            f"{plural(int((~often).sum()), 'item')}, whose {plural(lost, 'event')} are left out"
        )
    return replace(
        events,
        histories=histories,
        users=[events.users[number] for number in users],
        items=[item for item, some in zip(events.items, often, strict=True) if some],
        rare=[item for item, some in zip(events.items, often, strict=True) if not some],
        left_out=events.left_out | ({"rare": lost} if lost else {}),
        findings=findings,
    )


# -- what is wrong with all events together --------------------------------------------------------


def _check(events: Events, settings: ColumnSettings, parts: Sequence[Part]) -> None:
    """Raises `XinyeError` if there is nothing to learn from the events."""
    histories = events.histories
    where = ", ".join(str(path) for path in events.files[:3])
    if not histories.event_count:
        _refuse_all(events, settings, parts, where)
    used = int((histories.counts() > 0).sum())
    if len(histories) == 1 and used == 1:
        item = events.items[int(histories.items[0])].id
        raise XinyeError(
            f"{where}: all events are equal: user {events.users[0]!r} and item {item!r}, so there "
            "is nothing to learn from"
        )
    if len(histories) == 1:
        raise XinyeError(
            f"{where}: all events are of one user, {events.users[0]!r}; give the events of several "
            "users, or name their column with --user-field"
        )
    if used == 1:
        item = events.items[int(histories.items[0])].id
        raise XinyeError(
            f"{where}: all events are with one item, {item!r}; give events with several items, or "
            "name their column with --item-field"
        )
    if np.diff(histories.starts).max() < 2:
        raise XinyeError(
            f"{where}: no user has used two different items, so there is no next item to learn; "
            "is --user-field the right column?"
        )


def _refuse_all(
    events: Events, settings: ColumnSettings, parts: Sequence[Part], where: str
) -> None:
    ratings = [rating for part in parts for rating in part.ratings]
    if settings.min_rating is not None and ratings:
        raise XinyeError(
            f"{where}: no event has a rating of {settings.min_rating:g} or more; the ratings lie "
            f"between {min(ratings):g} and {max(ratings):g}. Give a lower --min-rating"
        )
    raise XinyeError(f"{where}: no event is left: --events and --min-rating leave out all of them")


MANY = 0.2  # share of the events that are repeats
_LEFT_OUT = {
    "repeats": "of several events of a user with an item, the first counts: {events} left out",
    "kinds": "left out by --events: {events} of other kinds",
    "low": "left out by --min-rating: {events} with a lower rating",
    "unrated": "left out by --min-rating: {events} without a rating",
}


def _findings(
    events: Events, settings: ColumnSettings, parts: Sequence[Part], items: Sequence[Item]
) -> Iterator[str]:
    """What a person should know about the events."""
    if events.histories.times is None:
        yield "the events have no times: their order in the file counts"
    elif events.order == ORDER:
        yield "the times are plain numbers: only their order counts"
    for reason, sentence in _LEFT_OUT.items():
        if count := events.left_out.get(reason):
            yield sentence.format(events=plural(count, "event"))
    if events.left_out.get("repeats", 0) > MANY * events.rows:
        yield (
            "many events are repeats: what a user had is not recommended again, which does not "
            "suit what people buy again and again, such as food"
        )
    kinds = sum((part.kinds for part in parts), Counter[str]())
    if len(kinds) > 1 and not settings.events:
        yield f"events of all kinds count: {shown_kinds(kinds)}. To choose some: --events KIND,KIND"
    rated = sum((part.ratings for part in parts), Counter[float]())
    if len(rated) > 1 and settings.min_rating is None:
        yield (
            f"low ratings, from {min(rated):g}, count like high ones, up to {max(rated):g}; to "
            "leave out low ones: --min-rating X"
        )
    yield from _unknown_items(events, items)
    lacking = [name for name in events.users if name.casefold() in MISSING]
    lacking += [item.id for item in events.items if item.id.casefold() in MISSING]
    for name in lacking:
        yield f"the id {name!r} looks like a missing value"


def _unknown_items(events: Events, items: Sequence[Item]) -> Iterator[str]:
    """A finding about items that the catalogue lacks. Raises `XinyeError` if it lacks them all."""
    unknown = events.items[len(items) :]
    if not items or not unknown:
        return
    counts = events.histories.counts()
    if not counts[: len(items)].any():
        raise XinyeError(
            f"{events.files[0]}: none of its items is in the file of items: there is "
            f"{unknown[0].id!r} here, and {items[0].id!r} there. Name the column of the same ids "
            "with --item-field"
        )
    yield (
        f"not in the file of items, so without title and text: {plural(len(unknown), 'item')}, "
        f"such as {unknown[0].id!r}, with "
        f"{plural(int(counts[len(items) :].sum()), 'event')}"
    )
