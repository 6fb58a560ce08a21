"""Chains of labels, against the sum over all sequences, one by one."""

from itertools import product

import pytest
import torch

from xinye.model.config import GPTConfig
from xinye.model.crf import FORBIDDEN, likeliest, log_likelihood, log_partition, marginals
from xinye.model.heads import Head, HeadConfig, Labelled
from xinye.model.loss import IGNORED

REAL = torch.tensor(
    [[0, 1, 1, 0, 1], [1, 1, 1, 1, 1], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0], [1, 0, 0, 1, 0]]
).bool()
LABELS = 3


def problem() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(*REAL.shape, LABELS, generator=generator) * 2
    transitions = torch.randn(LABELS + 2, LABELS, generator=generator) * 2
    transitions[0, 2] = transitions[LABELS, 1] = FORBIDDEN
    return scores, transitions


def score(scores: torch.Tensor, transitions: torch.Tensor, labels: tuple[int, ...]) -> float:
    """The score of a sequence of labels of the rows (T, L), one addition at a time."""
    total, before = 0.0, LABELS
    for row, label in zip(scores, labels, strict=True):
        total += float(row[label] + transitions[before, label])
        before = label
    return total + float(transitions[LABELS + 1, before]) if labels else 0.0


def test_against_all_sequences():
    scores, transitions = problem()
    found = log_partition(scores, REAL, transitions)
    paths = likeliest(scores, REAL, transitions)
    sure = marginals(scores, REAL, transitions)
    for row in range(len(REAL)):
        places = REAL[row].nonzero().flatten().tolist()
        ways = list(product(range(LABELS), repeat=len(places)))
        each = torch.tensor([score(scores[row, places], transitions, way) for way in ways])
        assert found[row].item() == pytest.approx(each.logsumexp(0).item(), abs=1e-4)
        assert tuple(paths[row, places].tolist()) == ways[int(each.argmax())]
        labels = torch.full((5,), IGNORED)
        for way, logarithm in zip(ways, each.log_softmax(0).tolist(), strict=True):
            labels[places] = torch.tensor(way, dtype=torch.long)
            arguments = (scores[[row]], REAL[[row]], transitions, labels[None])
            expected = pytest.approx(logarithm, rel=1e-4, abs=1e-4)
            assert log_likelihood(*arguments).item() == expected
        for at, place in enumerate(places):
            weight = torch.zeros(LABELS)
            for way, share in zip(ways, each.softmax(0), strict=True):
                weight[way[at]] += share
            assert torch.allclose(sure[row, place], weight, atol=1e-5)
        assert not sure[row][~REAL[row]].any()


def test_gradients_by_finite_differences():
    scores, transitions = problem()
    transitions = transitions.clamp(min=-3)  # a forbidden step has no gradient
    labels = torch.randint(0, LABELS, REAL.shape, generator=torch.Generator().manual_seed(1))
    weights = torch.arange(1.0, 6.0)

    def total(scores: torch.Tensor, transitions: torch.Tensor) -> torch.Tensor:
        return (weights * log_likelihood(scores, REAL, transitions, labels)).sum()

    found = torch.autograd.functional.jacobian(total, (scores, transitions))
    for number, (values, gradient) in enumerate(zip((scores, transitions), found, strict=True)):
        for place in range(values.numel()):
            ends = []
            for change in (0.05, -0.05):
                changed = [scores.clone(), transitions.clone()]
                changed[number].view(-1)[place] += change
                ends.append(float(total(*changed)))
            expected = pytest.approx((ends[0] - ends[1]) / 0.1, abs=0.02)
            assert float(gradient.view(-1)[place]) == expected


def test_scores_of_places_that_are_passed_over_may_be_of_any_size():
    scores, transitions = problem()
    huge = scores.masked_fill(~REAL[..., None], 300.0)
    gradients = []
    for each in (scores, huge):
        steps = transitions.clone().requires_grad_()
        log_partition(each, REAL, steps).sum().backward()
        gradients.append(steps.grad)
    assert torch.equal(*gradients)


def tagger(dtype: torch.dtype = torch.float32) -> Head:
    torch.manual_seed(0)
    shape = GPTConfig("modern", 50, 32, 2, 2, 2, 16, 48, 300, is_causal=False)
    model = Head(HeadConfig(shape, "token", ("O", "B-a", "I-a"), transitions=True))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    torch.nn.init.constant_(model.score.transitions[0, 2], FORBIDDEN)
    model.compute_dtype = dtype
    return model


def labelled() -> Labelled:
    torch.manual_seed(1)
    lengths = torch.tensor([9, 4, 6, 1])
    targets = torch.randint(0, 2, (4, 9))
    targets[:, 0] = IGNORED
    targets[torch.arange(9) >= lengths[:, None]] = IGNORED
    targets[0, 3:5] = torch.tensor([1, 2])
    targets[2, 2] = IGNORED
    return Labelled(torch.randint(0, 50, (4, 9)), lengths, targets)


def parts(batch: Labelled) -> list[Labelled]:
    """Each text of a batch alone, without padding."""
    return [
        Labelled(batch.tokens[[n], :end], batch.lengths[[n]], batch.targets[[n], :end])
        for n, end in enumerate(batch.lengths.tolist())
    ]


def test_the_loss_and_gradients_of_a_batch_are_those_of_its_texts_without_padding():
    model, batch = tagger(), labelled()
    model.loss(batch).backward()
    together = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    each = [model.loss(part) for part in parts(batch)]
    sum(each).backward()
    assert torch.allclose(sum(each), model.loss(batch), atol=1e-4) and each[3] == 0
    for parameter, gradient in zip(model.parameters(), together, strict=True):
        assert torch.allclose(parameter.grad, gradient, atol=1e-4)
    assert model.score.transitions.grad[0, 2] == 0, "a forbidden step is not learned"


def test_bf16_is_close():
    exact, rounded = (tagger(dtype).loss(labelled()) for dtype in (torch.float32, torch.bfloat16))
    assert rounded.dtype == torch.float32
    assert rounded.item() == pytest.approx(exact.item(), rel=0.02)
