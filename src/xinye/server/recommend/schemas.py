"""The bodies of requests to the server of recommendations."""

from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from xinye.apps.recommend.behaviour import Event
from xinye.apps.recommend.limits import (
    ID,
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
from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked
from xinye.server.bodies import Body, Id

LATEST = 1e11  # seconds since 1970; what is above are milliseconds
Ids = Annotated[Id, Field(min_length=1, max_length=ID)]
Value = Annotated[str, Field(max_length=TITLE)]


class RecommendRequest(Body):
    """Who or what to recommend for: a `user`, or a `history` of items, oldest first. `filter` asks
    for items with all of these values, such as `{"tag": "comedy"}`."""

    user: Ids | None = None
    history: list[Ids] | None = Field(None, max_length=MOST_HISTORY)
    k: int = Field(10, ge=1, le=MOST_SUGGESTED)
    exclude: list[Ids] = Field([], max_length=MOST_EXCLUDED)
    filter: dict[str, Value | Annotated[list[Value], Field(max_length=MOST_FILTERS)]] = Field(
        {}, max_length=MOST_FILTERS
    )
    diversity: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _of_one(self) -> Self:
        if (self.user is None) == (self.history is None):
            raise ValueError("give either user or history; an empty history gets what is popular")
        return self

    def asked(self) -> Asked:
        """The question to the recommender. Of an item that is twice in the history the first use
        counts, as in the training."""
        history = None if self.history is None else tuple(dict.fromkeys(self.history))
        filters = tuple(
            (name, value)
            for name, given in self.filter.items()
            for value in ([given] if isinstance(given, str) else given)
        )
        excluded = frozenset(self.exclude)
        return Asked(self.user, history, self.k, excluded, filters, self.diversity)


class EventRequest(Body):
    """A user used an item. `time` is in seconds since 1970, or a date such as
    2026-03-05T09:13:20+08:00 (UTC without a zone); now if it is missing. `event` is its kind, such
    as `purchase`."""

    user: Ids
    item: Ids
    time: int | float | str | None = None
    event: str = Field("", max_length=KIND)

    @model_validator(mode="after")
    def _readable(self) -> Self:
        self.seconds()
        return self

    def seconds(self) -> float | None:
        """The time in seconds since 1970, None for now. Raises `ValueError`."""
        if self.time is None:
            return None
        if isinstance(self.time, str):
            return _of_date(self.time)
        if not 0 <= self.time < LATEST:
            raise ValueError("time: this is not in seconds since 1970")
        return float(self.time)

    def read(self) -> Event:
        """The event."""
        return Event(self.user, self.item, self.seconds(), self.event)


class ItemRequest(Body):
    """An item: its title, a text about it, and tags. What is missing is empty."""

    title: str = Field("", max_length=TITLE)
    text: str = Field("", max_length=TEXT)
    tags: list[Annotated[str, Field(min_length=1, max_length=TAG)]] = Field(
        [], max_length=MOST_TAGS
    )

    @model_validator(mode="after")
    def _with_words(self) -> Self:
        if not (self.title.strip() or self.text.strip()):
            raise ValueError("title: give a title or a text, by which the item is recommended")
        return self

    def item(self, id: str) -> Item:
        """The item with this id."""
        return Item(id, self.title, self.text, tuple(dict.fromkeys(self.tags)))


def _of_date(text: str) -> float:
    try:
        moment = datetime.fromisoformat(text.strip()[:40])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"time: {text[:40]!r} is not understood; write seconds since 1970, or a date such as "
            "2026-03-05T09:13:20"
        ) from None
