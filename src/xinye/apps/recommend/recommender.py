"""`Recommending`: what the service needs of a recommender, such as that of a run."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked, Recommended


class Items(Protocol):
    """All items that can be recommended now, and the place of each by its id."""

    @property
    def items(self) -> Sequence[Item]: ...

    @property
    def numbers(self) -> Mapping[str, int]: ...


class Recommending(Protocol):
    """Recommends items. All methods may be called from several threads, also while an item is
    put. For an unknown item they raise `NotFound`, which names the nearest id."""

    @property
    def catalogue(self) -> Items: ...

    def recommend(self, asked: Asked) -> Recommended: ...

    def item(self, item: str, /) -> Item: ...

    def can_recommend(self, item: str, /) -> bool:
        """Whether enough is known of an item."""
        ...

    def put_item(self, item: Item, /) -> object: ...

    def put_items(self, items: Sequence[Item], /) -> object: ...

    def history_of(self, user: str, /) -> Sequence[str]:
        """The items of a user in the training, oldest first; empty for others."""
        ...
