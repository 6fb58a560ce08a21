"""Data-parallel training: each process takes a share of every step, and all have the same weights.

`torchrun` starts the processes, on one machine or on several. Without it there is one process, and
nothing here has an effect.
"""

import atexit
import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist

# Imported before there is a process group. Later, the default arguments of its functions would
# keep the group alive for ever.
import torch.distributed.nn
from torch import Tensor

import xinye
from xinye.errors import XinyeError
from xinye.training.launch import Failures, check_host, has_begun, meet, names_of_launch
from xinye.training.shared_memory import SharedMemory, open_memory
from xinye.training.watch import Watch

LAST_PORT = 65535
WAITING = timedelta(hours=2)  # for the first process, which may read a long text or save much


@dataclass(frozen=True)
class Processes:
    """This process (its `rank`) among the `count` that train together."""

    rank: int = 0
    count: int = 1
    launch: tuple[str, ...] = ()  # the names of the launch
    launched: bool = False  # by torchrun, or by what sets its variables

    def has_begun(self, folder: Path) -> bool:
        """Whether this launch began the run in the folder, before it was started again."""
        return has_begun(self.launch, folder)

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def all(self) -> list["Processes"]:
        """Each of the processes."""
        return [Processes(rank, self.count) for rank in range(self.count)]

    def share(self, first: int, size: int) -> tuple[int, int]:
        """This process's share of the `size` samples that begin with number `first`: (first,
        size)."""
        start, end = size * self.rank // self.count, size * (self.rank + 1) // self.count
        return first + start, end - start

    def numbers(self, mine: Sequence[float]) -> list[list[float]]:
        """The numbers that each process gives, in the order of their ranks."""
        if self.count == 1:
            return [list(mine)]
        return [each.tolist() for each in self._gathered(torch.tensor(mine, dtype=torch.float64))]

    def any(self, condition: bool) -> bool:
        """Whether the condition holds in any process."""
        return self.most([condition])[0] > 0

    def most(self, numbers: Sequence[float]) -> list[float]:
        """The largest of each number in all processes."""
        return self._reduced([float(each) for each in numbers], dist.ReduceOp.MAX)

    def agreed(self, numbers: Sequence[float]) -> list[float]:
        """The numbers of the first process, in all processes."""
        return self._reduced(numbers if self.first else [0.0] * len(numbers), dist.ReduceOp.SUM)

    def gathered(self, text: str) -> list[str]:
        """The texts that all processes give, in the order of their ranks."""
        if self.count == 1:
            return [text]
        mine = torch.tensor(bytearray(text.encode()), dtype=torch.uint8, device=self._device)
        lengths = [int(each) for each in self._gathered(torch.tensor([len(mine)]))]
        return [bytes(part.tolist()).decode() for part in self._parts(mine, lengths)]

    def assembled(self, mine: Tensor, lengths: Sequence[int]) -> Tensor:
        """The numbers of all processes, one process after another, of which each has so many."""
        return torch.cat(self._parts(mine, lengths))

    def check_same(self, found: str, advice: str) -> None:
        """Raise `XinyeError` with this advice in all processes unless all have found the same."""
        texts = self.gathered(found)
        other = next((rank for rank in range(self.count) if texts[rank] != texts[0]), 0)
        if other:
            raise XinyeError(
                f"process 0 has {texts[0]}, but process {other} has {texts[other]}; {advice}"
            )

    def shared_memory(self, size: int) -> SharedMemory | None:
        """Memory of so many bytes that the processes share, if they compute on the CPU of one host
        and it has room. All call this together."""
        handle = None
        if self.count > 1 and self._device == "cpu":
            handle = open_memory(self.rank, self.gathered)
        if handle is None:
            return None
        met = torch.zeros(1)  # this exchange takes half of the time of gloo's barrier
        memory = SharedMemory(self.rank, self.count, lambda: dist.all_reduce(met))
        try:
            return None if self.any(not memory.make_room(handle, size)) else memory
        finally:
            os.close(handle)

    @contextmanager
    def main_process_first(self) -> Iterator[None]:
        """Run the block in the first process, and then in the others, which find the work done."""
        if self.count > 1 and not self.first:
            dist.barrier()
        try:
            yield
        finally:
            if self.count > 1 and self.first:
                dist.barrier()

    def _reduced(self, numbers: Sequence[float], operation: dist.ReduceOp.RedOpType) -> list[float]:
        if self.count == 1:
            return list(numbers)
        tensor: Tensor = torch.tensor(numbers, dtype=torch.float64, device=self._device)
        dist.all_reduce(tensor, operation)
        return tensor.tolist()

    def _parts(self, mine: Tensor, lengths: Sequence[int]) -> list[Tensor]:
        """The numbers of all processes, of which each has so many."""
        padded = mine.new_zeros(max(lengths))
        padded[: len(mine)] = mine
        gathered = zip(self._gathered(padded), lengths, strict=True)
        return [part[:length] for part, length in gathered]

    def _gathered(self, tensor: Tensor) -> list[Tensor]:
        found = [torch.empty_like(tensor, device=self._device) for _ in range(self.count)]
        dist.all_gather(found, tensor.to(self._device))
        return found

    @property
    def _device(self) -> str:
        """Where what the processes exchange has to be."""
        return "cuda" if dist.get_backend() == "nccl" else "cpu"


ALONE = Processes()


@contextmanager
def processes() -> Iterator[Processes]:
    """Join the processes that `torchrun` started, while the context is open. Without `torchrun`
    this is one process."""
    if "WORLD_SIZE" not in os.environ:
        yield Processes(launch=names_of_launch())
        return
    cuda = torch.cuda.is_available()
    check_environment(cuda)
    if cuda:
        local_rank = int(os.environ["LOCAL_RANK"])
        check_gpus(local_rank + 1)
        torch.cuda.set_device(local_rank)
    launch, store, rank, count = meet()
    backend = "nccl" if cuda else "gloo"
    store = dist.PrefixStore("xinye", store)
    failures = Failures(store, rank, count, backend)
    with failures.shared(), Watch(store, rank, count).kept():
        dist.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=WAITING)
        atexit.register(let_go, [dist.group.WORLD])
        try:
            group = Processes(rank, count, launch, launched=True)
            versions = f"Xinye {xinye.__version__} with PyTorch {torch.__version__}"
            group.check_same(versions, "install the same versions everywhere")
            yield group
        finally:
            dist.destroy_process_group()


def check_environment(cuda: bool) -> None:
    """Raise `XinyeError` if torchrun's variables do not fit together. Some clusters set only a few
    of them."""
    count, rank = (os.environ.get(name, "") for name in ("WORLD_SIZE", "RANK"))
    names = ("MASTER_ADDR", "MASTER_PORT", *(("LOCAL_RANK",) if cuda else ()))
    fits = count.isdecimal() and rank.isdecimal() and int(rank) < int(count)
    if not fits or not all(os.environ.get(name) for name in names):
        raise XinyeError(
            f"WORLD_SIZE={count} and RANK={rank} announce several processes, which also need "
            f"RANK, {', '.join(names)} to find each other; start them with torchrun, or with "
            "--processes N, or unset WORLD_SIZE and RANK"
        )
    port = os.environ["MASTER_PORT"]
    if not port.isdecimal() or int(port) > LAST_PORT:
        raise XinyeError(f"MASTER_PORT={port} is not a port; give a number up to {LAST_PORT}")
    check_host("MASTER_ADDR", os.environ["MASTER_ADDR"])


def check_gpus(count: int) -> None:
    """Raise `XinyeError` if this machine has GPUs, but fewer than `count`: each process needs its
    own."""
    gpus = torch.cuda.device_count()
    if 0 < gpus < count:
        raise XinyeError(
            f"{count} processes need {count} GPUs, but this machine has {gpus}; start {gpus}, or "
            "hide the GPUs with CUDA_VISIBLE_DEVICES= to train on the processor"
        )


def another_group() -> dist.ProcessGroup:
    """A process group of all processes, for what they exchange beside training. All call this
    together."""
    group = dist.new_group(backend="gloo", timeout=WAITING)
    atexit.register(let_go, [group])
    return group


def let_go(groups: list[object]) -> None:
    """Drop the references to a process group, so that its threads end before the interpreter does.

    The threads may need the interpreter's lock once more. If a `DistributedDataParallel` were the
    last to drop the group, it would wait for them with the lock held, for ever. If nobody waited,
    the end of the interpreter would abort the process.
    """
    gc.collect()
    groups.clear()
