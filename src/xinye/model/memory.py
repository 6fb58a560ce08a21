"""Where a model's weights lie in memory."""

import mmap

import torch
from torch import nn

LARGE_PAGE = 2**21
ALIGNED = 64  # bytes


def gather(model: nn.Module) -> None:
    """Move a model's weights on the CPU into one piece of memory with large pages, in place.

    With pages of 4 KB, looking up where they are can take half of the time in which a processor
    reads the weights (docs/log.md). Where the system has no large pages, nothing is done.
    """
    tensors = [*model.parameters(), *model.buffers()]
    weights = [tensor for tensor in tensors if tensor.is_cpu and tensor.is_contiguous()]
    places, size = list[int](), 0
    for weight in weights:
        places.append(size)
        size += -(-weight.nbytes // ALIGNED) * ALIGNED
    if not hasattr(mmap, "MADV_HUGEPAGE") or size < LARGE_PAGE:
        return
    pages = mmap.mmap(-1, size + LARGE_PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    pages.madvise(mmap.MADV_HUGEPAGE)
    memory = torch.frombuffer(pages, dtype=torch.uint8)
    begin = -memory.data_ptr() % LARGE_PAGE
    for weight, place in zip(weights, places, strict=True):
        own = memory[begin + place :][: weight.nbytes].view(weight.dtype).view(weight.shape)
        weight.data = own.copy_(weight.data)
