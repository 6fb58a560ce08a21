"""What reading records has in common: what becomes of a bad one, and what people are told of names
and places."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye.errors import XinyeError

OnBad = Callable[[XinyeError], None]


def refuse(error: XinyeError) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise error from None


def refuse_line(on_bad: OnBad) -> Callable[[Path, int, str], None]:
    """The same for what is not even a record."""
    return lambda path, line, problem: on_bad(XinyeError(f"{path}, line {line}: {problem}"))


def spelled_alike(names: Iterable[str]) -> Iterator[str]:
    """Findings: names that differ in case, width and spaces only."""
    spelled: defaultdict[str, list[str]] = defaultdict(list)
    for name in sorted(names):
        spelled[re.sub(r"[\s_]+", "", unicodedata.normalize("NFKC", name)).casefold()].append(name)
    for same in spelled.values():
        if len(same) > 1:
            names_alike = ", ".join(map(repr, same))
            yield f"labels that look like one spelled in {len(same)} ways: {names_alike}"


def places(one: str, other: str, between: str = " and ") -> str:
    """Two places, the file named once where it is the same."""
    file, found, line = other.rpartition(", line ")
    return (
        f"{one}{between}{f'line {line}' if found and one.startswith(f'{file}, line ') else other}"
    )


def leaks(
    training: Sequence[Any], validation: Sequence[Any], key: Callable[[Any], Hashable]
) -> Iterator[str]:
    """A finding: records to judge on that are learned from, too."""
    seen: dict[Hashable, Any] = {}
    for record in training:
        seen.setdefault(key(record), record)
    inside = [record for record in validation if key(record) in seen]
    if inside:
        first = places(inside[0].place, seen[key(inside[0])].place, " = ")
        yield (
            f"{len(inside):,} of {len(validation):,} validation records are in the training data, "
            f"too, which flatters the model: first {first}"
        )
