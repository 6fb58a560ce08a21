"""What is asked of a recommender, and what it answers."""

from dataclasses import dataclass
from typing import Literal

ReasonKind = Literal["similar", "text", "popular", "history"]


@dataclass(frozen=True)
class Asked:
    """A question to a recommender: for a user that it knows from training, or after a history of
    items, oldest first. An empty history gets what is popular."""

    user: str | None = None
    history: tuple[str, ...] | None = None
    k: int = 10
    exclude: frozenset[str] = frozenset()  # ids of items that are not wanted
    filters: tuple[tuple[str, str], ...] = ()  # such as ("tag", "comedy")
    diversity: float = 0.0  # 0 orders by score only, 1 by difference only


@dataclass(frozen=True)
class Reason:
    """Why an item is suggested: users of item `to` of the history often used it, or its text is
    similar; it is popular; or it fits the history as a whole, by what the GPT learned."""

    kind: ReasonKind
    to: str | None = None  # the id of an item of the history


@dataclass(frozen=True)
class Suggestion:
    """A suggested item. Higher scores are better; they compare within one answer only."""

    id: str
    title: str
    score: float
    reason: Reason


@dataclass(frozen=True)
class Recommended:
    """The answer of a recommender, the best first. `cold` says that nothing was known of the
    user."""

    items: list[Suggestion]
    cold: bool = False
