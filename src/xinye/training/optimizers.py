"""Which optimizer moves which weight."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.training.muon import Muon

Kind = Literal["muon", "adamw", "sgd"]


@dataclass(frozen=True)
class Optimization:
    """Which optimizer moves the weights, and how far.

    `muon`: Muon for the layers' matrices (Jordan et al. 2024,
    https://kellerjordan.github.io/posts/muon), each update orthogonal, so that
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
        if parameter.requires_grad:
            embedding = any(part in name for part in ("embed", "lm_head", "score"))
            # two matrices make one change: orthogonal steps of each are not its own
            adapter = ".adapter." in name
            (
                vectors if parameter.ndim < 2 else embeddings if embedding or adapter else matrices
            ).append(parameter)
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
