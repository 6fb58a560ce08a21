"""The loss of a student against the plain formula."""

import math

import pytest
import torch

from xinye.data.batches import IGNORED, Batch
from xinye.model.build import build
from xinye.model.config import GPTConfig, LSTMConfig
from xinye.training.distillation import distillation_loss, divergence

CPU = torch.device("cpu")


def gpt(seed: int, width: int = 32, vocab_size: int = 40) -> torch.nn.Module:
    model = build(GPTConfig("modern", vocab_size, width, 2, 2, 2, width // 2, 64, 16))
    model.initialize(seed)
    for parameter in model.parameters():  # the output projections begin at zero
        torch.nn.init.normal_(parameter, std=0.2)
    return model


def a_batch(documents: bool) -> Batch:
    """Two windows of twelve tokens; the first four targets are not counted."""
    generator = torch.Generator().manual_seed(0)
    tokens, targets = (torch.randint(40, (2, 12), generator=generator) for _ in range(2))
    targets[0, :4] = IGNORED
    if not documents:
        return Batch(tokens, targets, None, None)
    positions = torch.arange(12).expand(2, 12) % 6
    return Batch(tokens, targets, positions, torch.arange(12).expand(2, 12) // 6)


def test_divergence_is_that_of_the_formula():
    student, teacher = torch.randn(3, 5), torch.randn(3, 5)
    expected = []
    for ours, theirs in zip((student / 2.5).tolist(), (teacher / 2.5).tolist(), strict=True):
        total_ours, total_theirs = (sum(math.exp(logit) for logit in row) for row in (ours, theirs))
        pairs = [
            (math.exp(a) / total_ours, math.exp(b) / total_theirs)
            for a, b in zip(ours, theirs, strict=True)
        ]
        expected.append(2.5**2 * sum(p * math.log(p / q) for q, p in pairs))
    assert divergence(student, teacher, 2.5).tolist() == pytest.approx(expected, rel=1e-5)
    assert divergence(teacher, teacher, 2.5).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_columns_that_stand_for_no_token_are_left_out():
    student, teacher = torch.randn(3, 5), torch.randn(3, 8)
    assert torch.equal(divergence(student, teacher, 2.0), divergence(student, teacher[:, :5], 2.0))


@pytest.mark.parametrize("documents", [False, True])
def test_only_text_is_plain_pretraining(documents):
    student, batch = gpt(0), a_batch(documents)
    mixed = distillation_loss(student, gpt(1, 64), 2.0, 0.0)(batch)
    plain = student.loss(batch.tokens, batch.targets, batch.positions, batch.documents)
    assert mixed.item() == pytest.approx(plain.item(), rel=1e-6)


def test_teacher_and_text_share_the_loss_by_alpha():
    student, teacher, batch = gpt(0), gpt(1, 64), a_batch(True)
    losses = [distillation_loss(student, teacher, 2.0, alpha)(batch) for alpha in (0.0, 0.3, 1.0)]
    assert losses[1].item() == pytest.approx(
        0.7 * losses[0].item() + 0.3 * losses[2].item(), rel=1e-5
    )


def test_only_the_student_gets_a_gradient():
    student, teacher = build(LSTMConfig(40, 16, 1, 16)), gpt(1)
    student.initialize(0)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    distillation_loss(student, teacher, 2.0, 0.5)(a_batch(True)).backward()
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert (
        all(parameter.grad is None for parameter in teacher.parameters()) and not teacher.training
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
