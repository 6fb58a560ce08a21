"""Weights of 4 to 8 bits in GGUF's block formats, and layers that compute with them.

A block holds a few neighbouring values of a row and what they share: a scale, and for some kinds a
minimum. The values are small integers; value = scale × integer (+ minimum). A matrix (rows,
columns) is a uint8 tensor (rows, bytes per row), with the bytes in the order of the file. Layers
keep it in the order in which compiled code reads it (`interleave`).

On a CPU, compiled code multiplies where no gradient is needed. What stands here in plain PyTorch is
the reference: a layer unpacks a few rows, multiplies, and drops them.
"""

from collections.abc import Mapping
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.errors import XinyeError
from xinye.model.gpt import Linear, TokenModel
from xinye.native.matrix import multiply

BLOCKS = {  # for each kind: the values in a block, and its bytes
    "f32": (1, 4),
    "f16": (1, 2),
    "bf16": (1, 2),
    "q8_0": (32, 34),
    "q4_0": (32, 18),
    "q4_1": (32, 20),
    "q5_0": (32, 22),
    "q4_K": (256, 144),
    "q6_K": (256, 210),
}
FLOATS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
COMPUTED = ("q8_0", "q4_0", "q4_1")  # layers compute with these; other kinds are converted to them
VALUES = 2**20  # values unpacked at a time: 4 MiB, which stays in a processor's cache
GROUP = 16  # the rows that are interleaved


def columns(blocks: Tensor, kind: str) -> int:
    """The number of values in a row of blocks."""
    values, size = BLOCKS[kind]
    return blocks.shape[1] // size * values


def quantize(tensor: Tensor, kind: str) -> Tensor:
    """A matrix (rows, columns) as blocks of a kind: uint8 (rows, bytes per row).

    `kind` is f32, f16, bf16, q8_0 or q4_0; others raise `XinyeError`. It rounds as llama.cpp's
    reference does, bit for bit. The columns must be a multiple of the values in a block.
    """
    if kind in FLOATS:
        return tensor.to(FLOATS[kind]).contiguous().view(torch.uint8)
    values, _ = BLOCKS[kind]
    x = tensor.float().unflatten(1, (-1, values))  # (rows, blocks, values)
    if kind == "q8_0":
        scale = x.abs().amax(-1, keepdim=True) / 127
        x = x * _inverse(scale)
        whole = x.abs().floor()
        rounded = (whole + (2 * (x.abs() - whole)).floor()).copysign(x)  # halves away from zero
        parts = [_half_bytes(scale), rounded.to(torch.int8).view(torch.uint8)]
    elif kind == "q4_0":
        farthest = x.gather(-1, x.abs().argmax(-1, keepdim=True))
        scale = farthest / -8
        parts = [
            _half_bytes(scale),
            _pack((x * _inverse(scale) + 8.5).to(torch.uint8).clamp(max=15)),
        ]
    else:
        raise XinyeError(f"Xinye does not quantize to {kind}; llama.cpp's llama-quantize does")
    return torch.cat(parts, dim=-1).flatten(1)


def dequantize(blocks: Tensor, kind: str) -> Tensor:
    """The values of blocks (rows, bytes per row) as float32 (rows, columns), the same bits as in
    llama.cpp."""
    if kind in FLOATS:
        return blocks.contiguous().view(FLOATS[kind]).float()
    block = blocks.unflatten(1, (-1, BLOCKS[kind][1]))  # (rows, blocks, bytes)
    if kind == "q8_0":
        x = block[..., 2:].view(torch.int8) * _halves(block, 0)
    elif kind == "q4_0":
        x = (_nibbles(block[..., 2:]).view(torch.int8) - 8) * _halves(block, 0)
    elif kind == "q4_1":
        x = _nibbles(block[..., 4:]) * _halves(block, 0) + _halves(block, 2)
    elif kind == "q5_0":
        x = _q5_0_integers(block) * _halves(block, 0)
    elif kind == "q4_K":
        scales, minima, integers = _q4_k_parts(block)
        x = integers * scales - minima
    else:  # q6_K: 16 × 16 values of 6 bits, four low and two high ones, with a scale of 8 bits each
        low = _nibbles(block[..., :128].unflatten(-1, (2, 64))).unflatten(-1, (4, 32))
        high = block[..., 128:192].unflatten(-1, (2, 1, 32)) >> _shifts(block, 0, 2, 4, 6)
        integers = (low | (high & 3) << 4).view(torch.int8) - 32
        scales = block[..., 192:208].view(torch.int8) * _halves(block, 208)
        x = integers.flatten(-3).unflatten(-1, (16, 16)) * scales[..., None]
    return x.flatten(1)


def computable(blocks: Tensor, kind: str) -> tuple[Tensor, str]:
    """The blocks in a kind that layers compute with, and that kind. The size stays about the same.

    q5_0 becomes q8_0 exactly. q4_K becomes q4_1 with the same integers; the product of its two
    scales is rounded to 16 bits (a relative error of at most 2^-11). q6_K becomes q8_0, rounded to
    255 steps.
    """
    if kind in COMPUTED:
        return blocks, kind
    rows = max(1, VALUES // columns(blocks, kind))
    if kind == "q6_K":
        return torch.cat(
            [quantize(dequantize(part, kind), "q8_0") for part in blocks.split(rows)]
        ), "q8_0"
    block = blocks.unflatten(1, (-1, BLOCKS[kind][1]))
    if kind == "q5_0":
        return torch.cat((block[..., :2], _q5_0_integers(block).view(torch.uint8)), dim=-1).flatten(
            1
        ), "q8_0"
    parts = [
        torch.cat((_half_bytes(scales), _half_bytes(-minima), _pack(integers)), dim=-1).flatten(1)
        for scales, minima, integers in map(_q4_k_parts, block.split(rows))
    ]
    return torch.cat(parts), "q4_1"


def finite(blocks: Tensor, kind: str) -> bool:
    """Whether no value is NaN or infinite."""
    if kind in FLOATS:
        return bool(blocks.view(FLOATS[kind]).isfinite().all())
    block = blocks.unflatten(1, (-1, BLOCKS[kind][1]))
    return bool(
        block[..., : 4 if kind == "q4_1" else 2].contiguous().view(torch.float16).isfinite().all()
    )


def interleave(blocks: Tensor, kind: str) -> Tensor:
    """Blocks (rows, bytes per row) in the order of compiled code (`native/blocks.h`): uint8
    (groups, bytes per group). Rows of zeros fill the last group.

    For each block of 32 columns, the scales of sixteen rows lie together, then their minima, then
    the first four bytes of each row, the next four of each, and so on.
    """
    size, header = BLOCKS[kind][1], _header(kind)
    rows = F.pad(blocks, (0, 0, 0, -len(blocks) % GROUP)).view(-1, GROUP, blocks.shape[1])
    block = rows.unflatten(2, (-1, size)).transpose(1, 2)  # (groups, blocks, 16, bytes)
    parts = [
        part.unflatten(3, (-1, width)).transpose(2, 3).flatten(2)
        for part, width in ((block[..., :header], 2), (block[..., header:], 4))
    ]
    return torch.cat(parts, dim=-1).flatten(1)


class Quantized(nn.Module):
    """A matrix (rows, columns) that is stored as interleaved blocks."""

    blocks: Tensor

    def __init__(self, blocks: Tensor, kind: str, rows: int) -> None:
        super().__init__()
        self.register_buffer("blocks", blocks)
        self.kind, self.rows = kind, rows
        self.columns = columns(blocks, kind) // GROUP

    def weight_rows(self, numbers: Tensor) -> Tensor:
        """The rows with these numbers (N,), unpacked: float32 (N, columns)."""
        size, header = BLOCKS[self.kind][1], _header(self.kind)
        block = self.blocks.unflatten(1, (-1, GROUP * size))  # (groups, blocks, bytes)
        group, lane = numbers // GROUP, numbers % GROUP
        parts = [
            part.unflatten(2, (-1, GROUP, width))[group, :, :, lane].flatten(2)
            for part, width in (
                (block[..., : GROUP * header], 2),
                (block[..., GROUP * header :], 4),
            )
        ]
        return dequantize(torch.cat(parts, dim=-1).flatten(1), self.kind)

    def dequantized(self) -> Tensor:
        """The whole matrix, float32 (rows, columns)."""
        return self.weight_rows(torch.arange(self.rows, device=self.blocks.device))

    def shared(self) -> Self:
        """Another layer over the same blocks, without a bias."""
        return type(self)(self.blocks, self.kind, self.rows)


class QuantizedLinear(Quantized):
    """A linear layer whose weight (out, in) is quantized."""

    def __init__(
        self, blocks: Tensor, kind: str, rows: int, bias: nn.Parameter | None = None
    ) -> None:
        super().__init__(blocks, kind, rows)
        self.out_features, self.in_features, self.bias = rows, self.columns, bias

    def forward(self, x: Tensor) -> Tensor:
        y = None
        if type(x) is Tensor and x.is_cpu and not (x.requires_grad and torch.is_grad_enabled()):
            y = multiply(self.blocks, self.kind, self.rows, x)
        if y is None:
            step = max(1, VALUES // self.columns)
            numbers = torch.arange(self.rows, device=x.device).split(step)
            y = torch.cat(
                [F.linear(x, self.weight_rows(few).to(x.dtype)) for few in numbers], dim=-1
            )
        return y.to(x.dtype) if self.bias is None else y.to(x.dtype) + self.bias.to(x.dtype)


class QuantizedEmbedding(Quantized):
    """An embedding whose table (tokens, size) is quantized; it returns float32."""

    def __init__(self, blocks: Tensor, kind: str, rows: int) -> None:
        super().__init__(blocks, kind, rows)
        self.num_embeddings, self.embedding_dim = rows, self.columns

    def forward(self, tokens: Tensor) -> Tensor:
        return self.weight_rows(tokens.flatten()).unflatten(0, tokens.shape)


def swap_in(model: TokenModel, matrices: Mapping[str, tuple[Tensor, str]]) -> None:
    """Replace the named layers, such as `model.layers.0.mlp.up_proj`, by quantized ones, in place.
    `matrices` has the blocks and the kind of each, in the order of the file."""
    interleaved = dict[int, Tensor]()  # one copy of blocks that two layers share
    for name, (blocks, kind) in matrices.items():
        layer = model.get_submodule(name)
        if id(blocks) not in interleaved:
            interleaved[id(blocks)] = interleave(blocks, kind)
        own = interleaved[id(blocks)], kind, len(blocks)
        model.set_submodule(
            name,
            QuantizedEmbedding(*own)
            if isinstance(layer, nn.Embedding)
            else QuantizedLinear(*own, layer.bias),  # type: ignore[arg-type]
        )


def unpack(model: TokenModel, dtype: torch.dtype = torch.float32) -> None:
    """Replace all quantized layers by ordinary ones, in place, so that they can be trained or
    saved."""
    for name, layer in list(model.named_modules()):
        if not isinstance(layer, Quantized):
            continue
        plain: nn.Module
        if isinstance(layer, QuantizedLinear):
            plain = Linear(layer.columns, layer.rows, bias=False, device="meta")
            plain.register_parameter("bias", layer.bias)
        else:
            plain = nn.Embedding(layer.rows, layer.columns, device="meta")
        plain.weight = nn.Parameter(layer.dequantized().to(dtype))
        model.set_submodule(name, plain)
    model.tie()


# -- bytes and bits --------------------------------------------------------------------------------


def _header(kind: str) -> int:
    """The bytes of a block before its integers."""
    return 4 if kind == "q4_1" else 2


def _halves(block: Tensor, start: int) -> Tensor:
    """The 16-bit float at byte `start` of each block, as float32 (…, 1)."""
    return block[..., start : start + 2].contiguous().view(torch.float16).float()


def _half_bytes(x: Tensor) -> Tensor:
    return x.half().view(torch.uint8)


def _inverse(scale: Tensor) -> Tensor:
    return torch.where(scale == 0, 0, 1 / scale)


def _nibbles(packed: Tensor) -> Tensor:
    """The low four bits of n bytes, then the high four: (…, n) to (…, 2n)."""
    return torch.cat((packed & 15, packed >> 4), dim=-1)


def _pack(integers: Tensor) -> Tensor:
    low, high = integers.chunk(2, dim=-1)
    return low | high << 4


def _shifts(like: Tensor, *shifts: int) -> Tensor:
    return torch.tensor(shifts, dtype=torch.uint8, device=like.device)[:, None]


def _q5_0_integers(block: Tensor) -> Tensor:
    """The integers -16 … 15 as int8. Four bits are stored as in q4_0, the fifth ones in four bytes
    before them."""
    fifth = (block[..., 2:6, None] >> _shifts(block, *range(8)).T & 1).flatten(-2)
    return (_nibbles(block[..., 6:]) | fifth << 4).view(torch.int8) - 16


def _q4_k_parts(block: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scales and minima (rows, 8·blocks, 1), and the integers (rows, 8·blocks, 32) that they
    apply to.

    Value = scale × integer - minimum. Each block has eight scales and eight minima of 6 bits, and a
    16-bit float for each of the two groups. The low bits of the first two groups of four bytes hold
    the first four scales and minima. The others are in the third group, with their two highest bits
    on top of the first two groups.
    """
    first, second, third = block[..., 4:16].unflatten(-1, (3, 4)).unbind(-2)
    scales = torch.cat((first & 63, third & 15 | first >> 2 & 48), dim=-1) * _halves(block, 0)
    minima = torch.cat((second & 63, third >> 4 | second >> 2 & 48), dim=-1) * _halves(block, 2)
    integers = _nibbles(block[..., 16:].unflatten(-1, (4, 32))).unflatten(
        -1, (2, 32)
    )  # (rows, blocks, 4, 2, 32)
    return scales.flatten(1)[..., None], minima.flatten(1)[..., None], integers.flatten(1, 3)
