"""The items that can be recommended now, with what is known of each."""

from bisect import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from safetensors.numpy import save_file
from torch import Tensor

from xinye.data.files import written_beside
from xinye.errors import NotFound, XinyeError, did_you_mean
from xinye.guesses import nearest
from xinye.ranking.items import Item
from xinye.ranking.tensor_files import read_arrays

FEATURES = "features.safetensors"
NEAR = 32  # words that are compared with one that is not known


class UnknownItem(NotFound):
    """A history names an item that the recommender does not know. `nearest` is the id that is most
    like it, or ""."""

    def __init__(self, item: str, catalogue: "Catalogue") -> None:
        self.item = item
        self.nearest = catalogue.like(item)
        near = f"; the nearest is {self.nearest!r}" if self.nearest else ""
        super().__init__(f"the item {item!r} is unknown{near}")


@dataclass(frozen=True)
class Catalogue:
    """All items by number: those whose events were counted, then those that are known by their
    texts only. The network learned the first ones, and has rows from texts for the others."""

    items: tuple[Item, ...]
    numbers: Mapping[str, int]
    counted: int
    rows: Tensor  # (items, C)
    with_text: np.ndarray  # (items,) of bool: whether an item can be recommended at all
    prior: np.ndarray  # (items,) what the GPT's logit of an item changes by, because few used it

    def number(self, item: str) -> int:
        """The number of an item. Raises `UnknownItem`."""
        if item not in self.numbers:
            raise UnknownItem(item, self)
        return self.numbers[item]

    def like(self, item: str) -> str:
        """The known id that is most like this one, or whose title is; "" if none is. Looks at those
        that begin or end alike, so that a request costs little in a large catalogue."""
        if near := nearest(item, self._ids.near(item)):
            return near[0]
        name = item.casefold()
        near = nearest(name, self._titles.near(name))
        return (
            next(each.id for each in self.items if each.title.casefold() == near[0]) if near else ""
        )

    @cached_property
    def _ids(self) -> "Words":
        return Words.of(self.numbers)

    @cached_property
    def _titles(self) -> "Words":
        return Words.of({each.title.casefold() for each in self.items if each.title})

    def with_tags(self, wanted: Sequence[str]) -> np.ndarray:
        """Which items have all these tags, a mask (items,). Raises `XinyeError` for a tag that no
        item has."""
        kept = np.ones(len(self.items), bool)
        for tag in wanted:
            having = [tag.casefold() in map(str.casefold, item.tags) for item in self.items]
            if not any(having):
                tags = {each for item in self.items for each in item.tags}
                raise XinyeError(f"no item has the tag {tag!r}{did_you_mean(tag, tags)}")
            kept &= np.array(having, bool)
        return kept


@dataclass(frozen=True)
class Words:
    """Words in the order of their beginnings and in that of their ends."""

    forward: Sequence[str]
    backward: Sequence[str]  # each is reversed

    @classmethod
    def of(cls, words: Iterable[str]) -> Self:
        forward = sorted(words)
        return cls(forward, sorted(word[::-1] for word in forward))

    def near(self, word: str) -> set[str]:
        """The `NEAR` words before this one and behind it, in both orders."""
        ends = _around(self.backward, word[::-1])
        return {*_around(self.forward, word), *(end[::-1] for end in ends)}


def _around(ordered: Sequence[str], word: str) -> Sequence[str]:
    place = bisect(ordered, word)
    return ordered[max(0, place - NEAR) : place + NEAR]


def rarity(counts: np.ndarray, counted: int) -> np.ndarray:
    """What the GPT's logits of the items change by, (items,), from the number of their users.

    From a text alone, an item seems as likely as other items of such texts are on average. Items
    behind the `counted` ones had their chance, and few users took it: their logits get the
    logarithm of how much fewer these are. Nothing is known of items that come later, which have 0.
    """
    usual = max(float(counts[:counted].mean()), 1.0)
    found = np.log((counts + 1) / usual).astype(np.float32)
    found[:counted] = 0
    return np.minimum(found, 0)


def save_features(folder: Path, features: np.ndarray) -> None:
    """Write the features (m, F) of the texts of items that the network did not learn."""
    with written_beside(folder / FEATURES) as beside:
        save_file({"features": np.ascontiguousarray(features, np.float32)}, beside)


def load_features(folder: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The features that `save_features` wrote; None if there is no such file. Raises `XinyeError`
    if they are damaged or have another shape."""
    path = folder / FEATURES
    if not path.exists():
        return None
    found = read_arrays(path).get("features", np.empty(0))
    if found.shape != shape or found.dtype != np.float32 or not np.isfinite(found).all():
        raise XinyeError(f"{path}: it does not fit the catalogue; restore the files")
    return found
