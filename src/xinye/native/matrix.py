"""What all calls of the compiled code share, kinds of numbers and threads; and the product of a
quantized matrix."""

import ctypes
from functools import cache

import torch
from torch import Tensor

from xinye.native.library import THIS

KINDS = {torch.float32: 0, torch.bfloat16: 1, "q8_0": 2, "q4_0": 3, "q4_1": 4}


# -- the structures of matrices.h and team.h, with the same fields ---------------------------------


class Matrix(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("data", "bias")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "kind")),
    )


class Threads(ctypes.Structure):
    _fields_ = (
        ("count", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("parallel", "team_size")),
    )


def threads() -> Threads:
    """PyTorch's threads, because two teams of threads would slow each other down."""
    return Threads(torch.get_num_threads(), *openmp())


@cache
def openmp() -> tuple[int | None, int | None]:
    """The addresses of two functions of PyTorch's OpenMP, or None for each."""
    loaded = ctypes.CDLL(torch._C.__file__)
    try:
        functions = [loaded.GOMP_parallel, loaded.omp_get_num_threads]
    except AttributeError:
        return None, None
    parallel, team_size = (ctypes.cast(function, ctypes.c_void_p).value for function in functions)
    return parallel, team_size


def multiply(blocks: Tensor, kind: str, rows: int, inputs: Tensor) -> Tensor | None:
    """The products (…, rows) of a quantized matrix with inputs (…, columns), in float32; None if
    there is no compiled code.

    `blocks` are interleaved (`quantization.interleave`). The inputs are rounded to 8 bits per block
    of 32, as in llama.cpp.
    """
    library = THIS.get()
    if library is None:
        return None
    x = inputs.float().contiguous()
    y = torch.empty(*x.shape[:-1], rows)
    matrix = Matrix(blocks.data_ptr(), None, rows, x.shape[-1], KINDS[kind])
    library.xinye_multiply(
        ctypes.byref(matrix),
        ctypes.c_void_p(x.data_ptr()),
        ctypes.c_int64(x.numel() // x.shape[-1]),
        ctypes.c_void_p(y.data_ptr()),
        ctypes.byref(threads()),
    )
    return y
