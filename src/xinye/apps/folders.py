"""The folder of an application, which a command prepares, people edit, and a server reads: how it
is put in place as a whole, and how its files are read."""

import glob
import json
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from xinye.data.sources import read_lines
from xinye.errors import XinyeError, quoted
from xinye.retrieval.changing import clear_leftovers, next_to, put_in_place
from xinye.retrieval.format import Strict, damaged


@dataclass(frozen=True)
class Kind:
    """The folders of an application. `command` makes one, `settings` is the file that is written
    last and so tells one, `is_ours` says whether a file or folder in it is of the application,
    and `stays` names the folders that are copied into one that takes the place of an old one."""

    command: str
    settings: str
    is_ours: Callable[[Path], bool]
    stays: tuple[str, ...] = ()

    @contextmanager
    def beside(
        self, folder: Path, overwrite: bool = False, kept: Path | None = None
    ) -> Iterator[Path]:
        """A new folder next to this one. If the block succeeds, it takes its place; if it fails, it
        is deleted. The old folder becomes the folder `kept`, or is deleted. Raises `XinyeError`
        unless the place is free, or holds one of the same kind to be replaced."""
        if not kept:
            self.check_free(folder, overwrite)
        clear_leftovers(folder, self._is_unfinished)
        new = next_to(folder)
        try:
            new.mkdir(parents=True)
            yield new
            if not kept:
                self.check_free(folder, overwrite)  # it may have come into being meanwhile
            self._replace(folder, new, kept)
        finally:
            if new.exists():
                shutil.rmtree(new)

    def check_free(self, folder: Path, overwrite: bool) -> None:
        """Raises `XinyeError` unless the place is free, or holds a folder to be replaced."""
        if not folder.exists() and not folder.is_symlink():
            return
        if not (folder / self.settings).is_file() or folder.is_symlink():
            raise XinyeError(
                f"{folder}: this folder exists and was not made by {self.command}; choose another "
                "with -o"
            )
        if not overwrite:
            raise XinyeError(
                f"{folder}: this folder already exists; choose another with -o, or replace it, "
                "with all that was edited in it, with --overwrite"
            )
        if foreign := [path.name for path in folder.iterdir() if not self.is_ours(path)]:
            raise XinyeError(
                f"{folder}: there are other files in this folder ({', '.join(foreign[:3])}); move "
                "them, or choose another with -o"
            )

    def check_there(self, folder: Path) -> None:
        """Raises `XinyeError` if this is no folder of the kind. If a command was killed just when
        it replaced one, that has another name now."""
        if (folder / self.settings).is_file():
            return
        if folder.exists():
            what = "this folder was made by another command"
        else:
            what = "there is no such folder"
            name = re.escape(folder.name)
            aside = re.compile(
                rf"\.{name}\.[0-9a-f]{{8}}|{name}\.\d{{4}}-\d\d-\d\d-\d{{6}}(?:-\d+)?"
            )
            settings = folder.parent.glob(f"*{glob.escape(folder.name)}.*/{self.settings}")
            renamed = (path for path in settings if aside.fullmatch(path.parent.name))
            if last := max(renamed, key=lambda path: path.stat().st_mtime, default=None):
                raise XinyeError(
                    f"{folder}: {what}, but there is {quoted(last.parent)}; perhaps a command was "
                    "killed while it replaced this one. If so, rename it back"
                )
        raise XinyeError(f"{folder}: {what}; make one: {self.command} … -o {quoted(folder)}")

    def _is_unfinished(self, path: Path) -> bool:
        """Whether this can lie in a folder that is not finished."""
        return self.is_ours(path) and path.name != self.settings

    def _replace(self, folder: Path, new: Path, kept: Path | None) -> None:
        """Put a finished folder in its place. An old one is moved aside first, and back if that
        fails."""
        if not folder.exists():
            new.rename(folder)
            return
        for name in self.stays:
            if (folder / name).is_dir() and not (new / name).exists():
                shutil.copytree(folder / name, new / name)
        old = kept or next_to(folder)
        put_in_place(folder, new, old)
        if not kept:
            shutil.rmtree(old)


def kept_beside(folder: Path) -> Path:
    """A free place beside a folder that keeps what is replaced, named by the time."""
    name = f"{folder.name}.{time.strftime('%Y-%m-%d-%H%M%S')}"
    numbered = (f"{name}-{number}" if number else name for number in count())
    return next(path for each in numbered if not (path := folder.with_name(each)).exists())


Row = TypeVar("Row", bound=Strict)


def read_rows(path: Path, holds: type[Row], again: str) -> Iterable[Row]:
    """The objects in a JSON Lines file. Raises `XinyeError` with the line of the first bad one;
    `again` says what to do about it."""
    if not path.is_file():
        raise damaged(path, "missing", again)
    return _each(path, lambda line: holds.model_validate(json.loads(line)), again)


def _each(path: Path, read: Callable[[str], Row], again: str) -> Iterator[Row]:
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            yield read(line)
        except (ValidationError, ValueError, RecursionError) as error:
            raise damaged(path, _where(number, error), again) from None


def _where(number: int, error: Exception) -> str:
    """The line of a bad row, and what is wrong with it."""
    if not isinstance(error, ValidationError):
        return f"line {number}: not valid JSON"
    first = error.errors()[0]
    key = ".".join(map(str, first["loc"]))
    what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
    return f"line {number}: {key}: {what}" if key else f"line {number}: {what}"
