"""`Answers`: what answers from the folder of a desk, and is read again when that changes."""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from xinye.apps.support.desk_folder import DOCUMENTS, KNOWLEDGE, OURS, DeskFolder
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.data.personal import Personal, Tagger
from xinye.errors import Unavailable
from xinye.retrieval.manifest import CALIBRATION, MANIFEST

log = logging.getLogger("xinye.server")
FROM_FILES = ("passage", "written")  # replies for which files of the desk are read once more
Result = TypeVar("Result")
State = tuple[tuple[str, int, int, int], ...]


class HasTagger(Protocol):
    """The models of a desk, one of which may find names and addresses."""

    @property
    def tagger(self) -> Tagger | None: ...


class Answering(Protocol):
    """What answers the questions of customers, such as an `Answerer`."""

    @property
    def desk(self) -> DeskFolder: ...

    @property
    def models(self) -> HasTagger: ...

    def answer(self, turns: Sequence[Message]) -> Reply: ...

    def suggestions(self, turns: Sequence[Message], count: int = 3) -> list[Reply]: ...


# Loads what answers from a folder; the one before may lend its models.
Load = Callable[[Path, Answering | None], Answering]


@dataclass(frozen=True)
class Opened:
    """A desk as it was read, and what it was like on the disk then."""

    answering: Answering
    state: State
    documents: State


class Answers:
    """What answers now. When the folder of the desk changes it is read again, and what was read
    before answers until then. If the folder is damaged, that goes on."""

    def __init__(self, folder: Path, load: Load, repair: Callable[[], None]) -> None:
        """`repair` is called before the folder is read. Raises `XinyeError` if the desk cannot be
        read."""
        self.folder, self._load, self._repair = folder, load, repair
        self._lock, self._asking, self._tagging = (threading.Lock() for _ in range(3))
        self._refused: State = ()  # the state of a damaged folder, which is not tried again
        self._opened = self._open(None)

    @property
    def current(self) -> Answering:
        """What answers now."""
        return self._opened.answering

    def refresh(self) -> None:
        """Read the desk again if it has changed."""
        with self._lock:
            state = state_of(self.folder)
            if not state or state in (self._opened.state, self._refused):
                return
            try:
                self._opened = self._open(self.current)
            except Unavailable:  # another process is changing it just now
                return
            except Exception as error:
                log.error("the desk has changed and cannot be read; the old one goes on: %s", error)
                self._refused = state
                return
            log.info("the desk was read again")

    def answer(self, turns: Sequence[Message]) -> Reply:
        """The reply to the last of some messages."""
        return self._asked(
            lambda answering: answering.answer(turns), lambda reply: reply.kind in FROM_FILES
        )

    def suggestions(self, turns: Sequence[Message], count: int) -> list[Reply]:
        """What an operator might reply to the last of some messages."""
        return self._asked(
            lambda answering: answering.suggestions(turns, count),
            lambda replies: any(reply.kind in FROM_FILES for reply in replies),
        )

    def tags(self, text: str) -> list[Personal]:
        """The names and addresses in a text, if there is a model that finds them."""
        tagger = self.current.models.tagger
        if tagger is None:
            return []
        with self._tagging:
            return [*tagger(text)]

    def _open(self, before: Answering | None) -> Opened:
        self._repair()
        state, documents = state_of(self.folder), documents_of(self.folder)
        return Opened(self._load(self.folder, before), state, documents)

    def _asked(
        self, ask: Callable[[Answering], Result], from_files: Callable[[Result], bool]
    ) -> Result:
        """The result. If it comes from documents and these have changed meanwhile, or it failed
        because they have, it is asked again of the changed ones."""
        opened = self._opened
        failed: Exception | None = None
        try:
            with self._asking:  # a desk that was read again may share the models of the one before
                result = ask(opened.answering)
        except Exception as error:
            failed = error
        if documents_of(self.folder) == opened.documents:
            if failed:
                raise failed
            return result
        if not failed and not from_files(result):
            return result
        self.refresh()
        if documents_of(self.folder) != self._opened.documents:
            raise Unavailable("the documents of the desk cannot be read now")
        with self._asking:
            return ask(self.current)


def state_of(folder: Path) -> State:
    """What differs after a desk has changed; empty if there is none now."""
    names = [name for name in OURS if name not in (KNOWLEDGE, DOCUMENTS)]
    files = [*names, f"{KNOWLEDGE}/{MANIFEST}", f"{KNOWLEDGE}/{CALIBRATION}"]
    return tuple(each for name in files for each in _about(folder / name))


def documents_of(folder: Path) -> State:
    """What differs after the documents of a desk have changed."""
    return _about(folder / KNOWLEDGE / MANIFEST)


def _about(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return ()
    return ((path.name, found.st_ino, found.st_mtime_ns, found.st_size),)
