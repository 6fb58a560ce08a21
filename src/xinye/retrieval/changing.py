"""How the folder of a knowledge base is changed: by one process at a time, and as a whole."""

import errno
import glob
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError

from xinye.data.locks import locked
from xinye.errors import Unavailable
from xinye.retrieval.manifest import LOCK, OURS

UNFINISHED = 3600  # seconds without a change, after which what is not finished never will be


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Inside, no other process changes the base in this folder. Raises `Unavailable` if one does
    now."""
    problem = f"{folder}: another command is changing this knowledge base; wait for it"
    with locked(folder / LOCK, Unavailable(problem)):
        yield


@contextmanager
def full_disk_told(folder: Path) -> Iterator[None]:
    """Inside, a full disk raises `Unavailable`. What is written inside replaces nothing before it
    is whole."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if os.strerror(errno.ENOSPC) not in str(error):
            raise
        raise Unavailable(
            f"{folder}: the disk is full; the knowledge base is unchanged. Free some space, then "
            "run the command again"
        ) from None


def next_to(folder: Path) -> Path:
    """A new name next to a folder."""
    return folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")


def is_of_a_base(path: Path) -> bool:
    """Whether this is a file of a knowledge base, by its name."""
    return OURS.fullmatch(path.name) is not None and path.is_file()


def clear_leftovers(folder: Path, is_ours: Callable[[Path], bool] = is_of_a_base) -> None:
    """Delete what was written next to a folder, to replace it, by processes that were killed an
    hour ago or more. A folder with such a name stays if one of its contents is not ours."""
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        named = re.fullmatch("[0-9a-f]{8}", path.name.removeprefix(f".{folder.name}."))
        if not named or path.is_symlink() or not path.is_dir():
            continue
        with suppress(FileNotFoundError):  # another process has just finished it
            newest = max(each.lstat().st_mtime for each in (path, *path.rglob("*")))
            if newest < time.time() - UNFINISHED and all(map(is_ours, path.iterdir())):
                shutil.rmtree(path)


def replace(folder: Path, new: Path) -> None:
    """Put a finished base in its place. An old one is moved aside first, and is moved back if that
    fails. Raises `Unavailable` if another process is changing the old one."""
    if not folder.exists():
        new.rename(folder)
        return
    old = next_to(folder)
    with alone(folder):
        put_in_place(folder, new, old)
    shutil.rmtree(old)


def put_in_place(folder: Path, new: Path, old: Path) -> None:
    """Give a new folder the name of another, which is called `old` from then on. If that fails, it
    gets its name back."""
    folder.rename(old)
    try:
        new.rename(folder)
    except OSError:
        old.rename(folder)
        raise
