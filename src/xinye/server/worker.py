"""The thread that owns all engines and networks, and the jobs through which requests get texts from
it.

There is one thread instead of one per model, because each would start PyTorch's own team of
threads, and these would compete for the cores. PyTorch and the compiled step release Python's lock
while they compute, so the event loop keeps answering.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Any

from fastapi import Request
from prometheus_client import Gauge

from xinye.errors import plural
from xinye.generation.engine import Engine
from xinye.generation.sequence import LogProbability, Sequence
from xinye.server.errors import APIError
from xinye.server.schemas import Usage
from xinye.server.team import Tally

if TYPE_CHECKING:
    from xinye.server.models import ServedModel

log = logging.getLogger("xinye.server")


@dataclass(frozen=True)
class Piece:
    """New text of one sequence of a job, with its index `number`. The last piece has a
    `finish_reason` or an `error`.
    """

    job: Job
    number: int
    text: str = ""
    logprobs: tuple[LogProbability, ...] = ()
    finish_reason: Any = None
    error: Exception | None = None


class Job:
    """The texts of one request. `async for` returns the pieces of all texts until they have ended
    or one fails.

    Whoever creates a job must close it, which removes unfinished texts from the engine. This also
    happens if a text fails or the client leaves.
    """

    def __init__(self, request: Request, model: ServedModel, sequences: list[Sequence]) -> None:
        """Adds the sequences to the model's queue. Raises `APIError` if the queue is full."""
        state, queue = request.app.state, model.queue
        assert queue is not None
        places = state.settings.max_running + state.settings.max_waiting
        if queue.unfinished + len(sequences) > places:
            raise APIError(
                429,
                f"{plural(queue.unfinished, 'text is', 'texts are')} running or waiting already; "
                "try again later",
                code="rate_limit_exceeded",
                headers={"Retry-After": "1"},
            )
        self.model, self.queue, self.sequences = model, queue, sequences
        self.worker, self.metrics = state.worker, state.metrics
        self.loop = asyncio.get_running_loop()
        self.open = set(range(len(sequences)))  # indices of texts that have not ended
        self._logprobs = [0] * len(sequences)  # how many were passed on; only the worker uses it
        self._pieces: deque[Piece] = deque()
        self._news = asyncio.Event()
        self._watch = asyncio.create_task(self._leave_with_client(request))
        queue.jobs.add(self)
        queue.count()
        self.worker.call(lambda: queue.add(self))

    async def _leave_with_client(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        self.close()

    def piece(self, number: int, text: str) -> Piece:
        """The next piece of a text. Called by the worker."""
        sequence = self.sequences[number]
        logprobs = tuple(sequence.logprobs[self._logprobs[number] :])
        self._logprobs[number] += len(logprobs)
        return Piece(self, number, text, logprobs, sequence.finish_reason, sequence.error)

    def receive(self, piece: Piece) -> None:
        """Take a piece from the worker. Called on the event loop."""
        if piece.number in self.open:
            self._pieces.append(piece)
        if piece.finish_reason or piece.error:
            self.open.discard(piece.number)
            self.queue.count()
        self._news.set()
        if piece.error:
            self.close()

    def fail(self, error: Exception) -> None:
        """End the job with an error, unless it has ended."""
        for number in [*self.open][:1]:
            self.receive(Piece(self, number, error=error))

    async def first(self) -> None:
        """Wait for the first piece, so that an early error gets its own HTTP status, even in a
        stream.
        """
        began = monotonic()
        await self._news.wait()
        if self._pieces and self._pieces[0].error:
            raise self._pieces[0].error
        self.metrics.first.labels(self.model.id).observe(monotonic() - began)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                if piece.error:
                    raise piece.error
                yield piece
            if self not in self.queue.jobs or not self.open:
                return
            self._news.clear()
            await self._news.wait()

    async def finish(self) -> None:
        """Wait until all texts are complete. Raises `APIError` if the client has left."""
        with closing(self):
            async for _ in self:
                pass
        if self.open:  # the client has left, so nobody reads this
            raise APIError(499, "the client has left")

    def close(self) -> None:
        """Leave the engine and update the metrics. Calling it again does nothing."""
        if self not in self.queue.jobs:
            return
        self.queue.jobs.remove(self)
        self.queue.count()
        self._watch.cancel()
        self.worker.call(lambda: self.queue.cancel(self))
        self._news.set()
        usage = self.usage
        self.metrics.prompt_tokens.labels(self.model.id).inc(usage.prompt_tokens)
        self.metrics.completion_tokens.labels(self.model.id).inc(usage.completion_tokens)
        drafted, accepted = self.metrics.draft_tokens, self.metrics.accepted_tokens
        drafted.labels(self.model.id).inc(sum(each.drafted for each in self.sequences))
        accepted.labels(self.model.id).inc(sum(each.accepted for each in self.sequences))

    def whole_texts(self) -> list[Piece]:
        """Each text as a single piece."""
        return [
            Piece(self, number, each.text, tuple(each.logprobs), each.finish_reason)
            for number, each in enumerate(self.sequences)
        ]

    @property
    def usage(self) -> Usage:
        """The tokens of each prompt, counted once, and of all texts."""
        prompt = sum(each.prompt_tokens for each in self.sequences if each.number == 0)
        completion = sum(each.completion_tokens for each in self.sequences)
        return Usage(
            prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
        )


class EngineQueue:
    """One model's engine and its jobs. Only the event loop uses `jobs`; only the worker uses the
    rest.
    """

    def __init__(self, new_engine: Callable[[], Engine], texts: Tally) -> None:
        """`texts` counts the texts that run or wait, of all workers together."""
        self.new_engine = new_engine
        self.engine = new_engine()
        self.texts = texts
        # for Prometheus, each with what it shows
        self.gauges: list[tuple[Gauge, Callable[[EngineQueue], float]]] = []
        self.jobs: set[Job] = set()
        self.owners: dict[Sequence, tuple[Job, int]] = {}

    @property
    def unfinished(self) -> int:
        """The number of texts that run or wait, with those of other workers."""
        return self.texts.total

    def count(self) -> None:
        """Count the texts that run or wait here."""
        self.texts.own = sum(len(job.open) for job in self.jobs)

    def show(self) -> None:
        """Set the gauges."""
        for gauge, read in self.gauges:
            gauge.set(read(self))

    def add(self, job: Job) -> None:
        """Pass a job's sequences to the engine."""
        for number, sequence in enumerate(job.sequences):
            if sequence.ended:  # no tokens were requested
                deliver([job.piece(number, "")])
                continue
            try:
                self.engine.add(sequence)
                self.owners[sequence] = job, number
            except Exception as error:
                deliver([Piece(job, number, error=error)])
        self.show()

    def cancel(self, job: Job) -> None:
        """Remove a job's sequences from the engine."""
        for sequence in job.sequences:
            if self.owners.pop(sequence, None):
                self.engine.cancel(sequence)
        self.show()

    def step(self) -> None:
        """Run one step of the engine. If it fails as a whole, all its jobs fail, and a new engine
        replaces it.
        """
        try:
            written = self.engine.step()
        except Exception as error:
            log.exception("an engine failed; a new one takes its place")
            deliver([Piece(job, number, error=error) for job, number in self.owners.values()])
            self.owners.clear()
            self.engine = self.new_engine()
            self.show()
            return
        pieces = []
        for sequence, text in written:
            if sequence not in self.owners:
                continue
            job, number = self.owners[sequence]
            pieces.append(job.piece(number, text))
            if sequence.ended:
                del self.owners[sequence]
        self.show()
        deliver(pieces)


def deliver(pieces: list[Piece]) -> None:
    """Pass pieces to their jobs on the event loop, which all jobs share."""
    if pieces and not pieces[0].job.loop.is_closed():  # closed if the server is shutting down
        pieces[0].job.loop.call_soon_threadsafe(_receive, pieces)


def _receive(pieces: list[Piece]) -> None:
    for piece in pieces:
        piece.job.receive(piece)


class Worker:
    """The thread that runs all engines."""

    def __init__(self) -> None:
        self.queues: list[EngineQueue] = []
        self._calls: SimpleQueue[Callable[[], Any]] = SimpleQueue()
        # longer work, each with the future for its result
        self._works: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._ending = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the thread, in the process that it works for: no thread survives a fork."""
        self._thread = threading.Thread(target=self._run, name="xinye-engine", daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def stop(self) -> None:
        """End the thread after its current step."""
        self._ending = True
        self.call(lambda: None)  # wakes the thread if it waits for a call
        if self._thread:
            self._thread.join(timeout=10)

    def call(self, do: Callable[[], Any]) -> None:
        """Have the thread run something short before its next step."""
        self._calls.put(do)

    async def work(
        self,
        request: Request,
        inputs: list[Any],
        do: Callable[[list[Any]], list[Any]],
        batch: int,
    ) -> list[Any]:
        """The results of `do` for all inputs, `batch` inputs at a time between two steps of the
        engines, so that texts keep running.

        Raises `APIError` if the client has left.
        """
        results: list[Any] = []
        for begin in range(0, len(inputs), batch):
            if await request.is_disconnected():
                raise APIError(499, "the client has left")
            result: Future[Any] = Future()
            work = partial(do, inputs[begin : begin + batch])
            self.call(partial(self._works.append, (work, result)))
            results += await asyncio.wrap_future(result)
        return results

    @property
    def _busy(self) -> bool:
        return self._ending or bool(self._works) or any(each.engine.busy for each in self.queues)

    def _run(self) -> None:
        while not self._ending:
            # If there is no other work, this waits for the next call.
            while not (self._busy and self._calls.empty()):
                try:
                    self._calls.get()()
                except Exception:
                    log.exception("the engine's thread failed at a request")
            if self._works:
                self._work(*self._works.popleft())
            for queue in self.queues:
                if queue.engine.busy:
                    queue.step()

    @staticmethod
    def _work(do: Callable[[], Any], result: Future[Any]) -> None:
        if result.set_running_or_notify_cancel():  # otherwise nobody waits for it any more
            try:
                result.set_result(do())
            except Exception as error:
                result.set_exception(error)
