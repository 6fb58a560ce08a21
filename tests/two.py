"""Commands in processes of their own, two of which may train together. None waits for PyTorch's
import: a server that has imported it, and what trains, forks them."""

import multiprocessing
import os
import runpy
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Outcome

SERVER = multiprocessing.get_context("forkserver")
# Not what prints: which of the processes this is, the console asks when it is imported.
SERVER.set_forkserver_preload(
    [
        *("torch.distributed.checkpoint", "torch.distributed.fsdp", "torch.distributed.run"),
        *("torch._inductor.config", "torch.onnx", "rich.console"),
        "xinye.training.train",
    ]
)


class Forked:
    """A Python module that runs as a program, with these words. It has what a `Popen` has of the
    same name."""

    def __init__(
        self, *words: object, module: str = "xinye", environment: dict[str, str] | None = None
    ) -> None:
        self.place = tempfile.TemporaryDirectory()
        where = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
        said = [f"{self.place.name}/out", f"{self.place.name}/err"]
        arguments = [module, *map(str, words)]
        self.process = SERVER.Process(target=run, args=(arguments, where, os.getcwd(), said))
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    @property
    def returncode(self) -> int:
        assert self.process.exitcode is not None
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; returns what it wrote. One that hangs is killed."""
        self.process.join(timeout)
        self.process.kill()
        self.process.join()
        out, err = ((Path(self.place.name) / name).read_text("utf-8") for name in ("out", "err"))
        self.place.cleanup()
        return out, err


def run(arguments: list[str], where: dict[str, str], folder: str, said: list[str]) -> None:
    """Be the program."""
    os.environ.clear()
    os.environ.update(where)
    import torch

    os.chdir(folder)
    torch.set_num_threads(1)
    for number, name in enumerate(said, start=1):
        with open(name, "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), number)
    sys.argv[1:] = arguments[1:]
    runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)


def meeting(count: int = 2) -> dict[str, str]:
    """Variables that let so many processes meet at a free port."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    return {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}


def together(count: int, *arguments: object) -> list[Forked]:
    """Starts a command in so many processes that meet as those of `torchrun` do."""
    where = meeting(count)
    ranks = [{**where, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [Forked(*arguments, environment=rank) for rank in ranks]


def two(*arguments: object) -> "Outcome":
    """Runs a command in two processes. Ends as the first one that fails, and says what both say."""
    from conftest import Outcome

    first, second = together(2, *arguments)
    out, error = first.communicate()
    _, other = second.communicate()
    return Outcome(first.returncode or second.returncode, out, error + other)
