"""`Recommending`: what the service needs of a recommender, such as that of a run."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked, Recommended


class Recommending(Protocol):
    """Recommends items. All methods may be called from several threads, also while an item is
    put."""

    def recommend(self, asked: Asked) -> Recommended: ...

    def put_item(self, item: Item) -> None: ...

    def has_item(self, id: str) -> bool: ...

    def item(self, id: str) -> Item: ...

    def items(self) -> Iterable[Item]: ...

    def nearest(self, id: str) -> str:
        """The id of an item that this unknown id may mean, or ""."""
        ...

    def history_of(self, user: str) -> Sequence[str]:
        """The items of a user in the training, oldest first; empty for others."""
        ...
