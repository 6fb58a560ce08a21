"""The knowledge bases of a server, and the routes `/v1/knowledge` and `/v1/knowledge/search`.

A request names a base by the name that it got when the server started, never by a folder. No answer
shows an absolute path of the server.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Self, TypeVar

from fastapi import APIRouter, Request

from xinye.errors import XinyeError
from xinye.retrieval.file_names import name_below, shared_folder
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.manifest import MANIFEST
from xinye.retrieval.results import Found
from xinye.retrieval.search import FEW
from xinye.server.bodies import JSONRoute, json_response, log_texts
from xinye.server.errors import APIError
from xinye.server.knowledge_schemas import (
    Knowledge,
    KnowledgeList,
    Passage,
    SearchAnswer,
    SearchRequest,
)
from xinye.server.models import paths_by_id

log = logging.getLogger("xinye.server")
router = APIRouter(route_class=JSONRoute)
TRIES = 4  # how often a search begins again while another process replaces the base
PAUSE = 0.05  # seconds between two tries
Result = TypeVar("Result")


@router.get("/v1/knowledge")
async def list_knowledge(request: Request) -> KnowledgeList:
    """The knowledge bases, and how many documents and passages each has."""
    bases: dict[str, ServedBase] = request.app.state.bases
    return KnowledgeList(data=[await base.about(request) for base in bases.values()])


@router.post("/v1/knowledge/search", response_model=SearchAnswer)
async def search(body: SearchRequest, request: Request) -> Any:
    """The passages of a knowledge base that match a question best."""
    given = [each for each in (body.query, body.question) if each is not None]
    if len(given) != 1:
        raise APIError(400, "query: give either query or question", "query")
    base = find_base(request, body.knowledge)
    passages = await base.search(request, given[0], body.n or FEW)
    log_texts(request, body, (each.text for each in passages))
    return json_response(SearchAnswer(object="list", knowledge=base.name, data=passages))


# -- the bases ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A knowledge base as it was read: its state on the disk then, and the folder that all its
    files share."""

    base: KnowledgeBase
    state: tuple[int, ...]
    shared: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises `XinyeError` if the folder holds no knowledge base, or a damaged one."""
        state = state_of(folder)
        base = KnowledgeBase(folder)
        base.search("?")  # reads the index
        files = [entry.file for entry in base.manifest.documents if not entry.removed]
        return cls(base, state, shared_folder(files))

    def passage(self, found: Found) -> Passage:
        """A passage of this base, with its file below the shared folder."""
        return as_passage(replace(found, file=name_below(self.shared, found.file)))


class ServedBase:
    """A knowledge base. It is read once, and again after another process has changed it.

    One thread reads and searches all bases of a server, so that a search delays neither the event
    loop nor the threads that parse bodies. The thread of the engines searches, too, to answer.
    """

    def __init__(self, name: str, folder: str, thread: ThreadPoolExecutor) -> None:
        """Raises `XinyeError` if the folder holds no knowledge base, or a damaged one."""
        self.name, self.folder = name, Path(folder)
        self._thread, self._lock = thread, Lock()
        self._opened = Opened.read(self.folder)

    async def search(self, request: Request, question: str, count: int) -> list[Passage]:
        """The passages that match a question best. Raises `APIError` if the base cannot be read
        now."""

        def do(opened: Opened) -> list[Passage]:
            return [opened.passage(each) for each in opened.base.search(question, count)]

        return await self._in_thread(request, do)

    async def about(self, request: Request) -> Knowledge:
        """How much is in the base. Raises `APIError` if it cannot be read now."""
        return await self._in_thread(request, self.describe)

    def describe(self, opened: Opened) -> Knowledge:
        """How much is in the opened base."""
        counts = [entry.count for entry in opened.base.documents]
        return Knowledge(
            name=self.name, object="knowledge", documents=len(counts), passages=sum(counts)
        )

    async def _in_thread(self, request: Request, do: Callable[[Opened], Result]) -> Result:
        if await request.is_disconnected():
            raise APIError(499, "the client has left")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self.use, do)

    def use(self, do: Callable[[Opened], Result]) -> Result:
        """The result of `do` for the base as it is on the disk. If another process changes the base
        meanwhile, `do` is called again. Raises `APIError` if the base cannot be read now."""
        problem = "another process keeps changing it"
        for attempt in range(TRIES):
            time.sleep(PAUSE if attempt else 0)
            try:
                opened = self._current()
                result = do(opened)
            except XinyeError as error:
                problem = str(error)
                continue
            if state_of(self.folder) == opened.state:
                return result
        log.error("the knowledge base %s cannot be read: %s", self.name, problem)
        raise APIError(
            503,
            f"the knowledge base {self.name!r} cannot be read now; the server's log says why",
            "knowledge",
            "knowledge_unavailable",
            {"Retry-After": "5"},
        )

    def _current(self) -> Opened:
        with self._lock:
            if state_of(self.folder) != self._opened.state:
                self._opened = Opened.read(self.folder)
            return self._opened


def state_of(folder: Path) -> tuple[int, ...]:
    """What differs after a knowledge base has changed: its list of documents is written anew."""
    try:
        about = (folder / MANIFEST).stat()
    except OSError:
        return ()
    return about.st_ino, about.st_mtime_ns, about.st_size


def as_passage(found: Found) -> Passage:
    return Passage(**asdict(found))


def load_bases(names: Sequence[str]) -> dict[str, ServedBase]:
    """The knowledge bases by name, which is the last part of the path, or what comes before its
    `=`. Raises `XinyeError` if two have the same name, or one cannot be read.
    """
    thread = ThreadPoolExecutor(1, "xinye-knowledge")
    paths = paths_by_id(names)
    return {name: ServedBase(name, path, thread) for name, path in paths.items()}


def find_base(request: Request, name: str | None) -> ServedBase:
    """The knowledge base with this name, or the only one. Raises `APIError` if there is none."""
    bases: dict[str, ServedBase] = request.app.state.bases
    if not bases:
        raise APIError(
            404,
            "this server has no knowledge base; start it with --knowledge",
            "knowledge",
            "knowledge_not_found",
        )
    if name is None and len(bases) > 1:
        raise APIError(400, f"knowledge: choose one of {', '.join(bases)}", "knowledge")
    base = next(iter(bases.values())) if name is None else bases.get(name)
    if base is None:
        raise APIError(
            404,
            f"there is no knowledge base {name!r}; /v1/knowledge lists those of this server",
            "knowledge",
            "knowledge_not_found",
        )
    return base
