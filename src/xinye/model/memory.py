"""Where a model's weights lie in memory."""

import mmap
from contextlib import suppress

import torch
from torch import nn

LARGE_PAGE = 2**21
ALIGNED = 64  # bytes


def gather(model: nn.Module) -> None:
    """Move a model's weights on the CPU into one piece of memory, in place, with large pages where
    the system has them.

    With pages of 4 KB, looking up where they are can take half of the time in which a processor
    reads the weights (docs/log.md). Besides, weights may lie in a file, and one that somebody
    overwrites or cuts short would change them or end the process. Processes that fork share them.
    """
    weights = [each for each in (*model.parameters(), *model.buffers()) if each.is_cpu]
    places, size = list[int](), 0
    for weight in weights:
        places.append(size)
        size += -(-weight.nbytes // ALIGNED) * ALIGNED
    pages = mmap.mmap(-1, size + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without them
            pages.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(pages, dtype=torch.uint8)
    begin = -memory.data_ptr() % LARGE_PAGE
    for weight, place in zip(weights, places, strict=True):
        own = memory[begin + place :][: weight.nbytes].view(weight.dtype).view(weight.shape)
        weight.data = own.copy_(weight.data)
