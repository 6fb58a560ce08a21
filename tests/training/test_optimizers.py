"""Each weight goes to the optimizer that suits it, and only matrices decay."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.distributed import Processes
from xinye.training.optimizers import (
    OTHER_WORK,
    Kind,
    Muon,
    Optimization,
    clipping_scale,
    divided,
    gradient_norm,
    make_optimizers,
    orthogonal,
    owners,
    scale_gradients,
)

MODELS = {
    "modern": GPTConfig("modern", 30, 16, 2, 2, 1, 8, 32, 16, attention_bias=True),
    "llama, untied": GPTConfig("llama", 30, 16, 2, 2, 1, 8, 32, 16, False),
    "gpt2": GPTConfig("gpt2", 30, 16, 2, 2, 2, 8, 32, 16),
}


def names_in(model: nn.Module, optimizer: torch.optim.Optimizer) -> set[str]:
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    return {name for name, parameter in model.named_parameters() if id(parameter) in held}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_every_weight_has_one_optimizer(name: str, kind: str) -> None:
    model = GPT(MODELS[name])
    optimizers = make_optimizers(model, Optimization(kind, 1e-3, 1e-2, 0.1))  # type: ignore[arg-type]
    held = [
        parameter
        for optimizer in optimizers
        for group in optimizer.param_groups
        for parameter in group["params"]
    ]
    assert len(held) == len({id(parameter) for parameter in held}) == len(list(model.parameters()))


@pytest.mark.parametrize("name", MODELS)
def test_muon_moves_the_matrices_of_the_layers_and_nothing_else(name: str) -> None:
    model = GPT(MODELS[name])
    muon, adamw = make_optimizers(model, Optimization("muon", 1e-3, 1e-2, 0.1))
    matrices = {
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and name.startswith("model.layers.") and name.endswith("proj.weight")
    }
    assert isinstance(muon, Muon)
    assert names_in(model, muon) == matrices
    assert names_in(model, adamw) == {name for name, _ in model.named_parameters()} - matrices


@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_only_matrices_decay(kind: str) -> None:
    """With gradients of zero, decay is all that moves a weight."""
    model = GPT(MODELS["modern"])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
            parameter.grad = torch.zeros_like(parameter)
    for optimizer in make_optimizers(model, Optimization(kind, 0.1, 0.1, 0.5)):  # type: ignore[arg-type]
        optimizer.step()
    for name, parameter in model.named_parameters():
        embedding = "embed" in name
        if parameter.ndim < 2 or (embedding and kind == "muon"):
            assert (parameter == 1).all(), name
        else:
            assert (parameter < 1).all(), name


@pytest.mark.parametrize("kind", ["muon", "adamw", "sgd"])
def test_frozen_weights_are_left_out(kind: str) -> None:
    model = GPT(MODELS["gpt2"])
    model.model.layers[0].requires_grad_(False)
    optimizers = make_optimizers(model, Optimization(kind, 1e-3, 1e-2, 0.1))  # type: ignore[arg-type]
    held = set().union(*(names_in(model, optimizer) for optimizer in optimizers))
    assert held == {name for name, _ in model.named_parameters() if "layers.0." not in name}


@pytest.mark.parametrize("trainable", ["layers.1.mlp.up_proj.weight", "norm.weight"])
def test_muon_does_where_only_matrices_or_none_are_trained(trainable: str) -> None:
    model = GPT(MODELS["modern"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name == f"model.{trainable}")
    [optimizer] = make_optimizers(model, Optimization("muon", 1e-3, 1e-2, 0.1))
    assert names_in(model, optimizer) == {f"model.{trainable}"}


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (3, 1)])
def test_muon_in_bf16_is_that_of_pytorch(shape: tuple[int, int]) -> None:
    start = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    reference = torch.optim.Muon(
        [theirs], lr=0.02, weight_decay=0.1, momentum=0.95, adjust_lr_fn="original"
    )
    for optimizer, weight in ((Muon([ours], 0.02, 0.1), ours), (reference, theirs)):
        noise = torch.Generator().manual_seed(1)
        for _ in range(5):
            weight.grad = torch.randn(shape, generator=noise)
            optimizer.step()
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("count, at_once", [(1, 10**9), (1, 70), (2, 70), (4, 10**9), (9, 70)])
def test_muon_moves_with_several_processes_as_it_does_alone(
    count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each matrix is computed in one of them. There are five, so of nine processes four have none;
    all keep the whole momentum."""
    monkeypatch.setattr("xinye.training.optimizers.AT_ONCE", at_once)
    together = threading.Barrier(count, timeout=10)
    given: list[torch.Tensor] = [torch.empty(0)] * count

    class Parts(Processes):
        def assembled(self, mine: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
            assert len(mine) == lengths[self.rank]
            given[self.rank] = mine
            together.wait()
            return torch.cat(given)

    def moved(processes: Processes) -> list[torch.Tensor]:
        noise = torch.Generator().manual_seed(0)
        shapes = [(8, 4), (4, 8), (8, 4), (6, 6), (8, 4)]
        matrices = [nn.Parameter(torch.randn(shape, generator=noise)) for shape in shapes]
        optimizer = Muon(matrices, 0.02, processes=processes, dtype=torch.float32)
        for _ in range(2):
            for matrix in matrices:
                matrix.grad = torch.randn(matrix.shape, generator=noise)
            optimizer.step()
            together.wait()
        return matrices + [optimizer.state[each]["momentum_buffer"] for each in matrices]

    with ThreadPoolExecutor(count) as threads:
        found = list(threads.map(lambda rank: moved(Parts(rank, count)), range(count)))
    together = threading.Barrier(1)
    alone = moved(Processes())
    for each in found:
        torch.testing.assert_close(each, alone)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_processes_share_out_the_work_of_muon(count: int) -> None:
    """Each has as much to do as the others, but for one matrix, and each matrix has one owner."""
    shapes = [[torch.empty(8, 8) for _ in range(20)], [torch.empty(8, 24) for _ in range(15)]]
    shares = divided(shapes, count)
    assert [id(each) for share in shares for each in share] == [
        id(each) for weights in shapes for each in weights
    ]
    work = [sum(each.numel() * 8 for each in share) for share in shares]
    assert max(work) - min(work) <= 2 * 8 * 24 * 8


@pytest.mark.parametrize("kind, count", [("adamw", 2), ("muon", 2), ("muon", 3), ("sgd", 40)])
def test_each_weight_has_one_owner_and_all_owners_as_much_to_do(kind: Kind, count: int) -> None:
    model = GPT(GPTConfig("modern", 40, 32, 5, 2, 1, 16, 48, 8))
    optimizers = make_optimizers(model, Optimization(kind, 1e-3, 1e-2, 0.1))
    found = owners(optimizers, count)
    assert {*found} == {*model.parameters()}
    work = [0] * count
    largest = 0
    for name, weight in model.named_parameters():
        rows = min(weight.shape) if kind == "muon" and "proj" in name else 0
        work[found[weight]] += weight.numel() * (OTHER_WORK + rows)
        largest = max(largest, weight.numel() * (OTHER_WORK + rows))
    assert max(work) - min(work) <= largest / (8 if count < 4 else 1)


def test_muon_in_fp32_makes_a_matrix_orthogonal_but_for_its_scale() -> None:
    """The quintic brings singular values to about 1, and lets them be from 0.68 to 1.13 (Jordan et
    al. 2024)."""
    matrices = torch.randn(2, 64, 24, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices, torch.float32))
    assert values.min() > 0.6 and values.max() < 1.3


def test_clipping_tells_the_norm_and_keeps_small_gradients() -> None:
    weights = [
        nn.Parameter(torch.zeros(2)),
        nn.Parameter(torch.zeros(1)),
        nn.Parameter(torch.zeros(3)),
    ]
    # the third has none
    weights[0].grad, weights[1].grad = (
        torch.tensor([3.0, 0.0]),
        torch.tensor([4.0]),
    )
    assert gradient_norm(weights) == 5.0
    scale_gradients(weights, clipping_scale(5.0, 10.0))
    assert weights[0].grad.tolist() == [3.0, 0.0]
    scale_gradients(weights, clipping_scale(5.0, 1.0))
    assert weights[0].grad.tolist() == pytest.approx([0.6, 0.0])
