"""The bodies of requests to the server of recommendations."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator

from xinye.apps.recommend.behaviour import Event
from xinye.apps.recommend.limits import (
    KIND,
    MOST_EXCLUDED,
    MOST_FILTERS,
    MOST_HISTORY,
    MOST_SUGGESTED,
    MOST_TAGS,
    TAG,
    TEXT,
    TITLE,
)
from xinye.ranking.items import LONGEST_ID, Item
from xinye.ranking.suggestions import Asked
from xinye.server.bodies import OR_NUMBER, Body
from xinye.server.errors import APIError
from xinye.tasks.recommend_times import ORDER, seconds_of

Id = Annotated[str, Field(min_length=1, max_length=LONGEST_ID), OR_NUMBER]
Value = Annotated[str, Field(max_length=TITLE)]


class RecommendRequest(Body):
    """Who or what to recommend for: a `user`, or a `history` of items, oldest first. `filter` asks
    for items with all of these values, such as `{"tag": "comedy"}`."""

    user: Id | None = None
    history: list[Id] | None = Field(None, max_length=MOST_HISTORY)
    k: int = Field(10, ge=1, le=MOST_SUGGESTED)
    exclude: list[Id] = Field([], max_length=MOST_EXCLUDED)
    filter: dict[str, Value | Annotated[list[Value], Field(max_length=MOST_FILTERS)]] = Field(
        {}, max_length=MOST_FILTERS
    )
    diversity: float = Field(0.0, ge=0, le=1)

    def asked(self) -> Asked:
        """The question to the recommender. Of an item that is twice in the history the first use
        counts, as in the training. Raises `APIError`."""
        if (self.user is None) == (self.history is None):
            raise APIError(
                400, "give either user or history; an empty history gets what is popular", "user"
            )
        history = None if self.history is None else tuple(dict.fromkeys(self.history))
        filters = tuple(
            (name, value)
            for name, given in self.filter.items()
            for value in ([given] if isinstance(given, str) else given)
        )
        excluded = frozenset(self.exclude)
        if len(filters) > MOST_FILTERS:
            raise APIError(400, f"at most {MOST_FILTERS} values can be asked for", "filter")
        return Asked(self.user, history, self.k, excluded, filters, self.diversity)


def _seconds(given: Any) -> float | None:
    """A time as seconds since 1970. Raises `ValueError`."""
    if given is None:
        return None
    if isinstance(given, float):
        given = f"{given:.6f}".rstrip("0").rstrip(".")
    text = str(given)[:40]
    found = seconds_of(text)
    if found is None or found[1] == ORDER or isinstance(given, bool):
        raise ValueError(
            f"{text!r} is not understood; write seconds since 1970, or a date such as "
            "2026-03-05T09:13:20"
        )
    return found[0]


class EventRequest(Body):
    """A user used an item. `time` is in seconds since 1970, or a date such as
    2026-03-05T09:13:20+08:00 (UTC without a zone); now if it is missing. `event` is its kind, such
    as `purchase`."""

    user: Id
    item: Id
    time: Annotated[float | None, PlainValidator(_seconds)] = None
    event: str = Field("", max_length=KIND)

    def read(self) -> Event:
        """The event."""
        return Event(self.user, self.item, self.time, self.event)


class ItemRequest(Body):
    """An item: its title, a text about it, and tags. What is missing is empty."""

    title: str = Field("", max_length=TITLE)
    text: str = Field("", max_length=TEXT)
    tags: list[Annotated[str, Field(min_length=1, max_length=TAG)]] = Field(
        [], max_length=MOST_TAGS
    )

    def item(self, id: str) -> Item:
        """The item with this id. Raises `APIError`."""
        if not (self.title.strip() or self.text.strip() or self.tags):
            raise APIError(400, "give a title, a text or tags, by which it is recommended", "title")
        return Item(id, self.title, self.text, tuple(dict.fromkeys(self.tags)))
