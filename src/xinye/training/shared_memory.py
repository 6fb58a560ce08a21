"""Memory that the processes of one host share, through which they exchange gradients and updates.

It is faster than gloo, which sends everything through sockets, and gradients are kept only there.
No file can be left behind: the memory has no name in a file system, and ends with the last process.
"""

import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from uuid import uuid4

import torch
from torch import Tensor, nn

AT_ONCE = 2**17  # numbers that are added up together, so that they stay in the processor's cache


class SharedMemory:
    """The shared memory, as this process (its `rank`) of `count` sees it.

    All processes call the same methods in the same order. `meet` waits until all have come, and
    raises an error if one of them has died. Between two meetings no process writes what another
    one reads.
    """

    def __init__(self, rank: int, count: int, handle: int, meet: Callable[[], object]) -> None:
        self.rank, self.count, self.handle, self.meet = rank, count, handle, meet
        self.parts = torch.empty(count, 0)  # of each process; only this one writes it
        self.mean = self.updates = torch.empty(0)
        self.squares = torch.empty(count, dtype=torch.float64)  # the sum of those of each share

    def make_room(self, size: int) -> bool:
        """Make room for exchanges of `size` numbers; returns whether there is enough memory."""
        rows, before = self.count + 2, 8 * self.count
        needed = before + 4 * size * rows
        if self.rank == 0:
            with suppress(OSError):
                os.ftruncate(self.handle, needed)
        self.meet()
        if os.fstat(self.handle).st_size < needed:
            return False
        memory = mmap.mmap(self.handle, needed)
        self.squares = torch.frombuffer(memory, dtype=torch.float64, count=self.count)
        whole = torch.frombuffer(memory, dtype=torch.float32, offset=before).view(rows, size)
        self.parts, (self.mean, self.updates) = whole[: self.count], whole[self.count :]
        return True

    def average(self) -> float:
        """Set `mean` to the mean of all `parts`, the same bits for all; returns its norm."""
        self.meet()
        squares = 0.0
        for some in self._share():
            total = self.parts[0, some].clone()
            for part in self.parts[1:]:
                total += part[some]
            torch.mul(total, 1 / self.count, out=self.mean[some])
            squares += float(self.mean[some].norm()) ** 2
        self.squares[self.rank] = squares
        self.meet()
        return math.sqrt(self.squares.sum())

    def scale(self, factor: float) -> None:
        """Multiply `mean`, which nobody has read yet, by a factor."""
        for some in self._share():
            self.mean[some] *= factor
        self.meet()

    def fits(self, mine: Tensor, lengths: Sequence[int]) -> bool:
        """Whether `assembled` can take these numbers."""
        small = mine.element_size() * sum(lengths) <= self.updates.nbytes
        return small and mine.device.type == "cpu"

    def assembled(self, mine: Tensor, lengths: Sequence[int]) -> Tensor:
        """The numbers of all processes, one process after another, of which each has so many. They
        stay the same until the next call."""
        self.meet()
        whole = self.updates.view(mine.dtype)[: sum(lengths)]
        whole.split(list(lengths))[self.rank].copy_(mine)
        self.meet()
        return whole

    def _share(self) -> Iterator[slice]:
        """The numbers that this process adds up, in pieces."""
        size = len(self.mean)
        first, end = (size * rank // self.count for rank in (self.rank, self.rank + 1))
        for start in range(first, end, AT_ONCE):
            yield slice(start, min(end, start + AT_ONCE))


class Averaged(nn.Module):
    """A loss whose gradients the processes average in shared memory.

    Each gradient goes there as soon as it is computed. After the backward pass of the last
    micro-batch `exchange` gives the parameters their mean gradients, which lie there, too.
    """

    def __init__(self, loss_sum: nn.Module, memory: SharedMemory) -> None:
        super().__init__()
        self.loss_sum, self.memory = loss_sum, memory
        trained = trained_by(loss_sum)
        sizes = [each.numel() for each in trained]
        self.parts, self.means = (
            {each: part.view_as(each) for each, part in zip(trained, row.split(sizes), strict=True)}
            for row in (memory.parts[memory.rank], memory.mean)
        )
        self.missing = set(trained)  # those without a gradient in this step
        for parameter in trained:
            parameter.register_post_accumulate_grad_hook(self._take)

    def forward(self, batch: object) -> Tensor:
        loss: Tensor = self.loss_sum(batch)
        return loss

    @torch.no_grad()
    def _take(self, parameter: nn.Parameter) -> None:
        """Add a parameter's gradient to this process's part of the shared memory."""
        assert parameter.grad is not None
        if parameter in self.missing:
            self.missing.remove(parameter)
            self.parts[parameter].copy_(parameter.grad)
        else:
            self.parts[parameter].add_(parameter.grad)
        parameter.grad = None

    @torch.no_grad()
    def exchange(self) -> float:
        """Give all parameters their gradients, averaged over the processes; returns the norm."""
        for parameter in self.missing:
            self.parts[parameter].zero_()
        norm = self.memory.average()
        for parameter, mean in self.means.items():
            parameter.grad = mean
            self.missing.add(parameter)
        return norm

    @torch.no_grad()
    def scale(self, factor: float) -> None:
        """Multiply all gradients by a factor, the same in all processes."""
        if factor != 1:
            self.memory.scale(factor)


def trained_by(loss_sum: nn.Module) -> list[nn.Parameter]:
    return [each for each in loss_sum.parameters() if each.requires_grad]


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
