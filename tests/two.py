"""Two processes that train together, started without waiting for PyTorch's import: a server that
has imported it forks them."""

import multiprocessing
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Outcome

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["torch.distributed.checkpoint", "torch.distributed.fsdp", "pydantic", "rich", "tokenizers"]
)


def meeting() -> dict[str, str]:
    """Variables that let two processes meet at a free port."""
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    return {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2"}


def two(*arguments: object) -> "Outcome":
    """Runs a command in two processes that meet as those of `torchrun` do. Ends as the first one
    that fails, and says what both say."""
    from conftest import Outcome

    words, where = [str(argument) for argument in arguments], {**os.environ, **meeting()}
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        started = [
            SERVER.Process(target=run, args=(rank, words, where, os.getcwd(), place))
            for rank in range(2)
        ]
        for process in started:
            process.start()
        for process in started:
            process.join(300)
            process.kill()  # if it hangs
            process.join()
        codes = [process.exitcode or 0 for process in started]
        out, *errors = ((place / name).read_text("utf-8") for name in ("0.out", "0.err", "1.err"))
        return Outcome(codes[0] or codes[1], out, errors[0] + errors[1])


def run(rank: int, words: list[str], where: dict[str, str], folder: str, place: Path) -> None:
    """One of the processes."""
    os.environ.clear()
    os.environ.update(where, RANK=str(rank), LOCAL_RANK=str(rank))
    import torch

    from xinye.cli.main import main  # which of the processes this is it asks when it is imported

    os.chdir(folder)
    torch.set_num_threads(1)
    for number, kind in ((1, "out"), (2, "err")):
        with open(place / f"{rank}.{kind}", "w", encoding="utf-8") as file:
            os.dup2(file.fileno(), number)
    sys.exit(main(words))
