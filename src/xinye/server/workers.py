"""Several processes behind one port: starts them, replaces those that die, and ends them.

The first process loads the models and forks. All workers then read the same memory, and whoever has
a place accepts the next connection of the one listening socket. Forking is safe because the first
process has computed with one thread so far: OpenMP's other threads would not survive it.
"""

import fcntl
import gc
import logging
import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import ForkProcess
from typing import TextIO

import torch
from prometheus_client.multiprocess import mark_process_dead

from xinye.errors import XinyeError
from xinye.server.http import LAST_SECONDS
from xinye.server.metrics import leave_metrics, shared_metrics, use_metrics
from xinye.server.settings import ServeSettings
from xinye.server.team import Team

log = logging.getLogger("xinye.server")
FORK = multiprocessing.get_context("fork")
SIGNALS = (signal.SIGINT, signal.SIGTERM)
OnAddress = Callable[[str], None]
TRIES = 3  # how often a worker may die before it is ready
OVERDUE = 15  # seconds after the time to end in which a worker must have ended


class Workers:
    """The processes of a server, which accept connections from one listener. Each computes with so
    many threads and runs `serve`, which calls what it is given when it can answer requests."""

    def __init__(
        self,
        team: Team,
        settings: ServeSettings,
        listener: socket.socket,
        threads: int,
        serve: Callable[[OnAddress], None],
    ) -> None:
        self._team, self._listener, self._threads, self._serve = team, listener, threads, serve
        self._seconds = settings.grace + LAST_SECONDS + OVERDUE  # to end
        self._processes: dict[int, ForkProcess] = {}
        self._failures = [0] * team.workers  # how often each died before it was ready
        self._orphaned = False  # whether the first process has ended, in a worker
        self._metrics = -1  # what `leave_metrics` needs, in a worker
        self._signals: list[int] = []  # that have come and were not handled yet
        self._ending: float | None = None  # when all must have ended
        # The workers wait for the end of this pipe. It comes when this process has ended, even if
        # it was killed.
        self._pipe, self._life = os.pipe()

    def run(self, on_ready: Callable[[], None]) -> None:
        """Run the workers until SIGTERM or Ctrl-C. `on_ready` is called when all are ready. Raises
        `XinyeError` if a worker dies again and again before it is ready."""
        gc.collect()
        gc.freeze()  # the collector would write to memory that the workers share
        try:
            with whole_lines(), shared_metrics(), self._caught():
                self._watch(on_ready)
        except BaseException:  # such as a closed standard output
            for process in self._processes.values():
                process.kill()
            raise
        finally:
            gc.unfreeze()
            os.close(self._life)
            os.close(self._pipe)

    def _watch(self, on_ready: Callable[[], None]) -> None:
        waiting = True
        for number in range(self._team.workers):
            self._start(number)
        while self._processes:
            wait([process.sentinel for process in self._processes.values()], timeout=0.1)
            while self._signals:
                self._end(self._signals.pop(0))
            if waiting and all(self._team.ready.each):
                waiting = False
                on_ready()
            for number, process in [*self._processes.items()]:
                if process.exitcode is not None:
                    self._ended(number, process)
            if self._ending and time.monotonic() > self._ending:
                for process in self._processes.values():
                    process.kill()
        if TRIES in self._failures:
            name = self._failures.index(TRIES) + 1
            raise XinyeError(
                f"worker {name} ended {TRIES} times before it was ready; the log above says how", 1
            )

    def _start(self, number: int) -> int:
        """Start a worker; returns its process id."""
        process = FORK.Process(target=self._work, args=(number,), name=f"worker-{number + 1}")
        # A signal that comes now waits until the worker has its own way to handle it.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        process.start()
        self._processes[number] = process
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        return process.pid or 0

    def _ended(self, number: int, process: ForkProcess) -> None:
        """Replace a worker that has ended, unless all are ending."""
        del self._processes[number]
        process.join()  # it has ended, but is kept among the children until then
        was_ready = self._team.ready.each[number]
        mark_process_dead(process.pid)
        self._team.forget(number)
        if self._ending:
            return
        self._failures[number] = 0 if was_ready else self._failures[number] + 1
        how, name, old = how_it_ended(process.exitcode or 0), number + 1, process.pid
        if self._failures[number] == TRIES:
            said = f"worker {name} (process {old}) {how}"
            log.error(said)
            self._end(signal.SIGTERM)
            return
        new = self._start(number)
        said = f"worker {name} (process {old}) {how}; process {new} replaces it"
        log.warning(said)

    @contextmanager
    def _caught(self) -> Iterator[None]:
        """Within this context, SIGTERM and Ctrl-C are kept for `_watch`."""

        def keep(number: int, _: object) -> None:
            self._signals.append(number)

        handlers = {each: signal.signal(each, keep) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)

    def _end(self, got: int) -> None:
        """End all workers because of a signal."""
        # A second Ctrl-C does not wait for running texts, as in a server of one process.
        forward = got if self._ending else signal.SIGTERM
        self._listener.close()  # otherwise clients would wait for an answer that nobody gives
        self._ending = self._ending or time.monotonic() + self._seconds
        for process in self._processes.values():
            if process.exitcode is None and process.pid:
                os.kill(process.pid, forward)

    # -- in a worker -------------------------------------------------------------------------------

    def _work(self, number: int) -> None:
        os.close(self._life)
        self._team.number = number
        self._metrics = use_metrics()
        torch.set_num_threads(self._threads)
        threading.Thread(target=self._end_with_parent, daemon=True).start()
        try:
            self._serve(self._is_ready)
        except XinyeError as error:
            log.error("%s", error)
            raise SystemExit(error.exit_code) from None
        finally:
            if self._orphaned:
                leave_metrics(self._metrics)

    def _is_ready(self, _: str) -> None:
        self._team.ready.own = 1
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def _end_with_parent(self) -> None:
        """Wait for the end of the first process, and then end this one."""
        os.read(self._pipe, 1)
        self._orphaned = True
        name = self._team.number + 1
        said = f"the first process of this server has ended; worker {name} ends, too"
        log.error(said)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(self._seconds)
        leave_metrics(self._metrics)
        os._exit(1)


def how_it_ended(exit_code: int) -> str:
    """An exit code of `multiprocessing` in words."""
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    number = -exit_code
    return f"was killed by signal {number}"


# -- what they write to ----------------------------------------------------------------------------


class WholeLines:
    """A log's stream that several processes write to, one after another. A process holds the lock
    of a file while it writes."""

    def __init__(self, stream: TextIO, lock: int) -> None:
        self._stream, self._lock = stream, lock

    def write(self, text: str) -> None:
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            self._stream.write(text)
            self._stream.flush()
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)

    def flush(self) -> None:
        self._stream.flush()


@contextmanager
def whole_lines() -> Iterator[None]:
    """Within this context, the handlers of the log write whole lines, whichever process writes."""
    known = logging.getLogger().handlers
    handlers = [handler for handler in known if type(handler) is logging.StreamHandler]
    streams = [handler.stream for handler in handlers]
    lock = os.memfd_create("xinye-log")  # a lock ends with the process that holds it
    for handler, stream in zip(handlers, streams, strict=True):
        handler.setStream(WholeLines(stream, lock))
    try:
        yield
    finally:
        for handler, stream in zip(handlers, streams, strict=True):
            handler.setStream(stream)
        os.close(lock)
