"""Events, in which users used items, as arrays of numbers: what a cell holds, which events count,
and the numbers of users and items.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.notes import without_unseen
from xinye.errors import XinyeError, did_you_mean
from xinye.planning.column_settings import ColumnSettings
from xinye.ranking.items import LONGEST_ID

KINDS_SHOWN = 8
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # tabs and line ends among them


def id_of(value: Any) -> str:
    """The id of a user or item in a cell. Raises `ValueError` if it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # pandas stores whole numbers this way if some are missing
    if value is None or (isinstance(value, float) and math.isnan(value)):
        value = ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(f"expected an id, found {str(value)[:40]!r}")
    name = without_unseen(str(value))
    if not name:
        raise ValueError("the id is empty; fill it in or delete the record")
    if len(name) > LONGEST_ID:
        raise ValueError(f"the id has {len(name):,} characters; at most {LONGEST_ID} are allowed")
    if _CONTROL.search(name):
        raise ValueError(f"the id {name[:40]!r} contains a tab, a line end or a control character")
    if "\ufffd" in name:
        raise ValueError(f"the id {name[:40]!r} contains bytes that could not be read")
    return name


def rating_of(value: Any) -> float:
    """A rating, NaN for an empty cell. Raises `ValueError` if it is no finite number."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isnan(number):
        return math.nan
    if math.isinf(number) or isinstance(value, bool):
        raise ValueError(f"the rating {str(value)[:40]!r} is not a number")
    return number


@dataclass(frozen=True)
class Coded:
    """A column of names: for each row, (E,), the number of its name in `values`."""

    codes: np.ndarray
    values: Sequence[str]

    @classmethod
    def of(cls, names: Sequence[str]) -> "Coded":
        """The column with these names."""
        numbers: dict[str, int] = {}
        codes = [numbers.setdefault(name, len(numbers)) for name in names]
        return cls(np.array(codes, np.int32), [*numbers])


@dataclass(frozen=True)
class Block:
    """Some events of a file, column by column. `ratings` holds NaN where there is none."""

    users: Coded
    items: Coded
    times: np.ndarray | None = None  # (E,) float64, seconds since 1970
    kinds: Coded | None = None
    ratings: np.ndarray | None = None  # (E,) float64


class Ids:
    """Numbers users or items in the order in which they first appear."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.numbers: dict[str, int] = {name: number for number, name in enumerate(names)}

    def of(self, column: Coded) -> np.ndarray:
        """The numbers of a column's names, (E,) int32."""
        known = self.numbers
        numbers = [known.setdefault(name, len(known)) for name in column.values]
        return np.array(numbers, np.int32)[column.codes]


@dataclass
class Part:
    """The events of one file that count, and a count of everything else."""

    path: Path
    form: str = ""  # of the times
    rows: int = 0
    users: list[np.ndarray] = field(default_factory=list)
    items: list[np.ndarray] = field(default_factory=list)
    times: list[np.ndarray] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    ratings: Counter[float] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Gathering:
    """Which events count, and the numbers of the users and items of all files."""

    settings: ColumnSettings
    users: Ids
    items: Ids

    def add(self, block: Block, part: Part) -> None:
        """Add the events of a block to the part of a file."""
        part.rows += len(block.users.codes)
        keep = np.ones(len(block.users.codes), bool)
        if block.kinds:
            keep &= self._of_kinds(block.kinds, part)
        if block.ratings is not None:
            keep &= self._rated(block.ratings, keep, part)
        part.users.append(self.users.of(block.users)[keep])
        part.items.append(self.items.of(block.items)[keep])
        if block.times is not None:
            part.times.append(block.times[keep])

    def _of_kinds(self, kinds: Coded, part: Part) -> np.ndarray:
        counts = np.bincount(kinds.codes, minlength=len(kinds.values))
        part.kinds.update(dict(zip(kinds.values, counts.tolist(), strict=True)))
        if not self.settings.events:
            return np.ones(len(kinds.codes), bool)
        wanted = {name.casefold() for name in self.settings.events}
        keep = np.array([name.casefold() in wanted for name in kinds.values], bool)[kinds.codes]
        part.left_out["kinds"] += int((~keep).sum())
        return keep

    def _rated(self, ratings: np.ndarray, keep: np.ndarray, part: Part) -> np.ndarray:
        values, counts = np.unique(ratings[~np.isnan(ratings)], return_counts=True)
        part.ratings.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        least = self.settings.min_rating
        if least is None:
            return keep
        missing = keep & np.isnan(ratings)
        low = keep & (ratings < least)
        part.left_out["unrated"] += int(missing.sum())
        part.left_out["low"] += int(low.sum())
        return ~(missing | low)


# -- ratings and kinds ----------------------------------------------------------------------------

SCALES = (1, 5, 10, 20, 100)  # the largest rating of usual scales
FEWEST_RATINGS = 20  # below, nobody can tell what the scale is
FEW = 0.01  # the largest share of ratings that can be called out of range


def out_of_range(ratings: Counter[float]) -> set[float]:
    """The few ratings that do not fit the scale of all others. Empty if no scale can be seen, as
    in a column of counts, whose tail is long."""
    total = ratings.total()
    few = max(1, FEW * total)
    if total < FEWEST_RATINGS:
        return set()
    below = {rating for rating in ratings if rating < 0}
    if sum(ratings[rating] for rating in below) > few:
        below = set()
    for top in SCALES:
        wrong = below | {rating for rating in ratings if rating > top}
        if sum(ratings[rating] for rating in wrong) <= few:
            return wrong if len(wrong) <= len(ratings) - len(wrong) else set()
    return set()


def check_kinds(kinds: Counter[str], settings: ColumnSettings) -> None:
    """Raises `XinyeError` if a kind of events that a person named does not occur."""
    if not settings.events:
        return
    if not kinds:
        raise XinyeError(
            "--events: the events have no kinds; leave it out, or name the column with "
            "--event-field"
        )
    present = {kind.casefold() for kind in kinds}
    for name in settings.events:
        if name.casefold() not in present:
            near = did_you_mean(name, [*kinds])
            raise XinyeError(
                f"--events: no event is of the kind {name!r}; the kinds are "
                f"{shown_kinds(kinds)}{near}"
            )


def shown_kinds(kinds: Counter[str]) -> str:
    """The most frequent kinds of events with their counts, for messages."""
    some = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common(KINDS_SHOWN))
    return some + (" …" if len(kinds) > KINDS_SHOWN else "")
