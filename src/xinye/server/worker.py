"""The one thread that owns all engines and networks, and how requests on the event loop get texts from it.

One thread, not one for each model: each would bring PyTorch's own team of threads, and they would fight for the cores.
PyTorch and the compiled step let go of Python's lock while they compute, so that the event loop answers meanwhile.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, Protocol, TypeVar

from xinye.errors import XinyeError
from xinye.generation.sequence import LogProbability, Sequence

log = logging.getLogger("xinye.server")
Result = TypeVar("Result")


class Engine(Protocol):
    """What is needed of `generation.engine.Engine`."""

    context: int

    def add(self, sequence: Sequence) -> None: ...
    def cancel(self, sequence: Sequence) -> None: ...
    def step(self) -> list[tuple[Sequence, str]]: ...
    @property
    def busy(self) -> bool: ...


@dataclass(frozen=True)
class Piece:
    """What is new of one sequence: `number` tells which of its job's. The last one has `finish_reason`, or `error`."""

    number: int
    text: str = ""
    logprobs: tuple[LogProbability, ...] = ()
    finish_reason: Any = None
    error: Exception | None = None


class Job:
    """The sequences of one request while they are written; `async for` gives their pieces until all have ended.

    Whoever has made it closes it: then what has not ended leaves the engine. It ends early where it fails.
    """

    def __init__(self, worker: "Worker", line: "Line", sequences: list[Sequence]) -> None:
        self.worker, self.line, self.sequences = worker, line, sequences
        self.loop, self.queue = asyncio.get_running_loop(), asyncio.Queue[Piece | None]()
        self.open = set(range(len(sequences)))
        self.told = [0] * len(sequences)  # log-probabilities that were handed on; the worker's own
        line.jobs.add(self)
        worker.tell(lambda: line.add(self))

    def deliver(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if piece.number in self.open:
                self.queue.put_nowait(piece)
            if piece.finish_reason or piece.error:
                self.open.discard(piece.number)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while self.open or not self.queue.empty():
            piece = await self.queue.get()
            if piece is None:
                return
            if piece.error:
                raise piece.error
            yield piece

    def fail(self, error: Exception) -> None:
        """End all that has not ended with an error."""
        self.deliver([Piece(number, error=error) for number in [*self.open]])

    def close(self) -> None:
        """Leave the engine. May be called again."""
        if self in self.line.jobs:
            self.line.jobs.remove(self)
            self.worker.tell(lambda: self.line.cancel(self))
            self.queue.put_nowait(None)


class Line:
    """One model's engine, and the jobs at it. `jobs` belongs to the event loop, all else to the worker."""

    def __init__(self, new_engine: Callable[[], Engine]) -> None:
        self.new_engine = new_engine
        self.engine = new_engine()
        self.jobs: set[Job] = set()
        self.owners: dict[Sequence, tuple[Job, int]] = {}

    @property
    def texts(self) -> int:
        """How many texts run or wait."""
        return sum(len(job.open) for job in self.jobs)

    def add(self, job: Job) -> None:
        for number, sequence in enumerate(job.sequences):
            try:
                self.engine.add(sequence)
                self.owners[sequence] = job, number
            except Exception as error:
                self._send({job: [Piece(number, error=_shown(error))]})

    def cancel(self, job: Job) -> None:
        for sequence in job.sequences:
            if self.owners.pop(sequence, None):
                self.engine.cancel(sequence)

    def step(self) -> None:
        """One step of the engine. Should it fail as a whole, those in it are told, and a new one takes its place."""
        try:
            written = self.engine.step()
        except Exception as error:
            log.exception("an engine failed; a new one takes its place")
            pieces: dict[Job, list[Piece]] = {}
            for job, number in self.owners.values():
                pieces.setdefault(job, []).append(Piece(number, error=_shown(error)))
            self.owners.clear()
            self.engine = self.new_engine()
            self._send(pieces)
            return
        pieces = {}
        for sequence, text in written:
            if sequence not in self.owners:
                continue
            job, number = self.owners[sequence]
            new = tuple(sequence.logprobs[job.told[number] :])
            job.told[number] += len(new)
            failure = None if sequence.error is None else _shown(sequence.error)
            pieces.setdefault(job, []).append(
                Piece(number, text, new, sequence.finish_reason, failure)
            )
            if sequence.ended:
                del self.owners[sequence]
        self._send(pieces)

    @staticmethod
    def _send(pieces: dict[Job, list[Piece]]) -> None:
        for job, its_pieces in pieces.items():
            _on(job.loop, job.deliver, its_pieces)


class Worker:
    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._told: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._works: deque[Callable[[], None]] = deque()
        self._beat = monotonic()
        self._thread = threading.Thread(target=self._run, name="xinye-engine", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread after the step that it is in."""
        self._told.put(None)
        self._thread.join(timeout=10)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def tell(self, do: Callable[[], None]) -> None:
        """Let the thread do something short before its next step."""
        self._told.put(do)

    async def work(self, do: Callable[[], Result]) -> Result:
        """Let the thread do something longer between two steps; one such work at a time, so that all texts go on."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[Result] = loop.create_future()

        def settle(value: Result | None, error: Exception | None) -> None:
            if result.done():
                return
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(value)  # type: ignore[arg-type]

        def run() -> None:
            if result.cancelled():
                return
            try:
                value = do()
            except Exception as error:
                _on(loop, settle, None, _shown(error))
            else:
                _on(loop, settle, value, None)

        self.tell(lambda: self._works.append(run))
        return await result

    def _run(self) -> None:
        while True:
            busy = bool(self._works) or any(line.engine.busy for line in self.lines)
            try:
                while True:
                    do = self._told.get(block=not busy)
                    if do is None:
                        return
                    busy = True
                    try:
                        do()
                    except Exception:
                        log.exception("the engine's thread failed at a request")
            except Empty:
                pass
            if self._works:
                self._works.popleft()()
            for line in self.lines:
                if line.engine.busy:
                    line.step()


def _on(loop: asyncio.AbstractEventLoop, do: Callable[..., None], *arguments: Any) -> None:
    if not loop.is_closed():  # a server that is ending
        loop.call_soon_threadsafe(do, *arguments)


def _shown(error: Exception) -> Exception:
    """The error as a request meets it: what a person caused as it is, ours without anything of the machine."""
    from xinye.server.errors import failed, refused

    if isinstance(error, XinyeError):
        return refused(error)
    log.error("a request failed", exc_info=error)
    return failed()
