"""The cross-entropy over a large vocabulary, without the logits of all tokens at once.

The logits of a batch take more memory than all else: 16 windows of 1,024 tokens and a vocabulary
of 50,000 make 3.3 GB of them in fp32, and as much again for their gradients. Here they are computed
for some tokens at a time, and their gradients with them: none are kept for the backward pass.
PyTorch's `linear_cross_entropy` does the same, but it sums in the dtype of its input: in bf16 the
sum of 4,096 losses was wrong by 0.5 %.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from xinye.model.kernels import product_dtype
from xinye.model.sharded import is_sharded
from xinye.native import training as native

IGNORED = -100
IN_PLACE = 2**28  # bytes of logits that compiled code turns into their gradients


def logits_at_once(device: torch.device) -> int:
    """The number of logits that are computed together, with copies of them: 64 MiB in fp32, but 1
    GiB on a GPU, whose products are only fast if they are large. Both are few enough to save the
    memory, and many enough to be fast (`benchmarks/loss_chunks.py`)."""
    return 2**28 if device.type == "cuda" else 2**24


def pays(weight: Tensor, tokens: int) -> bool:
    """Whether the logits of so many tokens for this head (V, C) are too many for one product."""
    return not is_sharded(weight) and tokens * len(weight) > logits_at_once(weight.device)


def cross_entropy_of_states(
    states: Tensor, weight: Tensor, targets: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """The sum of the cross-entropies in nats over all targets (N,) but -100, in fp32, of the logits
    of hidden states (N, C) and a head (V, C). Its gradient has no gradient."""
    with_gradients = torch.is_grad_enabled()
    total: Tensor = _InChunks.apply(states, weight, targets, label_smoothing, with_gradients)
    return total


class _InChunks(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[no-untyped-def]
        ctx, states: Tensor, weight: Tensor, targets: Tensor, smoothing: float, training: bool
    ) -> Tensor:
        of_states, of_weight = training and states.requires_grad, training and weight.requires_grad
        wide = product_dtype(states.dtype, states.device)
        head = weight.to(states.dtype).to(wide)
        total = torch.zeros((), device=states.device)
        state_gradients = []
        weight_gradient = None
        at_once = logits_at_once(states.device)
        if of_states and native.takes(states):
            at_once = IN_PLACE // wide.itemsize
        parts = math.ceil(len(states) * len(weight) / at_once) or 1
        for some, wanted in zip(states.chunk(parts), targets.chunk(parts), strict=True):
            some = some.to(wide)
            logits = (some @ head.T).to(states.dtype)
            if not (of_states or of_weight):
                total += F.cross_entropy(
                    logits.float(), wanted, reduction="sum", label_smoothing=smoothing
                )
                continue
            losses, gradient = _with_gradient(logits, wanted, smoothing)
            total += losses.sum()
            gradient = gradient.to(wide)
            state_gradients.append((gradient @ head).to(states.dtype))
            if of_weight:
                weight_gradient = _added(weight_gradient, gradient.T, some)
            del logits, gradient  # before the next ones need memory
        ctx.save_for_backward(torch.cat(state_gradients) if of_states else None, weight_gradient)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, scale: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        gradients = (None if each is None else each * scale for each in ctx.saved_tensors)
        return *gradients, None, None, None


def _added(total: Tensor | None, a: Tensor, b: Tensor) -> Tensor:
    """The total of products in fp32, in place, with that of a and b."""
    if total is None:
        return (a @ b).float()
    return total.addmm_(a, b) if a.dtype == total.dtype else total.add_(a @ b)


def _with_gradient(logits: Tensor, targets: Tensor, smoothing: float) -> tuple[Tensor, Tensor]:
    """The cross-entropies (N,) in fp32 of logits (N, V), and the gradient of their sum, for which
    it may take the memory of the logits."""
    if native.takes(logits):
        return native.cross_entropy_(logits, targets, smoothing), logits
    counted, places = targets != IGNORED, targets.clamp(min=0)[:, None]
    logs = F.log_softmax(logits, dim=-1, dtype=torch.float32)
    losses = -(1 - smoothing) * logs.gather(1, places)[:, 0]
    if smoothing:
        losses = losses - smoothing * logs.mean(-1)
    # The gradient is probability minus target.
    gradient = logs.exp_().sub_(smoothing / logits.shape[1])
    gradient.scatter_add_(1, places, torch.full_like(losses, smoothing - 1)[:, None])
    return torch.where(counted, losses, 0), gradient.mul_(counted[:, None]).to(logits.dtype)
