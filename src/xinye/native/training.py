"""What a GPT computes between its matrices, compiled for this processor, with gradients.

These are operations of PyTorch's, so autograd and `torch.compile` know them. They want the
compiled code: `ready` tells whether it is there.
"""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.library import custom_op
from torch.utils.flop_counter import register_flop_formula

from xinye.native.library import THIS
from xinye.native.matrix import KINDS, Threads, threads

# -- the structures of the C++, with the same fields -----------------------------------------------


class Heads(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("batch", "token", "head")),
    )

    @classmethod
    def of(cls, heads: Tensor) -> "Heads":
        """Those of a tensor (B, T, H, D), whose D numbers lie together."""
        return cls(heads.data_ptr(), *heads.stride()[:3])


class Attention(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("kind", "batch", "length", "heads")),
        *((name, ctypes.c_int64) for name in ("key_value_heads", "head_dim", "causal")),
        ("mask", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("mask_batch", "mask_row")),
        *((name, Heads) for name in ("query", "key", "value", "output")),
        ("logs", ctypes.c_void_p),
        *((name, Heads) for name in ("output_gradient", "query_gradient")),
        *((name, Heads) for name in ("key_gradient", "value_gradient")),
    )


class Activation(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("kind", "rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("x", "y", "gradient", "out", "other")),
    )


class CrossEntropy(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("kind", "rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("logits", "targets")),
        ("smoothing", ctypes.c_double),
        ("losses", ctypes.c_void_p),
    )


class RMSNorm(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("kind", "rows", "columns")),
        *((name, ctypes.c_void_p) for name in ("x", "weight")),
        ("eps", ctypes.c_double),
        *((name, ctypes.c_void_p) for name in ("scales", "gradient", "out", "weight_gradients")),
    )


class Rotation(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("kind", "tokens", "heads", "head_dim", "positions")),
        *((name, ctypes.c_void_p) for name in ("x", "cosines", "sines")),
        ("sign", ctypes.c_double),
        ("out", ctypes.c_void_p),
    )


class Orthogonal(ctypes.Structure):
    _fields_ = (
        ("threads", Threads),
        *((name, ctypes.c_int64) for name in ("count", "rows", "columns")),
        ("data", ctypes.c_void_p),
        *((name, ctypes.c_int64) for name in ("matrix", "row", "column", "iterations")),
        *((name, ctypes.c_double) for name in ("a", "b", "c")),
    )


SUM_PARTS = 16  # as in team.h


def takes(x: Tensor) -> bool:
    """Whether the compiled code is there and computes with tensors such as x."""
    if x.device.type != "cpu" or x.dtype not in KINDS:
        return False
    if not torch.compiler.is_compiling():  # which cannot follow how the library is found
        THIS.get()
    return THIS.functions is not None


def trains(x: Tensor) -> bool:
    """Whether x is computed in training on a CPU. An exported graph keeps to plain operations."""
    return x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_exporting()


def ready(x: Tensor, *others: Tensor) -> bool:
    """Whether the operations here compute with these tensors: in training on a CPU, in one dtype.
    Their gradients have no gradients."""
    return trains(x) and takes(x) and all(each.dtype == x.dtype for each in others)


def _empty(x: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


# -- norm and rotation -----------------------------------------------------------------------------


@custom_op("xinye::rms_norm", mutates_args=())
def rms_norm(x: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """RMSNorm of x over its last dimension (Zhang & Sennrich 2019, arXiv:1910.07467), and the scale
    of each row, which the gradient needs."""
    x, y, scales = x.contiguous(), _empty(x), torch.empty(x.shape[:-1])
    _norm("xinye_rms_norm", x, weight, eps, scales, None, y, None)
    return y, scales


@custom_op("xinye::rms_norm_gradient", mutates_args=())
def rms_norm_gradient(
    x: Tensor, weight: Tensor, scales: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor]:
    x, of_x, parts = x.contiguous(), _empty(x), torch.empty(SUM_PARTS, len(weight))
    _norm("xinye_rms_norm_gradient", x, weight, 0.0, scales, gradient.contiguous(), of_x, parts)
    return of_x, parts.sum(0)


def _norm(name: str, x: Tensor, weight: Tensor, eps: float, *others: Tensor | None) -> None:
    assert weight.dtype == torch.float32 and weight.shape == x.shape[-1:]
    weight = weight.contiguous()
    sizes = KINDS[x.dtype], x.shape[:-1].numel(), x.shape[-1]
    pointers = [None if each is None else each.data_ptr() for each in others]
    call = RMSNorm(threads(), *sizes, x.data_ptr(), weight.data_ptr(), eps, *pointers)
    getattr(THIS.functions, name)(ctypes.byref(call))


@custom_op("xinye::rotate", mutates_args=())
def rotate(x: Tensor, cosines: Tensor, sines: Tensor, sign: float) -> Tensor:
    """The heads x (B, T, H, D), each turned by an angle: x · cosines + (x with its halves
    exchanged) · sign · sines. Cosines and sines are (B or 1, T, 1, D), in the dtype of x."""
    x, cosines, sines, y = x.contiguous(), cosines.contiguous(), sines.contiguous(), _empty(x)
    batch, length, heads, head_dim = x.shape
    sizes = batch * length, heads, head_dim, cosines.numel() // head_dim
    pointers = x.data_ptr(), cosines.data_ptr(), sines.data_ptr(), sign, y.data_ptr()
    call = Rotation(threads(), KINDS[x.dtype], *sizes, *pointers)
    THIS.functions.xinye_rotate(ctypes.byref(call))
    return y


# -- activations -----------------------------------------------------------------------------------


@custom_op("xinye::gelu", mutates_args=())
def gelu(x: Tensor, bias: Tensor | None) -> Tensor:
    """The tanh approximation of GELU (Hendrycks & Gimpel 2016, arXiv:1606.08415) of x (…, n) plus a
    bias (n,) in fp32."""
    assert bias is None or (bias.dtype == torch.float32 and bias.shape == x.shape[-1:])
    y = _empty(x)
    _activate("xinye_gelu", x, bias, None, y)
    return y


@custom_op("xinye::gelu_gradient", mutates_args=())
def gelu_gradient(x: Tensor, bias: Tensor | None, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the bias; the latter is empty where there is none."""
    columns = 0 if bias is None else len(bias)
    of_x, parts = _empty(x), x.new_empty(SUM_PARTS, columns, dtype=torch.float32)
    _activate("xinye_gelu_gradient", x, bias, gradient, of_x, parts)
    return of_x, parts.sum(0)


@custom_op("xinye::swiglu", mutates_args=())
def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) · up (Shazeer 2020, arXiv:2002.05202)."""
    y = _empty(gate)
    _activate("xinye_swiglu", gate, up, None, y)
    return y


@custom_op("xinye::swiglu_gradient", mutates_args=())
def swiglu_gradient(gate: Tensor, up: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    of_gate, of_up = _empty(gate), _empty(up)
    _activate("xinye_swiglu_gradient", gate, up, gradient, of_gate, of_up)
    return of_gate, of_up


def _activate(
    name: str, x: Tensor, y: Tensor | None, gradient: Tensor | None, *results: Tensor
) -> None:
    inputs = [None if each is None else each.contiguous() for each in (x, y, gradient)]
    sizes = KINDS[x.dtype], x.shape[:-1].numel(), x.shape[-1]
    pointers = [None if each is None else each.data_ptr() for each in (*inputs, *results)]
    call = Activation(threads(), *sizes, *pointers)
    getattr(THIS.functions, name)(ctypes.byref(call))


# -- attention -------------------------------------------------------------------------------------


@custom_op("xinye::attention", mutates_args=())
def attention(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, causal: bool
) -> tuple[Tensor, Tensor]:
    """Attention of queries (B, T, H, D) over keys and values (B, T, K, D), where token t sees the
    first t + 1, if `causal`, or all; with a `mask` (B or 1, T, T) of bool it sees what that says.

    Returns (B, T, H, D), and for each token and head the logarithm of the sum of the exponentials
    of its scores, (B, H, T), which the gradient needs.
    """
    queries, keys, values = map(_rows, (queries, keys, values))
    batch, length, heads, _ = queries.shape
    y = _empty(queries)
    logs = torch.empty(batch, heads, length)
    _attend("xinye_attention", (queries, keys, values, y), mask, causal, logs)
    return y, logs


@custom_op("xinye::attention_gradient", mutates_args=())
def attention_gradient(
    inputs: list[Tensor], mask: Tensor | None, causal: bool, logs: Tensor, gradient: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of queries, keys and values, the `inputs`."""
    inputs, gradient = [_rows(each) for each in inputs], _rows(gradient)
    of_inputs = [_empty(each) for each in inputs]
    heads = (*inputs, gradient, gradient, *of_inputs)
    _attend("xinye_attention_gradient", heads, mask, causal, logs)
    of_queries, of_keys, of_values = of_inputs
    return of_queries, of_keys, of_values


def _rows(heads: Tensor) -> Tensor:
    """Heads whose D numbers lie together."""
    return heads if heads.stride(-1) == 1 else heads.contiguous()


def _attend(
    name: str, heads: tuple[Tensor, ...], mask: Tensor | None, causal: bool, logs: Tensor
) -> None:
    queries, keys = heads[:2]
    batch, length, count, head_dim = queries.shape
    masked: tuple[int | None, int, int] = None, 0, 0
    if mask is not None:
        mask = mask if mask.stride(-1) == 1 else mask.contiguous()
        masked = mask.data_ptr(), mask.stride(0) if len(mask) > 1 else 0, mask.stride(1)
    sizes = batch, length, count, keys.shape[2], head_dim, causal
    places = [Heads.of(each) for each in heads]
    call = Attention(
        threads(), KINDS[queries.dtype], *sizes, *masked, *places[:4], logs.data_ptr(), *places[4:]
    )
    getattr(THIS.functions, name)(ctypes.byref(call))


# -- loss ------------------------------------------------------------------------------------------


@custom_op("xinye::cross_entropy_", mutates_args=("logits",))
def cross_entropy_(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """The cross-entropies in nats of logits (N, V) and targets (N,), 0 for negative ones; `logits`
    become the gradient of their sum. `smoothing` is the share of each target's probability that is
    spread over all V. Raises `IndexError` for a target from V on."""
    assert logits.is_contiguous() and len(targets) == len(logits)
    losses, targets = torch.empty(len(logits)), targets.long().contiguous()
    if len(targets) and (highest := int(targets.max())) >= logits.shape[1]:
        raise IndexError(f"target {highest} is not one of {logits.shape[1]} classes")
    pointers = logits.data_ptr(), targets.data_ptr(), smoothing, losses.data_ptr()
    call = CrossEntropy(threads(), KINDS[logits.dtype], *logits.shape, *pointers)
    THIS.functions.xinye_cross_entropy(ctypes.byref(call))
    return losses


# -- optimizer -------------------------------------------------------------------------------------


def orthogonal_(
    matrices: Tensor, coefficients: tuple[float, float, float], iterations: int
) -> Tensor:
    """`optimizers.orthogonal` of float32 matrices (n, rows, columns), in place. Each is computed by
    one thread, in its core's cache, so they should be small."""
    tall = matrices if matrices.shape[1] >= matrices.shape[2] else matrices.mT
    sizes, places = tall.shape, (tall.data_ptr(), *tall.stride())
    call = Orthogonal(threads(), *sizes, *places, iterations, *coefficients)
    THIS.functions.xinye_orthogonal(ctypes.byref(call))
    return matrices


# -- what autograd and torch.compile want to know --------------------------------------------------


rms_norm.register_fake(
    lambda x, weight, eps: (_empty(x), x.new_empty(x.shape[:-1], dtype=torch.float32))
)
rms_norm_gradient.register_fake(
    lambda x, weight, scales, gradient: (_empty(x), torch.empty_like(weight))
)
rotate.register_fake(lambda x, cosines, sines, sign: _empty(x))
gelu.register_fake(lambda x, bias: _empty(x))
gelu_gradient.register_fake(
    lambda x, bias, gradient: (
        _empty(x),
        x.new_empty(0 if bias is None else len(bias), dtype=torch.float32),
    )
)
swiglu.register_fake(lambda gate, up: _empty(gate))
swiglu_gradient.register_fake(lambda gate, up, gradient: (_empty(gate), _empty(up)))
cross_entropy_.register_fake(
    lambda logits, targets, smoothing: logits.new_empty(len(logits), dtype=torch.float32)
)
attention.register_fake(
    lambda queries, keys, values, mask, causal: (
        _empty(queries),
        queries.new_empty(
            queries.shape[0], queries.shape[2], queries.shape[1], dtype=torch.float32
        ),
    )
)
attention_gradient.register_fake(
    lambda inputs, mask, causal, logs, gradient: tuple(map(_empty, inputs))
)


def _keep(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs)


def _gelu_backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
    x, bias = ctx.saved_tensors
    of_x, of_bias = gelu_gradient(x, bias, gradient)
    return of_x, None if bias is None else of_bias


def _keep_attention(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    queries, keys, values, mask, ctx.causal = inputs
    ctx.save_for_backward(queries, keys, values, mask, output[1])


def _attention_backward(ctx, gradient: Tensor, _: Tensor):  # type: ignore[no-untyped-def]
    queries, keys, values, mask, logs = ctx.saved_tensors
    of_inputs = attention_gradient([queries, keys, values], mask, ctx.causal, logs, gradient)
    return *of_inputs, None, None


def _keep_norm(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    ctx.save_for_backward(*inputs[:2], output[1])


def _norm_backward(ctx, gradient: Tensor, _: Tensor):  # type: ignore[no-untyped-def]
    return *rms_norm_gradient(*ctx.saved_tensors, gradient), None


def _keep_rotation(ctx, inputs, output) -> None:  # type: ignore[no-untyped-def]
    _, cosines, sines, ctx.sign = inputs
    ctx.save_for_backward(cosines, sines)


def _rotation_backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def]
    return rotate(gradient, *ctx.saved_tensors, -ctx.sign), None, None, None


rms_norm.register_autograd(_norm_backward, setup_context=_keep_norm)
rotate.register_autograd(_rotation_backward, setup_context=_keep_rotation)
gelu.register_autograd(_gelu_backward, setup_context=_keep)
swiglu.register_autograd(
    lambda ctx, gradient: swiglu_gradient(*ctx.saved_tensors, gradient), setup_context=_keep
)
attention.register_autograd(_attention_backward, setup_context=_keep_attention)


def _flops(queries: Sequence[int], causal: bool) -> int:
    """Those of one pass of attention, without what no query sees."""
    batch, length, heads, head_dim = queries
    seen = length * (length + 1) // 2 if causal else length**2
    return 4 * batch * heads * seen * head_dim


@register_flop_formula(torch.ops.xinye.attention)
def _attention_flops(queries, keys, values, mask, causal, **shapes) -> int:  # type: ignore[no-untyped-def]
    return _flops(queries, causal)


@register_flop_formula(torch.ops.xinye.attention_gradient)
def _attention_gradient_flops(inputs, mask, causal, *others, **shapes) -> int:  # type: ignore[no-untyped-def]
    return 2 * _flops(inputs[0], causal)  # scores that are computed again do not count
