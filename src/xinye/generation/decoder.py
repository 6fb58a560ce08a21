"""The compiled decoder, `native/decoder.cpp`, for a GPT on a CPU.

Where there is no compiled code, or it does not support a model, PyTorch does the work;
`GPT.forward` is the reference.
"""

import ctypes
from array import array
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from xinye.model.gpt import GPT, LayerNorm, Linear, RMSNorm, rotary_tables
from xinye.model.quantization import Quantized
from xinye.native.library import THIS
from xinye.native.matrix import KINDS, Matrix, Threads, threads

# -- the structures of decoder.cpp, with the same fields -------------------------------------------


class _Norm(ctypes.Structure):
    _fields_ = (("weight", ctypes.c_void_p), ("bias", ctypes.c_void_p))


class _Layer(ctypes.Structure):
    _fields_ = (
        *((name, _Norm) for name in ("attention_norm", "query_norm", "key_norm", "mlp_norm")),
        *((name, Matrix) for name in ("query", "key", "value", "output", "gate", "up", "down")),
    )


class _Model(ctypes.Structure):
    _fields_ = (
        *((name, Matrix) for name in ("tokens", "positions", "head")),
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
        ("threads", Threads),
        ("batch", ctypes.c_int64),
        *(
            (name, ctypes.c_void_p)
            for name in ("tokens", "positions", "blocks", "cosines", "sines", "cache")
        ),
        *(
            (name, ctypes.c_int64)
            for name in ("cache_kind", "cache_blocks", "block", "most_blocks")
        ),
        ("logits", ctypes.c_void_p),
    )


class _Unsupported(Exception):
    pass


class Decoder:
    """Computes the next logits of a model with the compiled function. It reads the model's tensors
    in place, so they must not be replaced."""

    def __init__(self, model: GPT) -> None:
        """Raises `_Unsupported` for a model that decoder.cpp does not support."""
        self.config = config = model.config
        library = THIS.get()
        if library is None or model.compute_dtype not in KINDS or model.prefix_length:
            raise _Unsupported
        self._step = library.xinye_step
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
        # Arrays are made in a tenth of the time that small tensors take.
        numbers, places, rows = array("q", tokens), array("q", positions), array("q")
        for row in blocks:
            rows.extend(row)
            rows.extend([0] * (most - len(row)))
        if len(tokens) > len(self._logits):
            self._logits = torch.empty(len(tokens), self.config.vocab_size)
        logits = self._logits[: len(tokens)]
        _, _, cache_blocks, _, block, _ = cache.shape
        step = _Step(
            threads=threads(), batch=len(tokens), tokens=_address(numbers),
            positions=_address(places), blocks=_address(rows), cache=cache.data_ptr(),
            cache_kind=KINDS[cache.dtype], cache_blocks=cache_blocks, block=block, most_blocks=most,
            logits=logits.data_ptr(),
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

    def _matrix(self, module: nn.Module) -> Matrix:
        kind: torch.dtype | str
        if isinstance(module, Quantized):
            weight, kind, rows, width = module.blocks, module.kind, module.rows, module.columns
        elif type(module) in (Linear, nn.Embedding):
            weight = module.get_parameter("weight")
            kind, (rows, width) = weight.dtype, weight.shape
        else:
            raise _Unsupported
        if kind not in KINDS:
            raise _Unsupported
        return Matrix(self._keep(weight), self._bias(module), rows, width, KINDS[kind])

    def _norm(self, module: nn.Module) -> _Norm:
        if type(module) not in (RMSNorm, LayerNorm):
            raise _Unsupported
        return _Norm(
            self._keep(module.get_parameter("weight").detach().float()), self._bias(module)
        )


def _address(numbers: "array[int]") -> int:
    return numbers.buffer_info()[0]


def decoder_for(model: nn.Module) -> Decoder | None:
    """The compiled decoder of this model, or None if it is not supported."""
    try:
        return Decoder(model) if type(model) is GPT else None
    except _Unsupported:
        return None
