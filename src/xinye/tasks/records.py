"""What reading records has in common: what becomes of a bad one, and what people are told of names
and places."""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.errors import XinyeError

OnBad = Callable[[XinyeError], None]


def refuse(error: XinyeError) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise error from None


def refuse_line(on_bad: OnBad) -> Callable[[Path, int, str], None]:
    """The same for what is not even a record."""
    return lambda path, line, problem: on_bad(XinyeError(f"{path}, line {line}: {problem}"))


def usual(names: Iterable[str], row: Collection[str]) -> str | None:
    """The first of the usual names of a column that a row has."""
    return next((name for name in names if name in row), None)


def expected(place: str, what: str, found: Any) -> XinyeError:
    """The error for something else than what is expected."""
    return XinyeError(
        f"{place}: expected {what}, found {json.dumps(found, ensure_ascii=False)[:60]}"
    )


def nothing_to_learn(place: str, why: str) -> XinyeError:
    """The error for a record without what a model would learn from it."""
    return XinyeError(f"{place}: {why}, so that there is nothing to learn from")


def text_in(row: Row, name: str, place: str) -> str:
    """The text in a field. Raises `XinyeError` for anything else."""
    if not isinstance(row.get(name), str):
        raise expected(f"{place}, field {name!r}", "a text", row.get(name))
    return row[name]


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


def leaks(training: Sequence[Any], validation: Sequence[Any]) -> Iterator[str]:
    """A finding: records to judge on that are learned from, too."""
    seen = {record.whole: record for record in reversed(training)}
    inside = [record for record in validation if record.whole in seen]
    if inside:
        first = places(inside[0].place, seen[inside[0].whole].place, " = ")
        yield (
            f"{len(inside):,} of {len(validation):,} validation records are in the training data, "
            f"too, which flatters the model: first {first}"
        )
