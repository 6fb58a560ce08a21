"""Input × gradient of a head: the parts of the tokens add up, and nothing that the model computes
changes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from xinye.model.adapter_settings import AdapterSettings
from xinye.model.adapters import attach
from xinye.model.attribution import input_times_gradient
from xinye.model.config import GPTConfig
from xinye.model.heads import Head, HeadConfig
from xinye.model.quantization import quantize, swap_in

SHAPE = GPTConfig("modern", 50, 32, 2, 2, 2, 16, 96, 64)
TOKENS = [3, 1, 4, 1, 5, 9, 2, 6]


def head(backbone: GPTConfig, kind: str = "sequence") -> Head:
    torch.manual_seed(0)
    model = Head(HeadConfig(backbone, kind, ("a", "b", "c")))  # type: ignore[arg-type]
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.1, 0.3)
    return model


def margin(logits: torch.Tensor) -> torch.Tensor:
    return logits[0] - logits[1]


@pytest.mark.parametrize("architecture", ["modern", "llama"])
@pytest.mark.parametrize("is_causal", [True, False], ids=["causal", "both"])
@pytest.mark.parametrize("changed", ["", "lora", "q8_0"])
def test_without_biases_the_parts_add_up(architecture, is_causal, changed):
    model = head(replace(SHAPE, architecture=architecture, is_causal=is_causal))
    if changed == "lora":
        attach(model, AdapterSettings(r=2))
        for name, parameter in model.named_parameters():
            if "lora" in name:
                nn.init.normal_(parameter, 0, 0.3)
    if changed == "q8_0":
        names = [
            "model.embed_tokens",
            *(f"model.layers.0.mlp.{each}_proj" for each in ("gate", "up")),
        ]
        weights = {name: model.gpt.get_submodule(name).weight.detach() for name in names}
        swap_in(
            model.gpt, {name: (quantize(each, "q8_0"), "q8_0") for name, each in weights.items()}
        )
    parts, value = input_times_gradient(model, TOKENS, margin)
    plain = margin(model(torch.tensor([TOKENS]), torch.tensor([len(TOKENS)]))[0])
    assert value == pytest.approx(float(plain.detach()), abs=1e-6)
    assert float(parts.sum()) == pytest.approx(value, abs=1e-4) and parts.abs().min() > 1e-4


def test_a_network_with_biases_keeps_a_rest():
    model = head(replace(SHAPE, architecture="gpt2", attention_bias=True, mlp_bias=True))
    parts, value = input_times_gradient(model, TOKENS, margin)
    plain = margin(model(torch.tensor([TOKENS]), torch.tensor([len(TOKENS)]))[0])
    assert value == pytest.approx(float(plain.detach()), abs=1e-6)
    assert parts.abs().min() > 1e-4 and not torch.isclose(parts.sum(), torch.tensor(value))


def test_with_constant_norms_it_is_captums(monkeypatch):
    captum = pytest.importorskip("captum.attr", reason="captum is not installed")
    from xinye.model import attribution

    model = head(SHAPE)
    parts, _ = input_times_gradient(model, TOKENS, margin)
    embeddings = model.gpt.model.embed_tokens(torch.tensor([TOKENS])).detach()

    def forward(embedded: torch.Tensor) -> torch.Tensor:
        with model.gpt.model.embed_tokens.register_forward_hook(lambda *_: embedded):
            return margin(model(torch.tensor([TOKENS]), torch.tensor([len(TOKENS)]))[0])[None]

    with attribution._linear(model):
        theirs = captum.InputXGradient(forward).attribute(embeddings.requires_grad_())
    assert torch.allclose(theirs.sum(-1)[0], parts, atol=1e-6)


def test_plain_gradients_do_not_see_behind_a_norm(monkeypatch):
    """Why norms count as constants: in a single layer, all parts but the last token's are zero."""
    from xinye.model import attribution

    model = head(replace(SHAPE, num_hidden_layers=1))
    told, _ = input_times_gradient(model, TOKENS, margin)
    monkeypatch.setattr(attribution, "_with_constant_length", lambda layer, inputs, output: None)
    plain, _ = input_times_gradient(model, TOKENS, margin)
    assert plain[:-1].abs().max() < 1e-3 * told[:-1].abs().max()
