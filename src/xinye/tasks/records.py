"""What reading records has in common: what becomes of a bad one, and what people are told of names and places."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

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
            yield f"labels that look like one spelled in {len(same)} ways: {', '.join(map(repr, same))}"


def places(one: str, other: str, between: str = " and ") -> str:
    """Two places, the file named once where it is the same."""
    file, found, line = other.rpartition(", line ")
    return (
        f"{one}{between}{f'line {line}' if found and one.startswith(f'{file}, line ') else other}"
    )
