"""Muon: momentum whose every update is made orthogonal (Jordan et al. 2024,
https://kellerjordan.github.io/posts/muon)."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

# of the quintic that Jordan et al. found, steepest at zero
COEFFICIENTS = (
    3.4445,
    -4.7750,
    2.0315,
)
ITERATIONS = 5


class Muon(torch.optim.Optimizer):
    """Moves matrices by Nesterov momentum, orthogonalised, with decoupled weight decay.

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
