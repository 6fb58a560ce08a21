"""Reads only the beginning of a file, such as one to which another program is adding records."""

import io
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

Item = TypeVar("Item")
# A context variable and not an argument, because all readers of a file, however deep, must agree.
_part: ContextVar[tuple[Path, int] | None] = ContextVar("part", default=None)


def each_within(path: Path, size: int, items: Iterator[Item]) -> Iterator[Item]:
    """The items, which are read from a file as if it ended after `size` bytes."""
    while True:
        token = _part.set((path, size))  # only while an item is read
        try:
            item = next(items)
        except StopIteration:
            return
        finally:
            _part.reset(token)
        yield item


def open_part(path: Path) -> io.BufferedReader:
    """A file, opened for reading the bytes that are to be read of it now."""
    part = _part.get()
    file = path.open("rb")
    if part is None or part[0] != path:
        return file
    return io.BufferedReader(_Part(file, part[1]))


class _Part(io.RawIOBase):
    """The first bytes of an open file."""

    def __init__(self, file: io.BufferedReader, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = max(0, self._size - self._file.tell())
        data = self._file.read(min(len(buffer), left))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END:
            offset, whence = self._size + offset, io.SEEK_SET
        return self._file.seek(offset, whence)

    def close(self) -> None:
        self._file.close()
        super().close()
