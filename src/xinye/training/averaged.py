"""How processes average gradients: in memory that they share, or by messages."""

import inspect
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

from xinye.model.adapter_layers import AdaLoRA
from xinye.runs.store import weights_of
from xinye.training.distributed import ALONE, Processes
from xinye.training.optimizers import Muon, owners, state_names
from xinye.training.shared_memory import SharedMemory, room_for


def together(
    loss_sum: nn.Module, optimizers: Sequence[Optimizer], processes: Processes
) -> nn.Module:
    """The loss with gradients averaged over all processes. The optimizers have not moved yet."""
    if processes.count == 1:
        return loss_sum
    memory = None
    if can_share(loss_sum, optimizers):
        memory = processes.shared_memory(Averaged.room(optimizers, processes.count))
    if memory is None:
        return by_messages(loss_sum)
    for parameter in loss_sum.parameters():
        if not parameter.requires_grad:  # the others are in the memory
            dist.broadcast(parameter.data, 0)
    return Averaged(loss_sum, optimizers, memory)


def can_share(loss_sum: nn.Module, optimizers: Sequence[Optimizer]) -> bool:
    """Whether the weights can lie in shared memory. AdaLoRA needs all gradients in every process,
    after each step."""
    weights = [weight for each in optimizers for weight in weights_of(each)]
    trained = {each for each in loss_sum.parameters() if each.requires_grad}
    plain = all(each.dtype == torch.float32 and each.numel() for each in weights)
    adaptive = any(isinstance(each, AdaLoRA) for each in loss_sum.modules())
    return bool(weights) and trained == {*weights} and plain and not adaptive


def by_messages(loss_sum: nn.Module) -> nn.Module:
    """The loss with gradients that PyTorch averages, by messages between processes."""
    # Buffers (quantized weights, AdaLoRA's importance) are equal in all processes already.
    parameters = inspect.signature(DistributedDataParallel).parameters
    names = ("forward_sync_buffers", "broadcast_buffers")  # in PyTorch 2.13, and before
    name = next(name for name in names if name in parameters)
    settings: dict[str, Any] = {name: False}
    return DistributedDataParallel(loss_sum, **settings)


class Averaged(nn.Module):
    """A loss whose weights lie in memory that the processes share, with the optimizers' state.

    Each process owns some of the weights: it averages their gradients and updates them. So in each
    process only its own weights have gradients when the optimizers move. The other gradients go to
    their owners through the shared memory, as soon as they are computed. When a checkpoint is
    loaded, all processes write the same numbers, also while others read them.
    """

    def __init__(
        self, loss_sum: nn.Module, optimizers: Sequence[Optimizer], memory: SharedMemory
    ) -> None:
        super().__init__()
        self.loss_sum, self.memory = loss_sum, memory
        trained = (each for each in loss_sum.parameters() if each.requires_grad)
        self.numbers: dict[Tensor, int] = {weight: number for number, weight in enumerate(trained)}
        self.norms = memory.zeros((len(self.numbers),))  # of the gradients, as they are numbered
        self.received: dict[Tensor, list[Tensor]] = {}  # of own weights: the parts of the others
        self.given: dict[Tensor, Tensor] = {}  # this process's part, of weights of others
        for weight, owner in owners(optimizers, memory.count).items():
            shared = memory.zeros(weight.shape)
            if memory.rank == 0:  # all begin with its weights
                shared.copy_(weight.data)
            weight.data = shared
            parts = [memory.zeros(weight.shape) for _ in range(memory.count)]
            mine = parts.pop(memory.rank)
            if owner == memory.rank:
                self.received[weight] = parts
            else:
                self.given[weight] = mine
                weight.register_post_accumulate_grad_hook(self._give)
        self.missing = {*self.given}  # those without a gradient in this step
        for optimizer in optimizers:
            self._share_state(optimizer)
            if isinstance(optimizer, Muon):
                optimizer.processes = ALONE  # it moves only the weights of this process
        memory.meet()

    @staticmethod
    def room(optimizers: Sequence[Optimizer], count: int) -> int:
        """The bytes of shared memory that this takes: weights, gradients, and state."""
        sizes = [
            (weight.numel(), 1 + count + len(state_names(each)))
            for each in optimizers
            for weight in weights_of(each)
        ]
        return room_for(len(sizes)) + sum(room_for(size) * tensors for size, tensors in sizes)

    def forward(self, batch: object) -> Tensor:
        loss: Tensor = self.loss_sum(batch)
        if loss.requires_grad:  # then the mean gradient is the sum of the parts
            loss.register_hook(lambda gradient: gradient / self.memory.count)
        return loss

    def _share_state(self, optimizer: Optimizer) -> None:
        """Keep an optimizer's state in the shared memory, also that which is loaded later."""
        places = {
            weight: {
                name: self.memory.zeros(() if name == "step" else weight.shape)
                for name in state_names(optimizer)
            }
            for weight in weights_of(optimizer)
        }

        def move(optimizer: Optimizer) -> None:
            for weight, state in places.items():
                loaded = optimizer.state.get(weight, {})
                assert loaded.keys() <= state.keys()
                for name, place in state.items():
                    place.copy_(loaded.get(name, torch.zeros(())))
                optimizer.state[weight] = state

        move(optimizer)
        optimizer.register_load_state_dict_post_hook(move)

    @torch.no_grad()
    def _give(self, weight: Tensor) -> None:
        """Add the gradient of another process's weight to this process's part of it."""
        assert weight.grad is not None
        if weight in self.missing:
            self.missing.remove(weight)
            self.given[weight].copy_(weight.grad)
        else:
            self.given[weight].add_(weight.grad)
        weight.grad = None

    def wait_for_updates(self) -> None:
        """Wait until all processes have updated their weights."""
        self.memory.meet()

    @torch.no_grad()
    def exchange(self) -> float:
        """Give this process's weights their mean gradients; returns the norm of all gradients. It
        has the same bits in all processes, and those that `gradient_norm` has in one."""
        for weight in self.missing:
            self.given[weight].zero_()
        self.missing = {*self.given}
        self.memory.meet()
        for weight, parts in self.received.items():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
            for part in parts:
                weight.grad.add_(part)
            self.norms[self.numbers[weight]] = torch.linalg.vector_norm(weight.grad)
        self.memory.meet()
        return float(torch.linalg.vector_norm(self.norms))
