"""The one source computes the same at each level of instruction sets, also at those that a better
processor would not choose."""

import ctypes
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from xinye import machine
from xinye.generation.decoder import Decoder
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.quantization import QuantizedLinear, dequantize, interleave
from xinye.native import build
from xinye.native.library import THIS

HAS = set(machine.instruction_sets().split())
PLAIN = "none of them"  # what processors of other kinds compile


# The best level is compiled anyway. `.ci/run` tries all.
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in (*build.LEVELS, PLAIN)]


@pytest.fixture(scope="module", params=["the best", *SLOW])
def functions(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> ctypes.CDLL:
    """The library of a level, compiled fast."""
    if request.param == "the best":
        found = THIS.get(wait=True)
        assert found is not None
        return found
    needed, compiler = build.LEVELS.get(request.param, ()), machine.cpp_compiler()
    if not set(needed) <= HAS or compiler is None:
        pytest.skip(f"this processor lacks {request.param}")
    path = tmp_path_factory.mktemp("level") / "decoder.so"
    flags = ["-march=x86-64"] if request.param == PLAIN and "avx2" in HAS else []
    build.compile_level(compiler, request.param, path, "-O0", *flags)
    return ctypes.CDLL(str(path))


@pytest.fixture(autouse=True)
def loaded(functions: ctypes.CDLL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(THIS, "functions", functions)
    monkeypatch.setattr(THIS, "words", "one level")


def extreme_blocks(kind: str, rows: int, count: int) -> Tensor:
    """Blocks with scales of 1 (and minima of -2) whose numbers are often the largest there are."""
    size = {"q8_0": 32, "q4_0": 16, "q4_1": 16}[kind]
    numbers = torch.randint(256, (rows, count, size), dtype=torch.uint8)
    far = torch.tensor([0x80, 0x7F] if kind == "q8_0" else [0xFF, 0x00], dtype=torch.uint8)
    numbers = torch.where(
        torch.rand(rows, count, 1) < 0.5, far[torch.randint(2, numbers.shape)], numbers
    )
    halves = torch.tensor([1.0, -2.0] if kind == "q4_1" else [1.0], dtype=torch.half).view(
        torch.uint8
    )
    return torch.cat((halves.expand(rows, count, -1), numbers), dim=-1).flatten(1)


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1"])
@pytest.mark.parametrize("rows", [32, 21])
def test_products_of_whole_numbers_are_exact(kind: str, rows: int) -> None:
    torch.manual_seed(rows)
    blocks = extreme_blocks(kind, rows, 3)
    layer = QuantizedLinear(interleave(blocks, kind), kind, rows)
    inputs = torch.randint(-127, 128, (37, 96)).float()
    inputs[:, ::32] = 127  # so that rounding to 8 bits changes nothing
    inputs[1:3] = 127 * (1 - 2 * (torch.arange(96) % 2))
    for count in (1, 2, 5, 37):
        assert torch.equal(layer(inputs[:count]), inputs[:count] @ dequantize(blocks, kind).T)


@pytest.mark.parametrize("dtype, most", [(torch.float32, 1e-5), (torch.bfloat16, 0.03)], ids=str)
@torch.inference_mode()
def test_logits_are_those_of_pytorch(dtype: torch.dtype, most: float) -> None:
    torch.manual_seed(0)
    shape = GPTConfig("modern", 300, 96, 2, 6, 2, 64, 160, 48, False)
    for config in (
        shape,
        replace(shape, hidden_size=21, num_attention_heads=3, head_dim=6, num_key_value_heads=1),
    ):
        model = GPT(config).eval().to(dtype)
        model.compute_dtype = dtype
        tokens, cache = torch.randint(300, (17,)).tolist(), model.new_cache(1).tensors
        ours = Decoder(model)(tokens, range(17), [[0]] * 17, cache)
        reference = model(torch.tensor([tokens]))[0].float()
        assert float((ours - reference).norm() / reference.norm()) < most
