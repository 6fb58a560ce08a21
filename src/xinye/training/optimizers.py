"""The optimizers, and which of them updates which weights."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, chain
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model.sharded import is_sharded, part_of
from xinye.native import training as native
from xinye.runs.store import weights_of
from xinye.training.distributed import ALONE, Processes
from xinye.training.exchange import Exchange

Kind = Literal["muon", "adamw", "sgd"]
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic polynomial of Jordan et al.
ITERATIONS = 5
SMALL = 256  # rows or columns of a matrix that a core's cache holds
MOMENTUM = 0.95  # of Muon
OTHER_WORK = 8  # of an update, beside Muon's products; in rows of a matrix that are multiplied
AT_ONCE = 2**24  # elements of matrices that are computed together


@dataclass(frozen=True)
class Optimization:
    """Which optimizer updates the weights, with its learning rates.

    `muon` uses Muon for the layers' matrices and AdamW at `learning_rate` for embeddings, heads,
    norms and biases. Muon's updates are orthogonal, so `matrix_learning_rate` does not depend on
    the width. `adamw` and `sgd` update everything at `learning_rate`. Weight decay and `l1`, which
    `shrink` applies, are for matrices only. `dtype` is the precision of Muon's iteration, which is
    `compiled` on a GPU. On a CPU its products take all the time, so nothing is gained there.
    """

    kind: Kind
    learning_rate: float
    matrix_learning_rate: float
    weight_decay: float
    l1: float = 0.0
    dtype: torch.dtype = torch.bfloat16
    compiled: bool = False


def make_optimizers(
    model: nn.Module, plan: Optimization, processes: Processes = ALONE
) -> list[torch.optim.Optimizer]:
    """The optimizers of a model's trainable weights, for processes that step together."""
    rate, decay = plan.learning_rate, plan.weight_decay
    matrices: list[nn.Parameter] = []
    embeddings: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        kind = matrices
        if parameter.ndim < 2:
            kind = vectors
        # The two matrices of an adapter make one change together, so that orthogonal updates of
        # each are not orthogonal updates of the change. AdamW takes them.
        elif any(part in name for part in ("embed", "lm_head", "score", ".adapter.")):
            kind = embeddings
        if parameter.requires_grad:
            kind.append(parameter)
    optimizers: list[torch.optim.Optimizer] = []
    adamw = partial(torch.optim.AdamW, lr=rate, betas=(0.9, 0.95), fused=True)
    if plan.kind == "muon":
        if matrices:
            group = {"params": matrices, "l1": plan.l1}
            muon = partial(Muon, dtype=plan.dtype, compiled=plan.compiled, processes=processes)
            optimizers.append(muon([group], plan.matrix_learning_rate, decay))
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
    """Apply L1 regularisation after an optimizer's step: each weight w becomes sign(w) · max(|w| −
    rate · l1, 0).

    This proximal step (Duchi & Singer 2009, "Efficient online and batch learning using forward
    backward splitting") makes weights exactly zero, which the gradient of an L1 penalty does not.
    It is separate from the gradient, like decoupled weight decay (Loshchilov & Hutter 2019,
    arXiv:1711.05101), because the optimizers rescale gradients.
    """
    for group in optimizer.param_groups:
        if group.get("l1"):
            for parameter in group["params"]:
                if parameter.grad is None:  # another process updates it
                    continue
                part = part_of(parameter)
                part.copy_(F.softshrink(part, group["lr"] * group["l1"]))


def gradient_norm(parameters: Iterable[Tensor]) -> Tensor:
    """The norm of all gradients together; of sharded ones, that of this process's parts."""
    return torch.nn.utils.get_total_norm(_gradients(parameters), foreach=True)


def clipping_scale(norm: float, most: float) -> float:
    """The factor that brings gradients, which have this norm together, to a norm of at most
    `most`."""
    return float((most / (torch.tensor(norm) + 1e-6)).clamp(max=1.0))


def scale_gradients(parameters: Iterable[Tensor], factor: float) -> None:
    """Multiply all gradients by a factor."""
    gradients = _gradients(parameters)
    if factor != 1 and gradients:  # one of several processes may have none
        torch._foreach_mul_(gradients, factor)


def _gradients(parameters: Iterable[Tensor]) -> list[Tensor]:
    return [part_of(each.grad) for each in parameters if each.grad is not None]


class Muon(torch.optim.Optimizer):
    """Updates matrices by orthogonalised Nesterov momentum with decoupled weight decay (Jordan et
    al. 2024, https://kellerjordan.github.io/posts/muon).

    Matrices of one shape are computed together, and each of several processes computes its share
    of them. With `dtype` bfloat16 it gives the same bits as `torch.optim.Muon`. That one always
    iterates in bfloat16, which is several times slower than float32 on a processor without bf16
    units.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        weight_decay: float = 0.1,
        dtype: torch.dtype = torch.bfloat16,
        compiled: bool = False,
        processes: Processes = ALONE,
    ) -> None:
        """`dtype` is the precision of the iteration; weights and momentum keep theirs. If
        `compiled`, the iteration is compiled on a GPU. All `processes` have the same gradients, or
        their parts of them, and call `step` together."""
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": MOMENTUM})
        self.dtype, self.compiled, self.processes = dtype, compiled, processes

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: defaultdict[torch.Size, list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    by_shape[weight.shape].append(weight)
            shapes = [*by_shape.values()]
            sharded = any(map(is_sharded, chain(*shapes)))
            find = self._of_parts if sharded else self._of_all
            for weights, updates in zip(shapes, find(shapes, group["momentum"]), strict=True):
                rows, columns = weights[0].shape
                rate = group["lr"] * math.sqrt(max(1, rows / columns))
                for weight, update in zip(map(part_of, weights), updates, strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(update, alpha=-rate)

    def _buffer(self, weight: Tensor, momentum: float) -> Tensor:
        """The momentum with this step's gradient; of a sharded weight this process's part."""
        assert weight.grad is not None
        state = self.state[weight]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weight.grad)
        return part_of(state["momentum_buffer"]).lerp_(part_of(weight.grad), 1 - momentum)

    def _moved(self, weight: Tensor, momentum: float) -> Tensor:
        """The gradient with Nesterov momentum; of a sharded weight this process's part."""
        buffer = self._buffer(weight, momentum)
        assert weight.grad is not None
        return part_of(weight.grad).lerp(buffer, momentum)

    def _of_all(self, shapes: Sequence[Sequence[Tensor]], momentum: float) -> Iterator[Tensor]:
        """The orthogonal matrices of the weights of each shape, (n, rows, columns), where every
        process has all of them. Each keeps the momentum of all, for checkpoints."""
        if self.processes.count == 1 or not shapes:
            yield from (self._computed(weights, momentum) for weights in shapes)
            return
        shares = divided(shapes, self.processes.count)
        mine = {*shares[self.processes.rank]}
        for weight in chain(*shapes):
            if weight not in mine:
                self._buffer(weight, momentum)
        owned = [[each for each in weights if each in mine] for weights in shapes]
        found = [self._computed(weights, momentum).flatten() for weights in owned if weights]
        none = shapes[0][0].new_empty(0, dtype=self.dtype)
        lengths = [sum(each.numel() for each in share) for share in shares]
        whole = self.processes.assembled(torch.cat([none, *found]), lengths)
        sizes = [sum(each.numel() for each in weights) for weights in shapes]
        for weights, updates in zip(shapes, whole.split(sizes), strict=True):
            yield updates.view(len(weights), *weights[0].shape)

    def _computed(self, weights: Sequence[Tensor], momentum: float) -> Tensor:
        """The orthogonal matrices of weights of one shape, (n, rows, columns)."""
        updates = weights[0].new_empty(len(weights), *weights[0].shape, dtype=self.dtype)
        self._orthogonal([self._moved(each, momentum) for each in weights], updates)
        return updates

    def _of_parts(self, shapes: Sequence[Sequence[Tensor]], momentum: float) -> Iterator[Tensor]:
        """This process's rows of the orthogonal matrices of each shape, (n, its rows, columns),
        where every process has some rows of each. They are exchanged in the dtype of the
        iteration."""
        for weights in shapes:
            parts = [self._moved(each, momentum).to(self.dtype) for each in weights]
            exchange = Exchange(self.processes, len(parts), *weights[0].shape)
            mine = exchange.to_owners(torch.stack(parts))
            self._orthogonal(list(mine), mine)
            yield exchange.to_parts(mine)

    def _orthogonal(self, matrices: Sequence[Tensor], into: Tensor) -> None:
        """Write the orthogonal matrices into (n, rows, columns), a few at a time."""
        at_once = max(1, AT_ONCE // into[0].numel()) if matrices else 1
        iterate = compiled_orthogonal() if self.compiled and into.is_cuda else orthogonal
        for start in range(0, len(matrices), at_once):
            some = matrices[start : start + at_once]
            into[start : start + at_once] = iterate(torch.stack(tuple(some)), self.dtype)


def state_names(optimizer: torch.optim.Optimizer) -> Sequence[str]:
    """The names of the tensors that an optimizer keeps for each weight: numbers like those of the
    weight, or the number of its steps."""
    adamw = isinstance(optimizer, torch.optim.AdamW)
    return ("step", "exp_avg", "exp_avg_sq") if adamw else ("momentum_buffer",)


def owners(optimizers: Sequence[torch.optim.Optimizer], count: int) -> dict[Tensor, int]:
    """Which of so many processes updates each weight, so that all take about as long."""
    work = {
        weight: weight.numel() * (OTHER_WORK + (min(weight.shape) if isinstance(each, Muon) else 0))
        for each in optimizers
        for weight in weights_of(each)
    }
    found: dict[Tensor, int] = {}
    busy = [0] * count
    for weight in sorted(work, key=lambda each: -work[each]):
        found[weight] = busy.index(min(busy))
        busy[found[weight]] += work[weight]
    return found


def divided(shapes: Sequence[Sequence[Tensor]], count: int) -> list[list[Tensor]]:
    """The matrices that each of so many processes computes: those that follow each other, whose
    iterations take about as long."""
    matrices = [*chain(*shapes)]
    ends = [*accumulate(each.numel() * min(each.shape) for each in matrices)]
    shares: list[list[Tensor]] = [[] for _ in range(count)]
    for end, before, matrix in zip(ends, [0, *ends], matrices, strict=False):
        shares[(end + before) * count // (2 * ends[-1])].append(matrix)
    return shares


def orthogonal(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrices (n, rows, columns) with all singular values brought near 1 (about 0.7 to 1.2),
    by Newton-Schulz iteration."""
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.to(dtype)
    if dtype == torch.float32 and min(x.shape[1:]) <= SMALL and native.takes(x):
        return native.orthogonal_(x.clone(), COEFFICIENTS, ITERATIONS)
    if tall:  # the smaller of the two Gram matrices is enough
        x = x.mT
    x = x / x.flatten(1).norm(dim=1)[:, None, None].clamp(min=1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


@cache
def compiled_orthogonal() -> Callable[[Tensor, torch.dtype], Tensor]:
    """`orthogonal`, compiled for each shape of its matrices."""
    return torch.compile(orthogonal, dynamic=False)
