"""`Documents`: those of a desk that an admin writes, in its folder `documents`, and the knowledge
base of all its documents."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from xinye.apps.support.desk_folder import DOCUMENTS, KNOWLEDGE
from xinye.apps.support.documents import keep_calibrated
from xinye.errors import NotFound, Unavailable, XinyeError, not_unicode
from xinye.retrieval.changing import alone, full_disk_told
from xinye.retrieval.documents import documents
from xinye.retrieval.knowledge import KnowledgeBase

log = logging.getLogger("xinye.server")
ID = re.compile(r"(?!\.)[A-Za-z0-9._\-\u3400-\u4dbf\u4e00-\u9fff]{1,64}")
END = ".md"
LEFT = re.compile(r"\.(.+)\.(?:new|old)")  # files of a change that was interrupted


class Documents:
    """The documents in the folder of a desk. One process changes them at a time."""

    def __init__(self, desk: Path) -> None:
        self.desk, self.folder, self.base = desk, desk / DOCUMENTS, desk / KNOWLEDGE
        self._lock = Lock()

    def put(self, identity: str, text: str) -> tuple[bool, int]:
        """Write a document. Returns whether it is new, and the number of its passages. If this
        fails, the document is as before."""
        path = self._path(identity)
        if reason := not_unicode(text):
            raise XinyeError(f"text: {reason}")
        if not text.strip():
            raise XinyeError("text: the document is empty; delete it instead")
        with self._changing(), full_disk_told(self.base):
            old = _beside(path, "old") if path.exists() else None
            new = _beside(path, "new")
            try:
                _write(new, text)
                if old:
                    os.link(path, old)
                os.replace(new, path)
                try:
                    return old is None, self._index(path)
                except BaseException:
                    os.replace(old, path) if old else path.unlink()
                    raise
            finally:
                new.unlink(missing_ok=True)
                if old:
                    old.unlink(missing_ok=True)

    def delete(self, identity: str) -> None:
        """Delete a document. Raises `NotFound` if there is none."""
        path = self._path(identity)
        with self._changing(), full_disk_told(self.base):
            old = _beside(path, "old")
            try:
                os.replace(path, old)
            except FileNotFoundError:
                raise NotFound(f"there is no document {identity!r}") from None
            try:
                self._forget([path])
            except BaseException:
                os.replace(old, path)
                raise
            old.unlink()

    def repair(self) -> None:
        """Bring the knowledge base up to date with the folder, if a change was interrupted or the
        desk was moved or prepared again."""
        if not self.folder.is_dir():
            return
        with self._changing(), full_disk_told(self.base):
            there = {path.absolute(): path for path in sorted(self.folder.glob(f"*{END}"))}
            files = {path.name for path in there}
            for path in self.folder.iterdir():
                if left := LEFT.fullmatch(path.name):
                    files.add(left[1])
                    path.unlink()
            entries = self._entries()
            gone = {
                Path(file)
                for file in entries
                if Path(file) not in there and self._was_here(Path(file), files)
            }
            self._forget(sorted(gone))
            for path in there:
                keys = {document.key for document in documents(path)}
                if keys != entries.get(str(path)):
                    self._index(path)

    def _was_here(self, path: Path, files: set[str]) -> bool:
        """Whether the knowledge base knows a file by the place where this folder was before."""
        if path.parent == self.folder.absolute():
            return True
        return path.parent.name == DOCUMENTS and path.name in files and not path.exists()

    def _entries(self) -> dict[str, set[str]]:
        """The contents that the knowledge base has of each file."""
        found: dict[str, set[str]] = {}
        if self.base.is_dir():
            for entry in KnowledgeBase(self.base).manifest.documents:
                if not entry.removed:
                    found.setdefault(entry.file, set()).add(entry.key)
        return found

    def _index(self, path: Path) -> int:
        """Add a document to the knowledge base, which is made if there is none. Returns the number
        of its passages."""
        if self.base.is_dir():
            base = KnowledgeBase(self.base)
            changes = base.add([path], calibrate=self._calibrate)
            if changes.skipped:  # the client must not see where the file is
                _, _, reason = changes.skipped[0].partition(f"{path.name}: ")
                raise XinyeError(f"the document cannot be read: {reason or 'it is no text'}")
        else:
            base, _ = KnowledgeBase.build(self.base, [path], calibrate=self._calibrate)
        file = os.path.abspath(path)
        return sum(entry.count for entry in base.documents if entry.file == file)

    def _calibrate(self, base: KnowledgeBase) -> None:
        keep_calibrated(base, self.desk)

    def _forget(self, paths: list[Path]) -> None:
        known = self._entries()
        names = [str(path) for path in paths if os.path.abspath(path) in known]
        if names:
            KnowledgeBase(self.base).remove(names)

    def _path(self, identity: str) -> Path:
        if not ID.fullmatch(identity):
            raise XinyeError(
                "the id of a document has at most 64 letters, digits, Chinese characters, dots, "
                "hyphens and underscores, and begins with no dot"
            )
        return self.folder / f"{identity}{END}"

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Inside, nobody else changes the documents. Threads wait for each other; raises
        `Unavailable` if another process changes them."""
        with self._lock:
            with full_disk_told(self.base):
                try:
                    self.folder.mkdir(exist_ok=True)
                except FileNotFoundError:
                    raise Unavailable("the desk is being replaced; try again later") from None
            with alone(self.folder):
                yield


def _beside(path: Path, end: str) -> Path:
    return path.with_name(f".{path.name}.{end}")


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
