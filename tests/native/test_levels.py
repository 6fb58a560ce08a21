"""The one source computes the same at each level of instruction sets, also at those that a better
processor would not choose."""

import ctypes
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xinye import machine
from xinye.generation.decoder import Decoder
from xinye.model import kernels, loss
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.quantization import QuantizedLinear, dequantize, interleave
from xinye.native import build, training
from xinye.native.library import THIS
from xinye.training import optimizers

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


# -- training --------------------------------------------------------------------------------------

EXACT = [(torch.float32, 2e-6), (torch.bfloat16, 0.006)]
exact = pytest.mark.parametrize("dtype, most", EXACT, ids=str)


def assert_agree(ours: Callable, theirs: Callable, inputs: list[Tensor], most: float) -> None:  # type: ignore[type-arg]
    """Assert that both functions of the inputs, and their gradients, differ relatively by at most
    this much, where theirs is computed in fp32."""
    assert training.ready(inputs[0].requires_grad_())
    inputs = [each.detach().requires_grad_() for each in inputs]
    exact_inputs = [each.detach().float().requires_grad_() for each in inputs]
    one, other = ours(*inputs), theirs(*exact_inputs)
    assert one.dtype in (inputs[0].dtype, torch.float32)
    direction = torch.randn_like(other)
    gradients = torch.autograd.grad(one, inputs, direction.to(one.dtype))
    expected = torch.autograd.grad(other, exact_inputs, direction)
    for mine, wanted in zip((one, *gradients), (other, *expected), strict=True):
        error, size = float((mine.float() - wanted).detach().norm()), float(wanted.detach().norm())
        assert error < most * max(1.0, size)


def full_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(queries, keys, values, mask, enable_gqa=True)


@exact
@pytest.mark.parametrize(
    "length, heads, groups, head_dim", [(1, 2, 2, 16), (37, 4, 2, 24), (131, 3, 1, 64)]
)
@pytest.mark.parametrize("kind", ["causal", "both directions", "documents"])
def test_attention_is_that_of_pytorch(
    dtype: torch.dtype, most: float, length: int, heads: int, groups: int, head_dim: int, kind: str
) -> None:
    torch.manual_seed(length)
    sizes = [(2, heads), (2, groups), (2, groups)]
    inputs = [torch.randn(*each, length, head_dim).to(dtype) for each in sizes]
    causal, mask = torch.ones(length, length, dtype=torch.bool).tril(), None
    if kind == "documents":
        numbers = torch.randint(1, 4, (2, length)).sort().values
        mask = ((numbers[:, :, None] == numbers[:, None]) & causal)[:, None]
    seen = causal if mask is None else mask
    assert_agree(
        lambda *heads: kernels.attention(*heads, mask, kind != "both directions"),
        lambda *heads: full_attention(
            *heads, torch.ones_like(causal) if kind == "both directions" else seen
        ),
        inputs,
        most,
    )


@exact
@pytest.mark.parametrize("columns", [16, 37, 100])
def test_what_stands_between_matrices_is_that_of_pytorch(
    dtype: torch.dtype, most: float, columns: int
) -> None:
    torch.manual_seed(columns)
    sizes = 2, 20, columns  # more rows than parts whose sums are added up
    x, y = (3 * torch.randn(sizes)).to(dtype), torch.randn(sizes).to(dtype)
    weight, bias = torch.rand(columns), torch.randn(columns)
    assert_agree(kernels.gelu, lambda x: F.gelu(x, approximate="tanh"), [x], most)
    assert_agree(
        kernels.gelu, lambda x, bias: F.gelu(x + bias, approximate="tanh"), [x, bias], most
    )
    assert_agree(kernels.swiglu, lambda x, y: F.silu(x) * y, [x, y], most)
    assert_agree(
        lambda x, weight: kernels.rms_norm(x, weight, 1e-6),
        lambda x, weight: F.rms_norm(x, (columns,), weight, 1e-6),
        [x, weight],
        most,
    )
    heads = torch.randn(2, 9, 3, 2 * columns).to(dtype)
    angles = torch.rand(1, 9, 1, columns)
    rotary = [
        torch.cat((angles.cos(), angles.cos()), dim=-1).to(dtype),
        torch.cat((-angles.sin(), angles.sin()), dim=-1).to(dtype),
    ]
    assert_agree(
        lambda x: kernels.rotate(x, (rotary[0], rotary[1])),
        lambda x: x * rotary[0] + x.roll(columns, dims=-1) * rotary[1],
        [heads],
        most,
    )


@exact
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("vocabulary", [20, 333])
def test_the_loss_is_that_of_pytorch(
    dtype: torch.dtype,
    most: float,
    smoothing: float,
    vocabulary: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(vocabulary)
    monkeypatch.setattr(loss, "logits_at_once", lambda device: 3 * vocabulary)  # several chunks
    states, head = torch.randn(10, 32).to(dtype), torch.randn(vocabulary, 32).to(dtype).float()
    targets = torch.randint(vocabulary, (10,))
    targets[4] = -100

    def expected(states: Tensor, head: Tensor) -> Tensor:
        logits = states @ head.T
        return F.cross_entropy(
            logits.to(dtype).float(), targets, reduction="sum", label_smoothing=smoothing
        )

    assert_agree(
        lambda states, head: loss.cross_entropy_of_states(states, head, targets, smoothing),
        expected,
        [states, head],
        most,
    )


@pytest.mark.parametrize("shape", [(3, 50, 70), (2, 70, 50), (5, 33, 33), (1, 1, 4)])
def test_small_matrices_become_orthogonal_as_by_pytorch(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(shape[0])
    matrices = torch.randn(shape)
    assert training.takes(matrices) and min(shape[1:]) <= optimizers.SMALL
    expected = optimizers.orthogonal(matrices.double(), torch.float64)
    assert (optimizers.orthogonal(matrices, torch.float32) - expected).abs().max() < 1e-4


def test_extreme_numbers_have_their_limits() -> None:
    x = torch.tensor([-1e38, -1e13, -90.0, 90.0, 1e20]).requires_grad_()
    for function in (kernels.gelu, lambda x: kernels.swiglu(x, torch.ones(5))):
        y = function(x)
        (slope,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(y, torch.where(x < 0, 0.0, x.detach()))
        torch.testing.assert_close(slope, (x > 0).float())


def test_tensors_of_several_dtypes_are_left_to_pytorch() -> None:
    x = torch.randn(1, 4, 2, 8, dtype=torch.bfloat16, requires_grad=True)
    rotary = torch.rand(1, 4, 1, 8), torch.rand(1, 4, 1, 8)
    expected = x * rotary[0] + x.roll(4, dims=-1) * rotary[1]
    torch.testing.assert_close(kernels.rotate(x, rotary), expected)
    y = torch.randn(1, 4, 2, 8)
    torch.testing.assert_close(kernels.swiglu(x, y), F.silu(x) * y)


def test_a_target_beyond_the_vocabulary_is_refused() -> None:
    states, head = torch.randn(3, 8, requires_grad=True), torch.randn(20, 8)
    with pytest.raises(IndexError, match="target 20 is not one of 20 classes"):
        loss.cross_entropy_of_states(states, head, torch.tensor([1, 20, 3]))


def test_a_loss_that_is_not_finite_is_told() -> None:
    states, head = torch.randn(3, 8, requires_grad=True), torch.randn(20, 8)
    for bad in (float("nan"), float("inf")):
        worse = states.detach().clone()
        worse[1, 2] = bad
        value = loss.cross_entropy_of_states(worse.requires_grad_(), head, torch.tensor([1, 2, 3]))
        assert not value.isfinite()
