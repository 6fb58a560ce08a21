"""Heads: what they see, what they count, and that padding changes nothing."""

import pytest
import torch

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import POINTERS, Head, HeadConfig, Labelled

CAUSAL = GPTConfig("modern", 50, 32, 2, 2, 2, 16, 48, 300)
BOTH = GPTConfig("modern", 50, 32, 2, 2, 2, 16, 48, 300, is_causal=False)


def head(backbone: GPTConfig = CAUSAL, kind: str = "sequence", several: bool = False) -> Head:
    torch.manual_seed(0)
    model = Head(HeadConfig(backbone, kind, ("a", "b", "c"), several))  # type: ignore[arg-type]
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, 0, 0.3)
    return model


@pytest.mark.parametrize("gradients", [True, False], ids=["training", "judging"])
@pytest.mark.parametrize("backbone", [CAUSAL, BOTH], ids=["causal", "both"])
def test_padding_changes_nothing(backbone, gradients):
    tokens = torch.randint(0, 50, (2, 290))
    lengths = torch.tensor([290, 170])
    with torch.set_grad_enabled(gradients):
        together = head(backbone)(tokens, lengths)
        alone = head(backbone)(tokens[1:, :170], lengths[1:])
    assert torch.allclose(together[1], alone[0], atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "sees"), [(CAUSAL, False), (BOTH, True)], ids=["causal", "both"]
)
def test_a_token_sees_what_stands_behind_it_only_in_both_directions(backbone, sees):
    tokens = torch.randint(0, 50, (1, 200))
    other = tokens.clone()
    other[0, -1] = (other[0, -1] + 1) % 50
    model, lengths = head(backbone, "token"), torch.tensor([200])
    assert (not torch.equal(model(tokens, lengths)[0, 3], model(other, lengths)[0, 3])) == sees


def test_losses_by_hand():
    model, lengths = head(several=True), torch.tensor([4, 2])
    tokens, targets = torch.randint(0, 50, (2, 4)), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    batch = Labelled(tokens, lengths, targets)
    p = model(tokens, lengths).sigmoid()
    by_hand = -(targets * p.log() + (1 - targets) * (1 - p).log()).mean(-1).sum()
    assert batch.counted == 2 and torch.allclose(model.loss(batch), by_hand, atol=1e-4)
    tagger, tags = head(kind="token"), torch.tensor([[0, 1, -100, 2], [1, -100, -100, -100]])
    batch = Labelled(tokens, lengths, tags)
    logs = tagger(tokens, lengths).log_softmax(-1)
    by_hand = -sum(
        logs[row, at, tag]
        for row, line in enumerate(tags)
        for at, tag in enumerate(line)
        if tag >= 0
    )
    assert batch.counted == 4 and torch.allclose(tagger.loss(batch), by_hand, atol=1e-4)


def test_parameters_are_counted_and_frozen():
    for kind in ("sequence", "token"):
        model = head(kind=kind)
        assert model.config.parameters == sum(parameter.numel() for parameter in model.parameters())
        model.gpt.requires_grad_(False)
        left = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        assert left == model.config.head_parameters


def test_a_head_begins_with_the_layers_of_its_base_and_no_opinion():
    base = GPT(CAUSAL)
    base.initialize(3)
    model = Head.over(base, HeadConfig(CAUSAL, "sequence", ("a", "b", "c")))
    assert torch.equal(
        model.gpt.model.layers[1].mlp.up_proj.weight, base.model.layers[1].mlp.up_proj.weight
    )
    assert not model(torch.randint(0, 50, (1, 5)), torch.tensor([5])).any()


@pytest.mark.parametrize("backbone", [CAUSAL, BOTH], ids=["causal", "both"])
def test_the_loss_of_spans_by_hand_leaves_the_padding_out(backbone):
    torch.manual_seed(0)
    model, lengths = Head(HeadConfig(backbone, "span", POINTERS)), torch.tensor([6, 3])
    torch.nn.init.normal_(model.score.weight)
    tokens, targets = torch.randint(0, 50, (2, 6)), torch.tensor([[2, 4], [0, 0]])
    batch = Labelled(tokens, lengths, targets)
    expected = 0.0
    for row, length in enumerate(lengths):
        alone = model(tokens[row : row + 1, :length], lengths[row : row + 1])[0]
        expected -= float(alone.log_softmax(0).gather(0, targets[row][None]).sum())
    assert batch.counted == 4 and abs(float(model.loss(batch)) - expected) < 1e-4
