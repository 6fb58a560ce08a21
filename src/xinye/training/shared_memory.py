"""Memory that the processes of one host share, through which they exchange gradients and updates.

That takes half of the time of gloo, which sends everything through sockets. No file can be left
behind: the memory has no name in a file system, and ends with the last process.

Each exchange writes, meets the other processes, and then reads. What one process reads, no other
one writes meanwhile: the results of exchanges alternate between two places. A process that writes
one has met the others in the exchange before, for which they had finished with the one before that.
"""

import mmap
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from uuid import uuid4

import torch
from torch import Tensor, nn

AT_ONCE = 2**17  # numbers that are added up together, so that they stay in the processor's cache


class SharedMemory:
    """The shared memory, as this process (its `rank`) of `count` sees it. All of them call the same
    methods in the same order. `meet` waits until all have come, and raises an error if one of them
    has died."""

    def __init__(self, rank: int, count: int, handle: int, meet: Callable[[], object]) -> None:
        self.rank, self.count, self.handle, self.meet = rank, count, handle, meet
        self.parts = torch.empty(count, 0)  # a row for each process, which only this one writes
        self.results = torch.empty(2, 0)
        self.turn = 0  # which of the two results comes next

    def make_room(self, size: int) -> bool:
        """Make room for exchanges of up to `size` numbers; returns whether there is enough
        memory."""
        rows = self.count + 2
        if self.rank == 0:
            with suppress(OSError):
                os.ftruncate(self.handle, 4 * size * rows)
        self.meet()
        if not size or os.fstat(self.handle).st_size < 4 * size * rows:
            return False
        memory = mmap.mmap(self.handle, 4 * size * rows)
        whole = torch.frombuffer(memory, dtype=torch.float32).view(rows, size)
        self.parts, self.results = whole[: self.count], whole[self.count :]
        return True

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Set each tensor to its mean over all processes, the same bits in all of them."""
        result = self._next_result()
        for mine, tensor in zip(_cut(self.parts[self.rank], tensors), tensors, strict=True):
            mine.copy_(tensor)
        self.meet()
        size = sum(each.numel() for each in tensors)
        first, end = (size * rank // self.count for rank in (self.rank, self.rank + 1))
        for start in range(first, end, AT_ONCE):
            some = slice(start, min(end, start + AT_ONCE))
            total = self.parts[0, some].clone()
            for part in self.parts[1:]:
                total += part[some]
            torch.mul(total, 1 / self.count, out=result[some])
        self.meet()
        for mean, tensor in zip(_cut(result, tensors), tensors, strict=True):
            tensor.copy_(mean)

    def fits(self, row: Tensor, size: int) -> bool:
        """Whether `size` tensors like this one fit into a result."""
        return row.device.type == "cpu" and row.nbytes * size <= self.results[0].nbytes

    def assembled(self, rows: Tensor, first: int, size: int) -> Tensor:
        """The `size` rows of which this process gives those from number `first`, (size, …). They
        change with the exchange after the next one."""
        shape = size, *rows.shape[1:]
        whole = self._next_result().view(rows.dtype)[: torch.Size(shape).numel()].view(shape)
        whole[first : first + len(rows)] = rows
        self.meet()
        return whole

    def _next_result(self) -> Tensor:
        self.turn = 1 - self.turn
        return self.results[self.turn]


class Averaged(nn.Module):
    """A loss whose gradients the processes average in shared memory: `exchange` does that, after
    the backward pass of the last micro-batch."""

    def __init__(self, loss_sum: nn.Module, memory: SharedMemory) -> None:
        super().__init__()
        self.loss_sum, self.memory = loss_sum, memory

    def forward(self, batch: object) -> Tensor:
        loss: Tensor = self.loss_sum(batch)
        return loss

    @torch.no_grad()
    def exchange(self) -> None:
        self.memory.average([each.grad for each in self.parameters() if each.grad is not None])


def _cut(flat: Tensor, tensors: Sequence[Tensor]) -> Iterable[Tensor]:
    """The beginning of a flat tensor in pieces with the shapes of these tensors."""
    sizes = [each.numel() for each in tensors]
    pieces = flat[: sum(sizes)].split(sizes)
    return [piece.view_as(like) for piece, like in zip(pieces, tensors, strict=True)]


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
