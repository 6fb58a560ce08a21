"""The loss without the logits of the whole batch is the loss, and so are its gradients."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from tests.model.test_gpt import SHAPES, V, gradients_of, relative_error
from torch import Tensor, nn

from random_models import random_model
from xinye.data.batches import IGNORED
from xinye.model import loss
from xinye.model.loss import cross_entropy_of_states


@pytest.fixture(autouse=True)
def seven_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(loss, "logits_at_once", lambda device: 7 * V)


def tokens_and_targets() -> tuple[Tensor, Tensor]:
    tokens = torch.randint(V, (3, 11))
    targets = tokens.roll(-1, dims=1)
    targets[0, 2:], targets[2] = IGNORED, IGNORED  # whole chunks, and parts of one
    return tokens, targets


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("architecture", SHAPES)
def test_a_model_s_loss_in_chunks_is_its_loss(
    architecture: str, smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, (tokens, targets) = random_model(SHAPES[architecture]), tokens_and_targets()
    in_chunks = model.loss(tokens, targets, label_smoothing=smoothing)
    gradients = gradients_of(model, in_chunks / 12)
    with torch.no_grad():
        alone = model.loss(tokens, targets, label_smoothing=smoothing)
        assert relative_error(alone, in_chunks) <= 1e-6
    monkeypatch.setattr(loss, "pays", lambda *head: False)
    whole = model.loss(tokens, targets, label_smoothing=smoothing)
    assert relative_error(in_chunks, whole) <= 1e-6
    largest = max(float(each.abs().max()) for each in gradients)
    for one, other in zip(gradients, gradients_of(model, whole / 12), strict=True):
        assert (one - other).abs().max() <= 1e-4 * max(float(other.abs().max()), 1e-3 * largest)


def test_in_bf16_the_sum_is_exact_and_gradients_of_the_head_add_up_in_fp32() -> None:
    states = torch.randn(3000, 24, dtype=torch.bfloat16, requires_grad=True)
    weight, targets = nn.Parameter(torch.randn(V, 24)), torch.randint(V, (3000,))
    in_chunks = cross_entropy_of_states(states, weight, targets)
    logits = F.linear(states, weight.to(states.dtype)).float()
    assert relative_error(in_chunks, F.cross_entropy(logits, targets, reduction="sum")) <= 1e-6
    _, of_weight = torch.autograd.grad(in_chunks, (states, weight))
    exact = F.cross_entropy(F.linear(states.float(), weight), targets, reduction="sum")
    assert of_weight.dtype == torch.float32
    assert relative_error(of_weight, torch.autograd.grad(exact, weight)[0]) <= 1e-2


def test_a_frozen_head_gets_no_gradient_and_another_head_is_computed_whole() -> None:
    model, (tokens, targets) = random_model(SHAPES["modern"]), tokens_and_targets()
    whole = random_model(replace(SHAPES["modern"], tie_word_embeddings=False))
    whole.lm_head = nn.Sequential(whole.lm_head)  # type: ignore[assignment]
    assert relative_error(whole.loss(tokens, targets), in_parts(whole, tokens, targets)) <= 1e-5
    model.requires_grad_(False)
    model.model.norm.requires_grad_(True)
    model.loss(tokens, targets).backward()
    assert [name for name, each in model.named_parameters() if each.grad is not None] == [
        "model.norm.weight"
    ]


def in_parts(model: nn.Module, tokens: Tensor, targets: Tensor) -> Tensor:
    logits = model(tokens).flatten(0, 1)
    return F.cross_entropy(logits, targets.flatten(), reduction="sum")
