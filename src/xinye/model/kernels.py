"""What layers compute, each implemented for the device it runs on.

On CUDA PyTorch's fused kernels are the fastest. Training on a CPU takes the compiled code of
`native/training.py`. Without that, two of PyTorch's kernels are slow there: its flash attention
reaches a third of the machine's bf16 matrix speed in training, and its RMSNorm passes over memory
ten times. The functions here compute the same, faster (`docs/log.md` has the times).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.library import custom_op
from torch.utils.flop_counter import register_flop_formula

from xinye import machine
from xinye.model.sharded import is_sharded
from xinye.native import training

# The number of queries in one block on a CPU. The scores of a block stay in the processor's cache,
# and no scores of later tokens are computed.
BLOCK = 128

# What follows is found out once, because torch.compile cannot follow it.
ONEDNN = machine.prefers_onednn()
# The columns of the wider matrix for which oneDNN is worth a copy of the other one.
WIDE = 1024

_SETS = machine.instruction_sets().split()
WITHOUT_BF16_UNITS = "avx2" in _SETS and (
    machine.instruction_limit() is not None or not {"avx512_bf16", "amx_bf16"} & {*_SETS}
)

HALF = (torch.float16, torch.bfloat16)  # what flash attention computes in

VARLEN = torch.__version__ >= "2.13"  # before that its kernel had other arguments


class Pieces(NamedTuple):
    """The documents in the rows of a batch, for attention within each of them.

    All tokens of the batch stand one row after another. `borders` (n + 1,) of int32 are the places
    in them where a document begins, from 0 to the number of tokens, which is repeated at the end if
    there are fewer than n documents. `longest` is the length of the rows.
    """

    borders: Tensor
    longest: int


def takes_pieces(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether this device computes `attention_in_pieces`. Its kernel is flash attention, which is
    for GPUs since Ampere and for some sizes of heads."""
    fits = VARLEN and dtype in HALF and head_dim % 8 == 0 and head_dim <= 192
    if device.type != "cuda" or not fits:
        return False
    return _has_flash(device)


def _has_flash(device: torch.device) -> bool:
    """Whether flash attention runs on a GPU: from Ampere on."""
    return torch.cuda.get_device_properties(device).major >= 8


def attention_in_pieces(queries: Tensor, keys: Tensor, values: Tensor, pieces: Pieces) -> Tensor:
    """Causal attention within each document, of queries (B, T, H, D) over keys and values (B, T, K,
    D); returns (B, T, H, D). Unlike a mask it takes no time for what is not seen."""
    from torch.nn.attention import varlen  # importing it takes long

    queries, keys, values = (
        tensor.flatten(0, 1) for tensor in (queries, keys, values)
    )  # (B · T, H or K, D)
    borders, longest = pieces
    y = varlen.varlen_attn(
        queries, keys, values, borders, borders, longest, longest,
        window_size=(-1, 0), enable_gqa=keys.shape[1] < queries.shape[1],
    )  # fmt: skip
    assert isinstance(y, Tensor)  # it returns more only where more is asked for
    return y.unflatten(0, (-1, longest))


def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, is_causal: bool = True
) -> Tensor:
    """Scaled dot-product attention of queries (B, H, T, D) over keys and values (B, K, S, D);
    returns (B, H, T, D). Each key-value head serves a group of query heads.

    `mask` is boolean and broadcasts to (B, H, T, S), True where a query may attend. Without it
    attention is causal for T > 1, and a single query sees everything. A mask that lets queries see
    later tokens needs `is_causal=False`.
    """
    batch, heads, length, head_dim = queries.shape
    square = length == keys.shape[2]
    if square and _same_for_all_heads(mask) and training.ready(queries, keys, values):
        heads_last = (each.transpose(1, 2) for each in (queries, keys, values))  # (B, T, H or K, D)
        wanted = None if mask is None else mask.expand(-1, -1, length, -1)[:, 0]
        return training.attention(*heads_last, wanted, is_causal)[0].transpose(1, 2)
    blocks = square and not queries.is_cuda and torch.is_grad_enabled()
    grouped = heads > keys.shape[1]
    if grouped and (blocks or not _takes_groups(queries, mask)):
        grouped = False
        keys, values = (
            tensor.repeat_interleave(heads // tensor.shape[1], dim=1) for tensor in (keys, values)
        )
    if not blocks:
        causal = mask is None and length > 1
        return F.scaled_dot_product_attention(
            queries, keys, values, mask, is_causal=causal, enable_gqa=grouped
        )
    queries, keys, values = (
        tensor.reshape(batch * heads, length, head_dim) for tensor in (queries, keys, values)
    )
    if mask is None:
        mask = torch.ones(length, length, dtype=torch.bool, device=queries.device).tril()
    bias = torch.zeros_like(mask, dtype=queries.dtype).masked_fill_(~mask, float("-inf"))
    bias = bias.expand(batch, heads, length, length).reshape(batch * heads, length, length)
    outputs = []
    for start in range(0, length, BLOCK):
        end = min(start + BLOCK, length)
        seen = end if is_causal else length
        scores = torch.baddbmm(
            bias[:, start:end, :seen],
            queries[:, start:end],
            keys[:, :seen].transpose(1, 2),
            alpha=head_dim**-0.5,
        )
        outputs.append(scores.softmax(-1) @ values[:, :seen])
    return torch.cat(outputs, dim=1).view(batch, heads, length, head_dim)


def _same_for_all_heads(mask: Tensor | None) -> bool:
    return mask is None or (mask.ndim == 4 and mask.shape[1] == 1 and mask.dtype == torch.bool)


def _takes_groups(queries: Tensor, mask: Tensor | None) -> bool:
    """Whether PyTorch's attention is as fast without repeated keys and values. On CUDA only
    flash attention is, which takes no mask; with one PyTorch would take its slowest way."""
    if queries.is_cuda:
        return mask is None and queries.dtype in HALF and _has_flash(queries.device)
    # An exported graph keeps to plain operations.
    return queries.device.type == "cpu" and not torch.compiler.is_exporting()


def rotate(x: Tensor, rotary: tuple[Tensor, Tensor]) -> Tensor:
    """The heads x (B, T, H, D) with each pair (i, i + D/2) rotated by the angle of its position,
    whose cosines and sines are (B or 1, T, 1, D). The first half of the sines is negated."""
    cosines, sines = rotary
    if training.ready(x, cosines, sines):
        return training.rotate(x, cosines, sines, 1.0)
    return torch.addcmul(x * cosines, x.roll(x.shape[-1] // 2, dims=-1), sines)


def gelu(x: Tensor, bias: Tensor | None = None) -> Tensor:
    """The tanh approximation of GELU, with which GPT-2 was trained (Hendrycks & Gimpel 2016,
    arXiv:1606.08415), of x (…, n); or, where `gelu_adds` says so, of x plus a bias (n,)."""
    if bias is not None or training.ready(x):
        return training.gelu(x, bias)
    return F.gelu(x, approximate="tanh")


def gelu_adds(bias: Tensor | None, x: Tensor) -> bool:
    """Whether `gelu` adds this bias in its own pass over memory, and sums its gradient there."""
    return bias is not None and bias.dtype == torch.float32 and training.ready(x)


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up (Shazeer 2020, arXiv:2002.05202)."""
    return training.swiglu(gate, up) if training.ready(gate, up) else F.silu(gate) * up


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Root-mean-square normalisation of x over its last dimension (Zhang & Sennrich 2019,
    arXiv:1910.07467)."""
    if training.ready(x) and weight.dtype == torch.float32:
        return training.rms_norm(x, weight, eps)[0]
    if x.is_cuda or torch.compiler.is_compiling():
        return F.rms_norm(x, weight.shape, weight.to(x.dtype), eps)
    return _RMSNorm.apply(x, weight, eps)


def product_dtype(dtype: torch.dtype, device: torch.device) -> torch.dtype:
    """The dtype in which matrices of a dtype are multiplied: fp32 for bf16 on a processor without
    bf16 units, which takes four times as long for it."""
    widened = device.type == "cpu" and dtype == torch.bfloat16 and WITHOUT_BF16_UNITS
    return torch.float32 if widened else dtype


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x (…, k) times the transpose of a weight (n, k), plus a bias (n,)."""
    if not (training.trains(x) and x.dtype == weight.dtype and _own_product(x, weight)):
        return F.linear(x, weight, bias)
    y: Tensor = _Linear.apply(x, weight, bias)
    return y


def _own_product(x: Tensor, weight: Tensor) -> bool:
    """Whether `_product` is faster than PyTorch's."""
    wide = product_dtype(x.dtype, x.device)
    return wide == torch.float32 and (ONEDNN or wide != x.dtype) and not is_sharded(weight)


@custom_op("xinye::product", mutates_args=())
def _product(a: Tensor, b: Tensor, bias: Tensor | None = None) -> Tensor:
    """a (m, k) times the transpose of b (n, k), plus a bias (n,), in fp32 and in the dtype of a."""
    product = machine.onednn_product if ONEDNN else F.linear
    y = product(a.float(), b.float(), None if bias is None else bias.float())
    return y.to(a.dtype)


_product.register_fake(lambda a, b, bias=None: a.new_empty(a.shape[0], b.shape[0]))


@register_flop_formula(torch.ops.xinye.product)
def _product_flops(a, b, *others, **shapes) -> int:  # type: ignore[no-untyped-def]
    flops: int = 2 * a[0] * a[1] * b[0]
    return flops


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x, weight)
        ctx.with_bias = bias is not None
        y = _product(x.reshape(-1, x.shape[-1]), weight, bias)
        return y.view(*x.shape[:-1], len(weight))

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[no-untyped-def]
        x, weight = ctx.saved_tensors
        flat, x_flat = (each.reshape(-1, each.shape[-1]) for each in (gradient, x))
        of_x = of_weight = of_bias = None
        if ctx.needs_input_grad[0]:
            of_x = _product(flat, weight.T).view(x.shape)
        if ctx.needs_input_grad[1]:
            of_weight = _transposed_product(flat, x_flat)
        if ctx.with_bias and ctx.needs_input_grad[2]:
            of_bias = flat.sum(0)
        return of_x, of_weight, of_bias


def _transposed_product(a: Tensor, b: Tensor) -> Tensor:
    """The transpose of a (m, n) times b (m, k)."""
    if not ONEDNN or max(a.shape[1], b.shape[1]) < WIDE:
        return (a.float().T @ b.float()).to(a.dtype)
    if a.shape[1] < b.shape[1]:  # then a is the cheaper one to copy
        return _product(a.T, b.T)
    return _product(b.T, a.T).T.contiguous()


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, eps: float) -> Tensor:  # type: ignore[no-untyped-def]
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = length.square_().div_(x.shape[-1]).add_(eps).rsqrt_().to(x.dtype)
        normalized = x * scale
        ctx.save_for_backward(normalized, scale, weight)
        return normalized * weight.to(x.dtype)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[no-untyped-def]
        normalized, scale, weight = ctx.saved_tensors
        product = gradient * normalized
        weight_gradient = product.flatten(0, -2).sum(0, dtype=torch.float32)
        weight = weight.to(gradient.dtype)
        projection = (product @ weight)[..., None] / weight.shape[0]
        return (
            (gradient * weight).addcmul_(normalized, projection, value=-1).mul_(scale),
            weight_gradient,
            None,
        )
