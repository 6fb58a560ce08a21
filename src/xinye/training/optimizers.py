"""Which optimizer moves which weight, and Muon."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Kind = Literal["muon", "adamw", "sgd"]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic that Jordan et al. found
ITERATIONS = 5


@dataclass(frozen=True)
class Optimization:
    """Which optimizer moves the weights, and how far.

    `muon`: Muon for the layers' matrices, each update orthogonal, so that
    `matrix_learning_rate` does not depend on the width; AdamW at `learning_rate` for embeddings,
    heads, norms and biases. `adamw` and `sgd` move everything at `learning_rate`. Decay is for
    matrices only, and so is `l1`, which `shrink` applies. `dtype` is the precision that Muon
    iterates in.
    """

    kind: Kind
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float
    l1: float = 0.0
    dtype: torch.dtype = torch.bfloat16


def make_optimizers(model: nn.Module, plan: Optimization) -> list[torch.optim.Optimizer]:
    """The optimizers of a model's trainable weights."""
    rate, decay = plan.learning_rate, plan.weight_decay
    matrices: list[nn.Parameter] = []
    embeddings: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        kind = matrices
        if parameter.ndim < 2:
            kind = vectors
        # An adapter's two matrices make one change: orthogonal steps of each are not its own.
        elif any(part in name for part in ("embed", "lm_head", "score", ".adapter.")):
            kind = embeddings
        if parameter.requires_grad:
            kind.append(parameter)
    optimizers: list[torch.optim.Optimizer] = []
    adamw = partial(torch.optim.AdamW, lr=rate, betas=(0.9, 0.95), fused=True)
    if plan.kind == "muon":
        if matrices:
            group = {"params": matrices, "l1": plan.l1}
            optimizers.append(Muon([group], plan.matrix_learning_rate, decay, dtype=plan.dtype))
        if embeddings or vectors:
            optimizers.append(adamw(embeddings + vectors, eps=1e-10, weight_decay=0.0))
    else:
        groups = [
            {"params": matrices + embeddings, "weight_decay": decay, "l1": plan.l1},
            {"params": vectors, "weight_decay": 0.0},
        ]
        sgd = partial(torch.optim.SGD, lr=rate, momentum=0.9, nesterov=True)
        optimizers.append((adamw if plan.kind == "adamw" else sgd)(groups))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


@torch.no_grad()
def shrink(optimizer: torch.optim.Optimizer) -> None:
    """L1 regularisation, after an optimizer's step: each weight w becomes sign(w) · max(|w| − rate
    · l1, 0).

    This proximal step (Duchi & Singer 2009, "Efficient online and batch learning using forward
    backward splitting") makes weights exactly zero, which the gradient of an L1 penalty does not;
    and it stands apart from the gradient, as decoupled decay does (Loshchilov & Hutter 2019,
    arXiv:1711.05101), for the optimizers here rescale gradients.
    """
    for group in optimizer.param_groups:
        if group.get("l1"):
            for parameter in group["params"]:
                parameter.copy_(F.softshrink(parameter, group["lr"] * group["l1"]))


def clip_gradients(parameters: Iterable[Tensor], most: float) -> float:
    """Scale the gradients down to a global norm of at most `most`; returns the norm they had."""
    return float(torch.nn.utils.clip_grad_norm_(parameters, most, foreach=True))


class Muon(torch.optim.Optimizer):
    """Moves matrices by Nesterov momentum, orthogonalised, with decoupled weight decay (Jordan et
    al. 2024, https://kellerjordan.github.io/posts/muon).

    It does what `torch.optim.Muon` does, to the bit where `dtype` is bfloat16. That one always
    iterates in bfloat16, which a processor without bf16 units multiplies several times as slowly as
    float32.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        dtype: torch.dtype = torch.bfloat16,
    ) -> None:
        """`dtype` is the precision of the iteration; weights and momentum keep their own."""
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            rate, momentum = group["lr"], group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if not state:
                    state["momentum_buffer"] = torch.zeros_like(weight.grad)
                buffer = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
                update = orthogonal(weight.grad.lerp(buffer, momentum), self.dtype)
                rows, columns = weight.shape
                weight.mul_(1 - rate * group["weight_decay"])
                weight.add_(update, alpha=-rate * math.sqrt(max(1, rows / columns)))


def orthogonal(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix with all its singular values brought near 1 (about 0.7 to 1.2), by Newton-Schulz
    iteration."""
    a, b, c = COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.to(dtype)
    if tall:  # the smaller of the two Gram matrices is enough
        x = x.T
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.T
        polynomial = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.addmm(x, polynomial, x, beta=a)
    return x.T if tall else x
