"""The histories that a run keeps of its training, `items/histories.jsonl`: one user a line."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xinye.checkpoints.folders import ITEMS
from xinye.data.files import open_regular, written_beside
from xinye.errors import XinyeError
from xinye.ranking import history_file

HISTORIES = Path(ITEMS) / history_file.HISTORIES


def history_in(run: Path, user: str) -> dict[str, Any] | None:
    """What the training knew of a user: the line of the file, or None."""
    return next((row for _, row in _rows(run / HISTORIES) if row.get("user") == user), None)


def drop_user(run: Path, user: str) -> int:
    """Take a user out of the histories of a run. Returns how many items that history had. The
    network's weights, which were trained with all users, stay as they are."""
    path = run / HISTORIES
    found = history_in(run, user)
    if found is None:
        return 0
    with written_beside(path) as beside:
        opened = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(opened, "wb") as file:
            file.writelines(line for line, row in _rows(path) if row.get("user") != user)
            file.flush()
            os.fsync(opened)
    return len(found.get("items", ()))


def _rows(path: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Each line of the file, as it is and as an object. There are none if there is no file."""
    if not path.exists():
        return
    with open_regular(path) as file:
        for number, line in enumerate(file, 1):
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if not isinstance(row, dict):
                raise XinyeError(f"{path}, line {number}: the file is damaged; train the run again")
            yield line, row
