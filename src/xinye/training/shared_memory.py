"""Memory that the processes of one host share.

No file can be left behind: the memory has no name in a file system, and ends with the last process.
"""

import math
import mmap
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import uuid4

import torch
from torch import Tensor

ALIGNED = 64  # bytes, of a line of a processor's cache


class SharedMemory:
    """The shared memory, as this process (its `rank`) of `count` sees it.

    All processes call the same methods in the same order. `meet` waits until all have come, and
    raises an error if one of them has died. Between two meetings no process writes what another
    one reads.
    """

    def __init__(self, rank: int, count: int, meet: Callable[[], object]) -> None:
        self.rank, self.count, self.meet = rank, count, meet
        self.taken = 0  # bytes

    def make_room(self, handle: int, size: int) -> bool:
        """Make room for tensors of so many bytes; returns whether the system allows so much. What
        is never written takes no memory."""
        if self.rank == 0:
            with suppress(OSError):
                os.ftruncate(handle, size)
        self.meet()
        with suppress(OSError, ValueError):  # a file that is too small, or a limit of memory
            self.pages = mmap.mmap(handle, size)
            return True
        return False

    def zeros(self, shape: Sequence[int]) -> Tensor:
        """A tensor in the memory, the same one in all processes."""
        start, size = self.taken, math.prod(shape)
        self.taken += room_for(size)
        flat = torch.frombuffer(self.pages, dtype=torch.float32, count=size, offset=start)
        return flat.view(torch.Size(shape))


def room_for(size: int) -> int:
    """The bytes that a tensor of so many numbers takes in the shared memory."""
    return -(-4 * size // ALIGNED) * ALIGNED


def open_memory(rank: int, gathered: Callable[[str], list[str]]) -> int | None:
    """A handle of memory that all processes have opened, or None if they cannot: on several hosts,
    or without Linux. All call this together; `gathered` returns the texts that all give."""
    handle, place = None, ""
    if rank == 0 and hasattr(os, "memfd_create"):
        name = f"xinye-{uuid4().hex}"
        handle = os.memfd_create(name)
        place = f"/proc/{os.getpid()}/fd/{handle} {name}"
    path, _, name = gathered(place)[0].partition(" ")
    if rank and name:
        # Another host may have a process with this number, too, but not with memory of this name.
        with suppress(OSError):
            if name in os.readlink(path):
                handle = os.open(path, os.O_RDWR)
    if all(gathered("" if handle is None else "opened")):
        return handle
    if handle is not None:
        os.close(handle)
    return None
