"""Starts the processes of this host with PyTorch's elastic launcher, and tells why it ended.

`python -m xinye.training.torchrun` takes the arguments of `torchrun`, and ends in one line where
that one prints tracebacks: after a signal, and if a host is missing.
"""

import logging
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import torch
from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.elastic.rendezvous import (
    RendezvousClosedError,
    RendezvousConnectionError,
    RendezvousTimeoutError,
)
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from xinye.errors import XinyeError, plural, print_error, reason_of
from xinye.machine import allowed_cores
from xinye.training.distributed import check_gpus
from xinye.training.launch import check_host

PROCESSES_PER_CORE = 4  # enough to try out how many processes train together
ENDED = (128 + signal.SIGTERM, -signal.SIGTERM)  # codes of a process that the launcher has ended


def check_count(count: int) -> None:
    """Raise `XinyeError` if this machine has no use for so many processes."""
    check_gpus(count)
    cores = allowed_cores()
    most = PROCESSES_PER_CORE * cores
    if not torch.cuda.is_available() and count > most:
        raise XinyeError(
            f"--processes {count}: this machine has {plural(cores, 'core')}, and processes that "
            f"share a core only slow each other down; give at most {most}"
        )


def share_cores(count: int) -> None:
    """Give each of several processes on this machine its share of the cores, unless the user has
    said how many threads they have."""
    if count > 1:
        os.environ.setdefault("OMP_NUM_THREADS", str(max(1, allowed_cores() // count)))


def launch(count: int, arguments: Sequence[str]) -> int:
    """Run `xinye` with these arguments in `count` processes on this machine; returns the exit code
    of the first one.

    PyTorch's elastic launcher starts them, and ends all when one fails. It passes on a signal that
    asks to stop; the processes then have 30 seconds to save.
    """
    logging.disable(logging.ERROR)  # Xinye's own message says what is wrong
    share_cores(count)
    config = LaunchConfig(
        1, 1, count, run_id="xinye", rdzv_backend="c10d", rdzv_endpoint="localhost:0",
        max_restarts=0, monitor_interval=0.1,
    )  # fmt: skip
    try:
        elastic_launch(config, sys.executable)("-m", "xinye", *arguments)
    except ChildFailedError as error:
        return code_of(error)
    except SignalException as error:
        return 128 + error.sigval
    return 0


def code_of(error: ChildFailedError) -> int:
    """The exit code of the first process that failed: 128 + the signal if one ended it. Raises
    `XinyeError` if processes were killed, which nobody else has told."""
    codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
    killed = next((rank for rank, code in codes.items() if code == -signal.SIGKILL), None)
    if killed is not None and codes.get(0, ENDED[0]) in (*ENDED, -signal.SIGKILL):
        raise XinyeError(
            f"process {killed} was killed, perhaps because memory was full; continue from the "
            "last checkpoint with --resume",
            exit_code=1,
        ) from None
    code = codes.get(0) or next(iter(codes.values())) or 1
    return code if code > 0 else 128 - code


def run_host(arguments: Sequence[str]) -> int:
    """Do what `torchrun` does with these arguments. Returns the exit code; raises `XinyeError` if
    the hosts do not come together, or after a signal."""
    asked = run.parse_args(arguments)
    place = asked.rdzv_endpoint
    if place:
        check_host("--rdzv-endpoint", (place.rpartition(":")[0] or place).strip("[]"))
    logging.disable(logging.WARNING)  # what follows after a signal
    with suppress(ValueError):  # `run` says what is wrong with the number
        share_cores(run.determine_local_world_size(asked.nproc_per_node))
    try:
        run.run(asked)
    except ChildFailedError as error:
        return code_of(error)
    except SignalException as error:
        name = error.sigval.name
        raise XinyeError(
            f"ended by {name}; continue with the same command and --auto-resume", 128 + error.sigval
        ) from None
    except RendezvousTimeoutError:
        raise XinyeError(
            f"{place}: of {asked.nnodes} hosts one did not come in time; start the same command on "
            "each of them, and see whether they reach this port",
            1,
        ) from None
    except (RendezvousConnectionError, RendezvousClosedError) as error:
        raise XinyeError(
            f"{place}: the connection to the host where all meet is lost, or was never made "
            f"({reason_of(error.__cause__ or error)}); see whether it still runs, and start the "
            "same command on all hosts again, with --auto-resume",
            1,
        ) from None
    return 0


if __name__ == "__main__":
    try:
        sys.exit(run_host(sys.argv[1:]))
    except XinyeError as error:
        print_error(f"xinye: {error}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:  # while the hosts come together
        print_error("xinye: interrupted")
        sys.exit(128 + signal.SIGINT)
