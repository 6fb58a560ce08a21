"""A recommender that knows seven books and two users instead of having learned from many."""

import threading
from collections.abc import Sequence
from types import SimpleNamespace

from xinye.errors import NotFound, did_you_mean
from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked, Reason, Recommended, Suggestion

BOOKS = (
    Item("b1", "活着", "一个人的一生。", ("小说",)),
    Item("b2", "三体", "地球之外的文明。", ("小说", "科幻")),
    Item("b3", "Dune", "A desert planet and its spice.", ("novel", "sf")),
    Item("b4", "Emma", "A matchmaker errs.", ("novel",)),
    Item("儿童/绘本 1", "猜猜我有多爱你", "大兔子和小兔子。", ("绘本",)),
    Item("b/6", "Leaves & trees", "How to know them.", ("nature",)),
    Item("7", "", "A book without a title.", ("novel",)),
)
READERS = {"li.lei": ("b1",), "韩梅梅": ("b3", "b4")}


class Bookshop:
    """Suggests books with the tags of the last one of a history, then the others in their order."""

    def __init__(self) -> None:
        self._items = {each.id: each for each in BOOKS}
        self.asked: list[Asked] = []
        self.reached = threading.Event()
        self.fails: Exception | None = None
        self.waits: threading.Event | None = None

    def recommend(self, asked: Asked) -> Recommended:
        self.asked.append(asked)
        self.reached.set()
        if self.waits:
            self.waits.wait(10)
        if self.fails:
            raise self.fails
        assert asked.user is None and asked.history is not None
        left_out = {*asked.history, *asked.exclude}
        known = [self.item(each) for each in asked.history]
        wanted = {value for _, value in asked.filters}
        found = [
            self._suggestion(item, place, known)
            for place, item in enumerate(self._items.values())
            if item.id not in left_out and wanted <= {*item.tags}
        ]
        found.sort(key=lambda each: -each.score)
        return Recommended(found[: asked.k], cold=not known)

    def _suggestion(self, item: Item, place: int, known: Sequence[Item]) -> Suggestion:
        score, reason = -float(place), Reason("popular")
        for each in known:
            if {*each.tags} & {*item.tags}:
                learned = item.id in {book.id for book in BOOKS}
                score, reason = 10.0 - place, Reason("similar" if learned else "text", each.id)
        return Suggestion(item.id, item.title, score, reason)

    def can_recommend(self, id: str) -> bool:
        return bool(self.item(id).title)

    def put_item(self, item: Item) -> None:
        self._items[item.id] = item

    def put_items(self, items: Sequence[Item]) -> None:
        for item in items:
            self.put_item(item)

    def item(self, id: str) -> Item:
        if id not in self._items:
            raise NotFound(f"there is no item {id!r}{did_you_mean(id, self._items)}")
        return self._items[id]

    @property
    def catalogue(self) -> SimpleNamespace:
        return SimpleNamespace(items=[*self._items.values()], numbers=dict.fromkeys(self._items, 0))

    def history_of(self, user: str) -> Sequence[str]:
        return READERS.get(user, ())
