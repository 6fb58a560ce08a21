"""The file of a recommender that says what its users used. Only its owner may read it."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from xinye.data.files import open_regular, written_beside
from xinye.data.locks import only_here
from xinye.errors import Unavailable, XinyeError
from xinye.ranking.histories import Histories

HISTORIES = "histories.jsonl"


@dataclass(frozen=True)
class KnownUsers:
    """The histories of users, by their ids."""

    numbers: Mapping[str, int]  # the number of each user in `histories`
    histories: Histories

    def history(self, user: str) -> np.ndarray | None:
        """The numbers of a user's items, oldest first; None for a user who is not known."""
        number = self.numbers.get(user)
        return None if number is None else self.histories[number]


def write_histories(
    folder: Path, users: Sequence[str], histories: Histories, ids: Sequence[str]
) -> None:
    """Write a line for each user, with the `ids` of the items, into a folder."""
    with _for_its_owner(folder / HISTORIES) as file:
        for number, user in enumerate(users):
            some = slice(histories.starts[number], histories.starts[number + 1])
            times = None if histories.times is None else histories.times[some].tolist()
            items = [ids[item] for item in histories.items[some].tolist()]
            row = {"user": user, "items": items, "times": times}
            text = json.dumps(row, ensure_ascii=False) + "\n"
            file.write(text.encode("utf-8", "backslashreplace"))


@contextmanager
def _for_its_owner(path: Path) -> Iterator[IO[bytes]]:
    """A new file that replaces the old one if the block succeeds. Only its owner may read it."""
    with written_beside(path) as beside:
        beside.unlink(missing_ok=True)  # or it would keep its mode
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)


def read_histories(folder: Path, numbers: Mapping[str, int]) -> KnownUsers:
    """The users of a folder; nobody, if it has no such file. `numbers` are those of the items.
    Raises `XinyeError` if the file is damaged."""
    path = folder / HISTORIES
    users: dict[str, int] = {}
    found: list[np.ndarray] = []
    try:
        with open_regular(path) as file:
            for line, content in enumerate(file, start=1):
                user, items = _row(content, numbers, f"{path}, line {line}")
                if users.setdefault(user, len(found)) < len(found):
                    raise XinyeError(
                        f"{path}, line {line}: the user {user!r} appears again; restore the file"
                    )
                found.append(items)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    return KnownUsers(users, Histories.of(found, len(numbers)))


def _row(content: bytes, numbers: Mapping[str, int], place: str) -> tuple[str, np.ndarray]:
    """The user and the items in a line. Items that are not known any more are left out."""
    try:
        row = json.loads(content)
        user, items = row["user"], row["items"]
        if not isinstance(user, str) or not isinstance(items, list):
            raise TypeError
        known = [numbers[item] for item in items if item in numbers]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise XinyeError(f"{place}: this is not a user's history; restore the file") from None
    return user, np.array(known, np.int32)


# -- one user --------------------------------------------------------------------------------------


def history_in(folder: Path, user: str) -> dict[str, Any] | None:
    """What the training knew of a user: the line of the file, or None."""
    rows = _rows(folder / HISTORIES)
    return next((row for _, row in rows if row.get("user") == user), None)


def drop_user(folder: Path, user: str) -> int:
    """Take a user out of the histories. Returns how many items that history had. The network's
    weights, which were trained with all users, stay as they are."""
    path = folder / HISTORIES
    if not path.exists():
        return 0
    in_use = XinyeError(f"{path}: another program is changing it; try again")
    with only_here(folder, in_use):
        found = history_in(folder, user)
        if found is None:
            return 0
        try:
            with _for_its_owner(path) as file:
                file.writelines(line for line, row in _rows(path) if row.get("user") != user)
        except OSError as error:
            raise Unavailable(
                f"the user's history is still in {HISTORIES} of the run, which cannot be written "
                f"({error.strerror}); mend that, and delete the user again"
            ) from None
    return len(found["items"])


def _rows(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each line of the file, as it is and as an object. There are none if there is no file."""
    if not path.exists():
        return
    with open_regular(path) as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                row = None
            if not isinstance(row, dict) or not isinstance(row.get("items"), list):
                raise XinyeError(f"{path}, line {number}: the file is damaged; train the run again")
            yield line, row
