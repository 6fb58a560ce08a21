"""Each weight goes to the optimizer that suits it, and only matrices decay."""

import pytest
import torch
from torch import nn

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.training.distributed import Processes
from xinye.training.optimizers import (
    Muon,
    Optimization,
    clip_gradients,
    gradient_norm,
    make_optimizers,
    orthogonal,
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


@pytest.mark.parametrize("count, at_once", [(1, 10**9), (1, 70), (2, 70), (4, 10**9)])
def test_muon_computes_each_matrix_once_in_one_of_its_processes(
    count: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are three of one shape, so of four processes one has none."""
    monkeypatch.setattr("xinye.training.optimizers.AT_ONCE", at_once)
    noise = torch.Generator().manual_seed(0)
    matrices = [nn.Parameter(torch.zeros(8, 4)) for _ in range(3)]
    for matrix in matrices:
        matrix.grad = torch.randn(8, 4, generator=noise)
    computed = []
    for rank in range(count):

        class Parts(Processes):
            def assembled(self, rows: torch.Tensor, size: int) -> torch.Tensor:
                computed.extend(rows)
                return rows.new_zeros(size, *rows.shape[1:])

        Muon(matrices, 0.02, processes=Parts(rank, count), dtype=torch.float32).step()
    whole = torch.stack([matrix.grad for matrix in matrices])  # type: ignore[misc]
    expected = orthogonal(whole * (1 - 0.95**2), torch.float32)
    torch.testing.assert_close(torch.stack(computed), expected)


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
    clip_gradients(weights, 5.0, 10.0)
    assert weights[0].grad.tolist() == [3.0, 0.0]
    clip_gradients(weights, 5.0, 1.0)
    assert weights[0].grad.tolist() == pytest.approx([0.6, 0.0])
