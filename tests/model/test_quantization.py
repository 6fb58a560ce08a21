"""GGUF's block formats, judged by the `gguf` package bit for bit; layers that compute with them."""

import gguf
import numpy as np
import pytest
import torch

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.quantization import (
    BLOCKS,
    QuantizedEmbedding,
    QuantizedLinear,
    computable,
    dequantize,
    finite,
    interleave,
    quantize,
    swap_in,
    unpack,
)

KINDS = ("q8_0", "q4_0", "q4_1", "q5_0", "q4_K", "q6_K")


def random_blocks(kind: str, rows: int = 12) -> torch.Tensor:
    """Any bytes, but finite and ordinary scales."""
    generator = np.random.default_rng(0)
    values, size = BLOCKS[kind]
    blocks = generator.integers(0, 256, (rows, 512 // values, size), dtype=np.uint8)
    scales = (
        generator.uniform(-0.01, 0.01, (rows, 512 // values, 2)).astype(np.float16).view(np.uint8)
    )
    where = (
        slice(208, 210)
        if kind == "q6_K"
        else slice(0, 4)
        if kind in ("q4_1", "q4_K")
        else slice(0, 2)
    )
    blocks[..., where] = scales[..., : where.stop - where.start]
    return torch.from_numpy(blocks.reshape(rows, -1))


def theirs(blocks: torch.Tensor, kind: str) -> torch.Tensor:
    return torch.from_numpy(
        gguf.quants.dequantize(blocks.numpy(), gguf.GGMLQuantizationType[kind.upper()])
    )


@pytest.mark.parametrize("kind", KINDS)
def test_unpacked_values_are_those_of_the_gguf_package_bit_for_bit(kind):
    blocks = random_blocks(kind)
    assert torch.equal(dequantize(blocks, kind), theirs(blocks, kind))


@pytest.mark.parametrize("kind", ["f32", "f16", "bf16", "q8_0", "q4_0"])
def test_packed_blocks_are_those_of_the_gguf_package_bit_for_bit(kind):
    torch.manual_seed(0)
    x = torch.randn(40, 128) * torch.tensor([1e-3, 1.0, 0.0, 30.0]).repeat(10)[:, None]
    expected = gguf.quants.quantize(x.numpy(), gguf.GGMLQuantizationType[kind.upper()])
    assert quantize(x, kind).numpy().tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "kind, to, tolerance",
    [("q5_0", "q8_0", 0), ("q4_K", "q4_1", 2**-10), ("q6_K", "q8_0", 1 / 220)],
)
def test_other_kinds_become_one_that_layers_compute_with(kind, to, tolerance):
    blocks = random_blocks(kind)
    again, became = computable(blocks, kind)
    assert became == to
    expected = theirs(blocks, kind).unflatten(1, (-1, 32))
    error = (dequantize(again, to).unflatten(1, (-1, 32)) - expected).abs()
    assert bool((error <= tolerance * expected.abs().amax(-1, keepdim=True)).all())


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1"])
def test_a_scale_that_is_no_number_is_found(kind):
    blocks = random_blocks(kind)
    assert finite(blocks, kind)
    blocks[3, 1] = 0x7C  # the high byte of an infinite 16-bit float
    blocks[3, 0] = 0
    assert not finite(blocks, kind)


def test_layers_compute_as_with_the_unpacked_matrix(monkeypatch):
    monkeypatch.setattr("xinye.model.quantization.VALUES", 1024)  # two rows at a time
    blocks, bias = random_blocks("q4_1"), torch.nn.Parameter(torch.randn(12))
    weight, x = theirs(blocks, "q4_1"), torch.randn(2, 3, 512)
    own = interleave(blocks, "q4_1"), "q4_1", len(blocks)
    layer, expected = QuantizedLinear(*own, bias), x @ weight.T + bias
    # where a gradient is needed, PyTorch computes
    assert torch.allclose(layer(x.clone().requires_grad_()), expected, atol=1e-5)
    compiled = layer(x)  # of inputs that are rounded to 8 bits
    assert float((compiled - expected).detach().norm()) < 0.01 * float(expected.detach().norm())
    tokens = torch.tensor([[3, 0], [11, 3]])
    assert torch.equal(QuantizedEmbedding(*own)(tokens), weight[tokens])


def test_a_quantized_model_computes_what_its_unpacked_twin_does_and_that_can_be_trained():
    torch.manual_seed(0)
    model = GPT(GPTConfig("llama", 50, 32, 1, 2, 2, 16, 64, 16))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.3)
    names = [
        "model.embed_tokens",
        "lm_head",
        "model.layers.0.self_attn.q_proj",
        "model.layers.0.mlp.down_proj",
    ]
    swap_in(
        model,
        {name: (quantize(model.get_submodule(name).weight, "q8_0"), "q8_0") for name in names},
    )
    tokens = torch.randint(0, 50, (2, 9))
    quantized = model(tokens)
    assert model.device == torch.device("cpu")
    unpack(model)
    assert torch.allclose(model(tokens), quantized, atol=1e-5)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    model.loss(tokens[:, :-1], tokens[:, 1:]).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
