"""The compiled decoder, `decoder.cpp`, for a GPT on a CPU. It is built once for this processor and
kept in the user's cache.

If it cannot be built, or does not support a model, PyTorch does the work; `GPT.forward` is the
reference.
"""

import ctypes
import hashlib
import os
import stat
import subprocess
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye import machine
from xinye.cache import cache_folder
from xinye.model.gpt import GPT, LayerNorm, Linear, RMSNorm, rotary_tables
from xinye.model.quantization import QuantizedEmbedding, QuantizedLinear, columns
from xinye.observer import Observer

SOURCE = Path(__file__).with_name("decoder.cpp")
FLAGS = (
    "-std=c++20", "-O3", "-march=native", "-ffp-contract=off", "-shared", "-fPIC", "-pthread", "-w",
)  # fmt: skip
# the compiler's flags for each value of `machine.instruction_limit`
WITHOUT = {
    "avx2": ("-mno-avx512f",),
    "avx512": ("-mno-avx512bf16",),
    None: (),
}
KINDS = {torch.float32: 0, torch.bfloat16: 1, "q8_0": 2, "q4_0": 3, "q4_1": 4}


# -- building --------------------------------------------------------------------------------------


@cache
def library() -> tuple[Any, str]:
    """The compiled function and the path of its library; or None, and the reason."""
    compiler = machine.cpp_compiler()
    if compiler is None:
        return None, "no C++ compiler"
    try:
        path = build(compiler)
        return ctypes.CDLL(str(path)).xinye_step, str(path)
    except subprocess.SubprocessError as error:
        return None, f"{compiler} failed: {_last_line(error)}"
    except (OSError, AttributeError) as error:
        return None, str(error)


def describe() -> str:
    """How this machine's CPU generates text, in a few words."""
    step, words = library()
    return (
        f"with PyTorch alone, which is slower: {words}"
        if step is None
        else "compiled for this processor"
    )


def prepare_decoder(device: torch.device, observer: Observer) -> float:
    """Build the library if the device needs it and it is not built yet, and report that. Returns
    the seconds that this took, 0 if nothing was done."""
    compiler = machine.cpp_compiler()
    if device.type != "cpu" or compiler is None or library.cache_info().currsize:
        return 0.0
    with suppress(OSError):
        if built(compiler) is not None:
            return 0.0
    observer.stage(
        "compiling the decoder for this processor; this happens once and takes a few seconds"
    )
    begin = time.monotonic()
    library()
    return time.monotonic() - begin


def build(compiler: str) -> Path:
    """The path of the library for this source, compiler and processor, from the cache or built now.

    Raises `OSError` or `subprocess.SubprocessError` if it cannot be built.
    """
    found = built(compiler)
    if found is not None:
        return found
    folder, name, flags = _place(compiler)
    with tempfile.TemporaryDirectory(dir=folder) as beside:
        built_now = Path(beside) / "decoder.so"
        command = [compiler, *flags, "-o", str(built_now), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        return built_now.rename(folder / f"{name}-{_hash(built_now)}.so")


def built(compiler: str) -> Path | None:
    """The path of the library in the cache, or None.

    The name of the library ends with a hash of its content; a file that does not match it is
    removed. A file that another user could have written is removed, too. Raises `PermissionError`
    if other users can write to the folder.
    """
    folder, name, _ = _place(compiler)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _own(folder):
        raise PermissionError(f"other users can write to {folder}")
    for path in folder.glob(f"{name}-*.so"):
        with suppress(FileNotFoundError):  # another process found it damaged, too
            if _own(path) and path.name == f"{name}-{_hash(path)}.so":
                return path
            path.unlink()
    return None


def _place(compiler: str) -> tuple[Path, str, tuple[str, ...]]:
    """The folder of the library, the beginning of its name, and the compiler's flags."""
    flags = (*FLAGS, *WITHOUT[machine.instruction_limit()])
    what = [
        SOURCE.read_text("utf-8"),
        compiler,
        *flags,
        machine.processor(),
        machine.instruction_sets(),
    ]
    name = f"decoder-{hashlib.blake2b(repr(what).encode(), digest_size=8).hexdigest()}"
    return cache_folder() / "native", name, flags


def _own(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


def _last_line(error: subprocess.SubprocessError) -> str:
    lines = str(getattr(error, "stderr", None) or error).strip().splitlines()
    return next((line for line in lines if "error" in line), lines[-1] if lines else "")


# -- the structures of decoder.cpp, with the same fields -------------------------------------------


class _Matrix(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("data", "bias")),
        *((name, ctypes.c_int64) for name in ("rows", "columns", "kind")),
    )


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, _Norm) for name in ("attention_norm", "query_norm", "key_norm", "mlp_norm")),
        *((name, _Matrix) for name in ("query", "key", "value", "output", "gate", "up", "down")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, _Matrix) for name in ("tokens", "positions", "head")),
        ("norm", _Norm),
        ("layers", ctypes.POINTER(_Layer)),
        *(
            (name, ctypes.c_int64)
            for name in ("layer_count", "hidden", "heads", "key_value_heads", "head_dim")
        ),
        ("intermediate", ctypes.c_int64),
        ("eps", ctypes.c_double),
    )


class _Step(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("batch", "threads")),
        *(
            (name, ctypes.c_void_p)
            for name in ("tokens", "positions", "blocks", "cosines", "sines", "cache")
        ),
        *(
            (name, ctypes.c_int64)
            for name in ("cache_kind", "cache_blocks", "block", "most_blocks")
        ),
        *((name, ctypes.c_void_p) for name in ("logits", "parallel", "team_size")),
    )


class _Unsupported(Exception):
    pass


class Decoder:
    """Computes the next logits of a model with the compiled function. It reads the model's tensors
    in place, so they must not be replaced."""

    def __init__(self, model: GPT) -> None:
        """Raises `_Unsupported` for a model that decoder.cpp does not support."""
        self.config = config = model.config
        self._step, _ = library()
        if self._step is None or model.compute_dtype not in KINDS or model.prefix_length:
            raise _Unsupported
        self._kept: list[Tensor] = []
        self._layers = (_Layer * config.num_hidden_layers)(*map(self._layer, model.model.layers))
        self._model = _Model(
            tokens=self._matrix(model.model.embed_tokens),
            head=self._matrix(model.lm_head),
            norm=self._norm(model.model.norm),
            layers=self._layers,
            layer_count=config.num_hidden_layers,
            hidden=config.hidden_size,
            heads=config.num_attention_heads,
            key_value_heads=config.num_key_value_heads,
            head_dim=config.head_dim,
            intermediate=config.intermediate_size,
            eps=config.norm_eps,
        )
        if not config.rotary:
            self._model.positions = self._matrix(model.model.embed_positions)
        self._rotary: tuple[Tensor, Tensor] | None = None
        self._logits = torch.empty(0, config.vocab_size)  # kept, because new memory costs time
        self._parallel, self._team_size = _openmp()

    def __call__(
        self,
        tokens: Sequence[int],
        positions: Sequence[int],
        blocks: Sequence[Sequence[int]],
        cache: Tensor,
    ) -> Tensor:
        """Read B tokens, of one text or of several; returns logits (B, V) in fp32. The next call
        overwrites them.

        Token i has the position `positions[i]` in a text whose keys and values are in the blocks
        `blocks[i]` of the cache, in order. It attends to all of them up to its own. The cache is
        (layers, 2, blocks, K, tokens of a block, D).
        """
        most = max(map(len, blocks))
        rows = [(*row, *[0] * (most - len(row))) for row in blocks]
        numbers, places = torch.tensor([[*tokens], [*positions]]), torch.tensor(rows)
        if len(tokens) > len(self._logits):
            self._logits = torch.empty(len(tokens), self.config.vocab_size)
        logits = self._logits[: len(tokens)]
        _, _, cache_blocks, _, block, _ = cache.shape
        step = _Step(
            batch=len(tokens), threads=torch.get_num_threads(), tokens=numbers[0].data_ptr(),
            positions=numbers[1].data_ptr(), blocks=places.data_ptr(), cache=cache.data_ptr(),
            cache_kind=KINDS[cache.dtype], cache_blocks=cache_blocks, block=block, most_blocks=most,
            logits=logits.data_ptr(), parallel=self._parallel, team_size=self._team_size,
        )  # fmt: skip
        if self.config.rotary:
            cosines, sines = self._tables(max(positions) + 1)
            step.cosines, step.sines = cosines.data_ptr(), sines.data_ptr()
        self._step(ctypes.byref(self._model), ctypes.byref(step))
        return logits

    def _tables(self, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and sines (positions, D) for at least `length` positions. They are computed
        ahead, so that they rarely have to grow."""
        if self._rotary is None or len(self._rotary[0]) < length:
            positions = torch.arange(min(max(2 * length, 256), self.config.max_position_embeddings))
            self._rotary = rotary_tables(self.config, positions, torch.float32)
        return self._rotary

    def _layer(self, layer: Any) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        result = _Layer(
            attention_norm=self._norm(layer.input_layernorm),
            mlp_norm=self._norm(layer.post_attention_layernorm),
            query=self._matrix(attention.q_proj),
            key=self._matrix(attention.k_proj),
            value=self._matrix(attention.v_proj),
            output=self._matrix(attention.o_proj),
            up=self._matrix(mlp.up_proj),
            down=self._matrix(mlp.down_proj),
        )
        if self.config.rotary:
            result.gate = self._matrix(mlp.gate_proj)
        if self.config.architecture == "modern":
            result.query_norm, result.key_norm = (
                self._norm(attention.q_norm),
                self._norm(attention.k_norm),
            )
        return result

    def _keep(self, tensor: Tensor) -> int:
        if (
            type(tensor) not in (Tensor, nn.Parameter)
            or not tensor.is_cpu
            or not tensor.is_contiguous()
        ):
            raise _Unsupported
        self._kept.append(tensor)
        return tensor.data_ptr()

    def _bias(self, module: nn.Module) -> int | None:
        bias = getattr(module, "bias", None)
        return None if bias is None else self._keep(bias.detach().float())

    def _matrix(self, module: nn.Module) -> _Matrix:
        kind: torch.dtype | str
        if isinstance(module, QuantizedLinear | QuantizedEmbedding):
            weight, kind, width = module.blocks, module.kind, columns(module.blocks, module.kind)
        elif type(module) in (Linear, nn.Embedding):
            weight = module.get_parameter("weight")
            kind, width = weight.dtype, weight.shape[1]
        else:
            raise _Unsupported
        if kind not in KINDS:
            raise _Unsupported
        return _Matrix(self._keep(weight), self._bias(module), len(weight), width, KINDS[kind])

    def _norm(self, module: nn.Module) -> _Norm:
        if type(module) not in (RMSNorm, LayerNorm):
            raise _Unsupported
        return _Norm(
            self._keep(module.get_parameter("weight").detach().float()), self._bias(module)
        )


def decoder_for(model: nn.Module) -> Decoder | None:
    """The compiled decoder of this model, or None if it is not supported."""
    try:
        return Decoder(model) if type(model) is GPT else None
    except _Unsupported:
        return None


@cache
def _openmp() -> tuple[int | None, int | None]:
    """The addresses of two functions of PyTorch's OpenMP, or None for each. The decoder uses
    PyTorch's threads, because two teams of threads would slow each other down."""
    loaded = ctypes.CDLL(torch._C.__file__)
    try:
        functions = [loaded.GOMP_parallel, loaded.omp_get_num_threads]
    except AttributeError:
        return None, None
    parallel, team_size = (ctypes.cast(function, ctypes.c_void_p).value for function in functions)
    return parallel, team_size
