"""What a process knows of the launch that started it: its names, and why another one failed."""

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import torch.distributed as dist

from xinye.errors import OfOneProcess, XinyeError, reason_of
from xinye.runs.folder import RunFolder

# What PyTorch's backends say where another process has ended or does not answer.
LOST = re.compile(
    "Connection (?:reset|closed|refused)|[Tt]imed ?out|connectFullMesh|remote process|NCCL"
)
HEAD_START = 2.0  # seconds that the first process has to meet an error before others end it
JOINING = timedelta(minutes=5)  # in which all processes have to come together


def meet() -> tuple[tuple[str, ...], dist.Store, int, int]:
    """Meet the other processes of the launch. Returns its names, a store for this start of it, and
    this process's rank among how many. Raises `XinyeError` if a process does not come."""
    try:
        store, rank, count = next(dist.rendezvous("env://", timeout=JOINING))
        return names_of_launch(store), joined(store, rank, count), rank, count
    except RuntimeError as error:
        count, rank = (os.environ[name] for name in ("WORLD_SIZE", "RANK"))
        place = ":".join(os.environ[name] for name in ("MASTER_ADDR", "MASTER_PORT"))
        if "EADDRINUSE" in str(error):
            taken = f"{place}: another program uses this port; choose another MASTER_PORT"
            raise OfOneProcess(taken, 1, told=False) from None
        what = (
            f"{place}: the {count} processes have not come together there within "
            f"{JOINING.seconds // 60} min ({reason_of(error)}); see whether all of them have "
            "started, and whether their hosts answer"
        )
        raise OfOneProcess(what, 1, told=False) from None


def check_host(setting: str, name: str) -> None:
    """Raise `XinyeError` if no host has this name, which PyTorch would look up for minutes."""
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or reason_of(error)
        raise XinyeError(
            f"{setting}: no host named {name!r} is known here ({why}); give the name or the "
            "address of the host where all processes meet"
        ) from None


def names_of_launch(store: dist.Store | None = None) -> tuple[str, ...]:
    """Names that a launch keeps when its processes are started again: by torchrun, whose agent
    keeps the store, after one of them failed; by Slurm, after a host did."""
    job, cluster = (os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "CLUSTER_NAME"))
    names = [f"slurm/{cluster}/{job}"] if job else []
    if store is not None:
        while isinstance(store, dist.PrefixStore):  # the prefix is another one after each start
            store = store.underlying_store
        names.append(store.compare_set("xinye/launch", "", uuid4().hex).decode())
    return tuple(names)


def joined(store: dist.Store, rank: int, count: int) -> dist.Store:
    """A part of the store for this start of the processes alone, once all of them are there.

    torchrun keeps one store for all starts (https://github.com/pytorch/pytorch/issues/167288). It
    still has what the processes wrote before they were started again, such as addresses at which
    nobody answers any more. So each process writes a new name for itself, and the first one
    answers those with the name of this start.

    Raises `RuntimeError` if a process does not come.
    """
    name = uuid4().hex
    if rank:
        store.set(f"xinye/here/{rank}", name)
        store.wait([f"xinye/answer/{name}"], JOINING)
        name = store.get(f"xinye/answer/{name}").decode()
        store.set(f"xinye/joined/{name}/{rank}", "")
        return dist.PrefixStore(f"xinye/start/{name}", store)
    missing, end = {*range(1, count)}, time.monotonic() + JOINING.total_seconds()
    while missing:
        for other in missing:
            if store.check([f"xinye/here/{other}"]):
                theirs = store.get(f"xinye/here/{other}").decode()
                store.set(f"xinye/answer/{theirs}", name)
        missing = {each for each in missing if not store.check([f"xinye/joined/{name}/{each}"])}
        if missing and time.monotonic() > end:
            raise RuntimeError(f"process {min(missing)} is missing")
        time.sleep(0.02)
    return dist.PrefixStore(f"xinye/start/{name}", store)


def has_begun(launch: tuple[str, ...], folder: Path) -> bool:
    """Whether the launch with these names began the run in a folder, before it was started again.
    The commands of one job of Slurm are one launch only where it was requeued."""
    files = RunFolder(folder)
    again = os.environ.get("SLURM_RESTART_COUNT", "0") != "0"
    names = {name for name in launch if again or not name.startswith("slurm/")}
    if not names or not files.exists:
        return False
    with suppress(XinyeError):  # of a damaged run, which may be about to be overwritten
        return not names.isdisjoint(files.about().get("launch", ()))
    return False


@dataclass(frozen=True)
class Failures:
    """What processes that fail leave to each other in a store, so that the first one tells why."""

    store: dist.Store
    rank: int
    count: int
    backend: str

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Inside, an error of one process ends all, and is told once: by the first process, or by
        its own where that one hangs in a call to a GPU.

        The others learn of it as their connection breaks, or as the launcher ends them.
        """
        before = _on_terminate(_terminated)
        try:
            yield
        except XinyeError as error:
            _on_terminate(signal.SIG_IGN)  # the launcher may not end it before it has told why
            said = {"host": socket.gethostname(), "error": str(error), "code": error.exit_code}
            with suppress(RuntimeError):  # the store's host has ended
                self.store.set(f"failed/{self.rank}", json.dumps(said))
                self._wait_for_first()
            if self.rank == 0:
                raise
            told = self.backend == "gloo"
            raise OfOneProcess(_sentence(self.rank, said), error.exit_code, told) from error
        except SystemExit:
            if found := self._found():
                _on_terminate(signal.SIG_IGN)
                raise found from None
            raise
        except RuntimeError as error:
            if not LOST.search(str(error)):
                raise
            _on_terminate(signal.SIG_IGN)
            raise self._found() or XinyeError(
                f"the connection to another of the {self.count} processes was lost: it was killed, "
                f"or its host does not answer ({reason_of(error)}); continue from the last "
                "checkpoint with --resume",
                exit_code=1,
            ) from error
        _on_terminate(before)

    def _wait_for_first(self) -> None:
        """Let the first process meet the same error by itself, as most errors are of all."""
        end = time.monotonic() + HEAD_START
        while not self.store.check(["failed/0"]) and time.monotonic() < end:
            time.sleep(0.05)

    def _found(self) -> XinyeError | None:
        """The error that another process has left, if one has."""
        with suppress(RuntimeError):  # the store's host has ended
            for rank in range(1, self.count):
                if self.store.check([f"failed/{rank}"]):
                    said = json.loads(self.store.get(f"failed/{rank}"))
                    return XinyeError(_sentence(rank, said), int(said["code"]))
        return None


def _on_terminate(handler: Any) -> Any:
    """Call this at SIGTERM from now on. Returns what was called before. Other threads than the
    main one cannot change that."""
    if threading.current_thread() is threading.main_thread():
        return signal.signal(signal.SIGTERM, handler)
    return None


def _terminated(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


def _sentence(rank: int, said: dict[str, Any]) -> str:
    return f"process {rank} on {said['host']}: {said['error']}"
