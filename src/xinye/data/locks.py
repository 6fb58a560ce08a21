"""Locks that other processes see, and that end with the process, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from xinye.errors import XinyeError


def lock(file: IO[Any] | int, in_use: XinyeError) -> None:
    """Lock an open file until it is closed or the process ends, however it ends. Raises `in_use` if
    another process has the lock. Does nothing if the file system has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise in_use from None
    except OSError:
        pass


@contextmanager
def only_here(folder: Path, in_use: XinyeError, seconds: float = 10.0) -> Iterator[None]:
    """Inside, no other thread or process is inside with this folder. Raises `in_use` if one is for
    so many seconds."""
    opened, end = os.open(folder, os.O_RDONLY | os.O_DIRECTORY), time.monotonic() + seconds
    try:
        while True:
            try:
                lock(opened, in_use)
                break
            except XinyeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        yield
    finally:
        os.close(opened)


@contextmanager
def locked(path: Path, in_use: XinyeError) -> Iterator[None]:
    """Inside, no other process has locked this file, which is made if it is missing. Raises
    `in_use` if one has, and `XinyeError` if the file cannot be made. No link is followed."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    try:
        opened = os.open(path, flags, 0o666)
    except OSError as error:
        raise XinyeError(
            f"{path}: the file cannot be created ({error.strerror}); create its folder, or correct "
            "the permissions"
        ) from None
    with open(opened, "a") as file:
        lock(file, in_use)
        yield


@contextmanager
def alone(path: Path, kept: bool = True) -> Iterator[bool]:
    """Inside, no other thread or process is inside with this file, which is made if it is missing.
    Others wait. Gives False if the file system has no locks, so that others may be inside. A file
    that is not `kept` is deleted at the end. Raises `OSError` if the file cannot be made."""
    while True:
        with open(path, "ab") as file:
            has_locks = _waited(file)
            # while this one waited, the other may have deleted the file
            if has_locks and not _is_named(path, file):
                continue
            try:
                yield has_locks
            finally:
                if not kept:
                    path.unlink(missing_ok=True)
            return


def _waited(file: IO[Any]) -> bool:
    """Lock a file, however long that takes; returns whether the file system has locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_named(path: Path, file: IO[Any]) -> bool:
    """Whether an open file is still the one with this name."""
    with suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    return False
