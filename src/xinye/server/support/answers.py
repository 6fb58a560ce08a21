"""`Answers`: what answers from the folder of a desk, and is read again when that changes."""

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from xinye.apps.support.desk_folder import DOCUMENTS, KNOWLEDGE, OURS, DeskFolder
from xinye.apps.support.messages import Message
from xinye.apps.support.reply import Reply
from xinye.data.personal import Personal, Tagger
from xinye.errors import Unavailable
from xinye.retrieval.manifest import CALIBRATION, MANIFEST

log = logging.getLogger("xinye.server")
READ_LATER = ("passage", "written")  # replies for which files of the desk are read once more
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


class Answers:
    """What answers now. When the folder of the desk changes it is read again, and what was read
    before answers until then. If the folder is damaged, that goes on."""

    def __init__(self, folder: Path, load: Load, repair: Callable[[], None]) -> None:
        """`repair` is called before the folder is read. Raises `XinyeError` if the desk cannot be
        read."""
        self.folder, self._load, self._repair = folder, load, repair
        self._lock, self._tagging = threading.Lock(), threading.Lock()
        repair()
        self._state = state_of(folder)
        self._refused: State = ()  # the state of a damaged folder, which is not tried again
        self._knowledge = knowledge_of(folder)
        self.current = load(folder, None)

    def refresh(self) -> None:
        """Read the desk again if it has changed."""
        with self._lock:
            state = state_of(self.folder)
            if not state or state in (self._state, self._refused):
                return
            try:
                self._repair()
                state, knowledge = state_of(self.folder), knowledge_of(self.folder)
                new = self._load(self.folder, self.current)
            except Exception as error:
                log.error("the desk has changed and cannot be read; the old one goes on: %s", error)
                self._refused = state
                return
            self.current, self._state, self._knowledge = new, state, knowledge
            log.info("the desk was read again")

    def answer(self, turns: Sequence[Message]) -> Reply:
        """The reply to the last of some messages."""
        reply = self._asked(lambda current: current.answer(turns))
        if reply.kind in READ_LATER and self._is_stale():
            reply = self._asked_again(lambda current: current.answer(turns))
        return reply

    def suggestions(self, turns: Sequence[Message], count: int) -> list[Reply]:
        """What an operator might reply to the last of some messages."""
        return self._asked(lambda current: current.suggestions(turns, count))

    def tags(self, text: str) -> list[Personal]:
        """The names and addresses in a text, if there is a model that finds them."""
        tagger = self.current.models.tagger
        if tagger is None:
            return []
        with self._tagging:
            return [*tagger(text)]

    def _is_stale(self) -> bool:
        """Whether the documents on the disk are not those that were read."""
        return knowledge_of(self.folder) != self._knowledge

    def _asked(self, ask: Callable[[Answering], Result]) -> Result:
        try:
            return ask(self.current)
        except Exception:
            if not self._is_stale():  # the files of the old desk are gone
                raise
            return self._asked_again(ask)

    def _asked_again(self, ask: Callable[[Answering], Result]) -> Result:
        self.refresh()
        if self._is_stale():
            raise Unavailable("the documents of the desk cannot be read now")
        return ask(self.current)


def state_of(folder: Path) -> State:
    """What differs after a desk has changed; empty if there is none now."""
    names = [name for name in OURS if name not in (KNOWLEDGE, DOCUMENTS)]
    files = [*names, f"{KNOWLEDGE}/{MANIFEST}", f"{KNOWLEDGE}/{CALIBRATION}"]
    return tuple(each for name in files for each in _about(folder / name))


def knowledge_of(folder: Path) -> State:
    """What differs after the documents of a desk have changed."""
    return _about(folder / KNOWLEDGE / MANIFEST)


def _about(path: Path) -> State:
    try:
        found = path.stat()
    except OSError:
        return ()
    return ((path.name, found.st_ino, found.st_mtime_ns, found.st_size),)
