"""`Shop`: recommendations that use the newest events and items at once."""

import threading
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from xinye.apps.recommend.behaviour import Added, Behaviour, Event
from xinye.apps.recommend.recommender import Recommending
from xinye.checkpoints.folders import ITEMS
from xinye.ranking.history_file import drop_user, history_in
from xinye.ranking.items import Item
from xinye.ranking.suggestions import Asked, Recommended
from xinye.runs.folder import RunFolder


class Shop:
    """A recommender and what happened since its training. Users are kept in the store, items in
    both. All methods may be called from several threads."""

    def __init__(self, recommender: Recommending, behaviour: Behaviour, run: Path) -> None:
        """The items that were added before are given to the recommender. Those that the run has in
        the same words, because it was trained again, are not kept any longer. If the run learned
        from some kinds of events only, no other ones count later."""
        self.kinds = kinds_of(run)
        self._putting = threading.Lock()
        self.recommender, self.behaviour, self.run = recommender, behaviour, run
        added, known = behaviour.items(), {*recommender.catalogue.items}
        if same := [each for each in added if each in known]:
            behaviour.drop(same)
        recommender.put_items([each for each in added if each not in known])

    def recommend(self, asked: Asked) -> Recommended:
        """Items for a user, of whom nothing has to be known, or after a history. Raises `NotFound`
        for an unknown item of the history."""
        if asked.user is not None:
            asked = replace(asked, user=None, history=tuple(self.history_of(asked.user)))
        return self.recommender.recommend(asked)

    def history_of(self, user: str) -> list[str]:
        """The items that a user is known to have used, oldest first: those of the training, then
        the newer ones. Those that no longer exist are left out."""
        newer = self.behaviour.newer(user, self.kinds)
        trained: Sequence[str] = () if newer.forgotten else self.recommender.history_of(user)
        items, known = dict.fromkeys((*trained, *newer.items)), self.recommender.catalogue.numbers
        return [each for each in items if each in known]

    def add(self, events: Sequence[Event]) -> Added:
        """Save events, which the next recommendation uses. Raises `NotFound` for an unknown item;
        then nothing is saved."""
        for each in events:
            self.recommender.item(each.item)
        return self.behaviour.add(events)

    def put(self, item: Item) -> bool:
        """Save an item, or the new state of one, which can be recommended at once. Returns whether
        it is new."""
        with self._putting:  # the store and the recommender get the same last state
            new = item.id not in self.recommender.catalogue.numbers
            self.behaviour.put(item)
            self.recommender.put_item(item)
            return new

    def item(self, id: str) -> Item:
        """One item. Raises `NotFound`."""
        return self.recommender.item(id)

    def find(self, query: str, count: int) -> list[Item]:
        """The items whose title or id has these words, those first whose title begins with them;
        some items without a query."""
        words = query.casefold().split()
        found: list[tuple[bool, Item]] = []
        for item in self.recommender.catalogue.items:
            title = item.title.casefold()
            if all(word in title or word == item.id.casefold() for word in words):
                found.append((not title.startswith(query.casefold().strip()), item))
                if not words and len(found) >= count:
                    break
        return [item for _, item in sorted(found, key=lambda each: each[0])[:count]]

    def export(self, user: str) -> dict[str, Any]:
        """Everything that is kept of a user."""
        return exported(self.behaviour, self.run, user)

    def forget(self, user: str) -> int:
        """Forget a user. Returns how many events there were, with those of the training."""
        return forget_in(self.behaviour, self.run, user)


def kinds_of(run: Path) -> frozenset[str]:
    """The kinds of events that a run learned from, in lower case; none if it learned from all, or
    was copied without its folder of the training."""
    folder = RunFolder(run)
    settings = folder.about().get("settings") if folder.settings_file.exists() else None
    kinds = settings.get("events") if isinstance(settings, dict) else None
    return frozenset(str(kind).casefold() for kind in kinds or ())


def exported(behaviour: Behaviour | None, run: Path, user: str) -> dict[str, Any]:
    """Everything that is kept of a user: the history from the training, and later events, if there
    is a store of them."""
    events = [asdict(each) for each in behaviour.events_of(user)] if behaviour else []
    for each in events:
        del each["user"]
    return {"user": user, "trained": history_in(run / ITEMS, user), "events": events}


def forget_in(behaviour: Behaviour | None, run: Path, user: str) -> int:
    """Delete the events of a user in the store, if there is one, and in the run. Returns how many
    there were. The network's weights, which were trained with all users, stay as they are."""
    deleted = behaviour.forget(user) if behaviour else 0  # now nothing is recommended by the file
    return deleted + drop_user(run / ITEMS, user)
