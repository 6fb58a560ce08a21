"""Weights of which each of several processes keeps a part, as PyTorch's `DTensor`.

A plain tensor is whole and is its own part, so the functions here also take those.
"""

from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

if TYPE_CHECKING:  # importing it takes half a second, and only several processes need it
    from torch.distributed.tensor import DTensor


def is_sharded(tensor: Tensor) -> "TypeGuard[DTensor]":
    """Whether each process keeps only a part of the tensor."""
    return hasattr(tensor, "placements")


def part_of(tensor: Tensor) -> Tensor:
    """This process's part of a tensor. Changes of it change the tensor."""
    return tensor.to_local() if is_sharded(tensor) else tensor


def shared_out(values: Tensor, like: Tensor) -> Tensor:
    """The values, which all processes have, in parts like those of another tensor."""
    if not is_sharded(like):
        return values
    from torch.distributed.tensor import distribute_tensor

    values = values.to(part_of(like).device, like.dtype)
    return distribute_tensor(values, like.device_mesh, like.placements, src_data_rank=None)


@torch.no_grad()
def put(weight: Tensor, values: Tensor) -> None:
    """Set a weight to values that all processes have."""
    part_of(weight).copy_(part_of(shared_out(values, weight)))
