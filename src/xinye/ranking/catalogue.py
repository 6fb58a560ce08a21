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

UNLEARNED = "unlearned.safetensors"
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
            having = self._tagged.get(tag.casefold())
            if having is None:
                near = did_you_mean(tag, self._tags.near(tag))
                raise XinyeError(f"no item has the tag {tag!r}{near}")
            kept &= np.isin(np.arange(len(kept)), having)
        return kept

    @cached_property
    def _tagged(self) -> dict[str, list[int]]:
        """The numbers of the items with each tag, in lower case."""
        found: dict[str, list[int]] = {}
        for number, item in enumerate(self.items):
            for tag in {each.casefold() for each in item.tags}:
                found.setdefault(tag, []).append(number)
        return found

    @cached_property
    def _tags(self) -> "Words":
        return Words.of({tag for item in self.items for tag in item.tags})


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


@dataclass(frozen=True)
class Unlearned:
    """What is saved of the m items that the network did not learn: features of their texts, (m, F),
    and the number of users of each, (m,)."""

    features: np.ndarray
    uses: np.ndarray

    def save(self, folder: Path) -> None:
        """Write them into a folder."""
        tensors: dict[str, np.ndarray] = {
            "features": np.ascontiguousarray(self.features, np.float32),
            "uses": self.uses.astype(np.int64),
        }
        with written_beside(folder / UNLEARNED) as beside:
            save_file(tensors, beside)

    @classmethod
    def load(cls, folder: Path, shape: tuple[int, int]) -> Self | None:
        """What `save` wrote of items whose features have this shape; None if there is no such file.
        Raises `XinyeError` if the file is damaged, or has another shape."""
        path = folder / UNLEARNED
        if not path.exists():
            return None
        found = read_arrays(path)
        features, uses = (found.get(name, np.empty(0)) for name in ("features", "uses"))
        fits = features.shape == shape and uses.shape == shape[:1]
        kinds = features.dtype == np.float32 and uses.dtype == np.int64
        if not fits or not kinds or not np.isfinite(features).all() or (uses < 0).any():
            raise XinyeError(f"{path}: it does not fit the catalogue; restore the files")
        return cls(features, uses)


def rarity(uses: np.ndarray, usual: float) -> np.ndarray:
    """What the GPT's logits of items that few used change by, (m,), from the number of the users of
    each and of the users that learned items have on average.

    From a text alone, an item seems as likely as other items of such texts are. But these had their
    chance, and few users took it: their logits get the logarithm of how much fewer these are.
    Nothing is known of items that nobody used yet, which keep theirs.
    """
    changes = np.minimum(np.log((uses + 1) / max(usual, 1.0)), 0).astype(np.float32)
    return np.where(uses > 0, changes, np.float32(0))
