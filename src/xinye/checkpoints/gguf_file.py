"""The GGUF container of llama.cpp: named values (metadata) and named tensors in one file.

    "GGUF", version 3, number of tensors, number of values
    each value: key, type, value                           texts and arrays begin with their length
    each tensor: name, dimensions (columns first), kind, offset of its data
    the data of the tensors, each aligned to a multiple of `general.alignment`

Every size in a file is compared with the file's own size before anything is allocated. Tensors are
mapped, not read: they are views of the file, and the system loads a page when it is used.
"""

import math
import mmap
import os
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.data.files import written_beside
from xinye.errors import XinyeError, refuse_first
from xinye.model.quantization import BLOCKS

# the `struct` code of each type of number
_NUMBERS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_SIZES = {kind: struct.calcsize(f"<{code}") for kind, code in _NUMBERS.items()}
_UINT32, _INT32, _FLOAT32, _BOOL, _TEXT, _ARRAY, _UINT64 = 4, 5, 6, 7, 8, 9, 10
_KINDS = {
    "f32": 0,
    "f16": 1,
    "q4_0": 2,
    "q4_1": 3,
    "q5_0": 6,
    "q8_0": 8,
    "q4_K": 12,
    "q6_K": 14,
    "bf16": 30,
}
_READ = {number: kind for kind, number in _KINDS.items()}
_UNREAD = {
    7: "q5_1",
    9: "q8_1",
    10: "q2_K",
    11: "q3_K",
    13: "q5_K",
    15: "q8_K",
    16: "iq2_xxs",
    17: "iq2_xs",
    18: "iq3_xxs",
    19: "iq1_s",
    20: "iq4_nl",
    21: "iq3_s",
    22: "iq2_s",
    23: "iq4_xs",
    24: "i8",
    25: "i16",
    26: "i32",
    27: "i64",
    28: "f64",
    29: "iq1_m",
    34: "tq1_0",
    35: "tq2_0",
    39: "mxfp4",
}
ALIGNMENT = 32
Metadata = dict[str, Any]  # texts, numbers, and lists of them, by their keys


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: its `shape` in PyTorch's order, its `kind`, and its `data`, uint8 (rows,
    bytes per row)."""

    shape: tuple[int, ...]
    kind: str
    data: Tensor


def read_gguf(path: Path) -> tuple[Metadata, dict[str, Stored]]:
    """The metadata and tensors of a file. Raises `XinyeError` if it is not GGUF, damaged or
    unsupported."""
    try:
        with path.open("rb") as file:
            refuse_first((file.read(4) != b"GGUF", "not a GGUF file"))
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        with content:
            whole = torch.from_file(str(path), size=len(content), dtype=torch.uint8)
            return _Header(content).read(whole)
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except XinyeError as error:
        raise XinyeError(f"{path}: {error}") from None


def value_of(metadata: Metadata, key: str, kind: type, default: Any = None) -> Any:
    """A value of the metadata. Raises `XinyeError` if it is missing without a default, of another
    type, or out of range."""
    value = metadata.get(key, default)
    shown = str(value)[:40]
    refuse_first(
        (value is None, f"{key} is missing"),
        (type(value) is not kind, f"{key} is {shown!r}; it must be of type {kind.__name__}"),
        (
            isinstance(value, int | float) and not 0 <= value < 2**31,
            f"{key} is {shown}, which is out of range",
        ),
    )
    return value


class _Header:
    """Reads the header of a file value by value, and never beyond the end of the file."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content, self.at = content, 4

    def read(self, whole: Tensor) -> tuple[Metadata, dict[str, Stored]]:
        version = self.number(_UINT32)
        if version not in (2, 3):
            raise XinyeError(
                f"GGUF version {version} is not supported; Xinye reads versions 2 and 3"
            )
        tensor_count, value_count = self.numbers(_UINT64, 2)
        self.room(tensor_count, 24)
        self.room(value_count, 13)
        metadata: Metadata = {}
        for _ in range(value_count):
            key = self.text()
            if key in metadata:
                raise XinyeError(f"damaged ({_short(key)} occurs twice)")
            metadata[key] = self.value(key)
        alignment = metadata.get("general.alignment", ALIGNMENT)
        if type(alignment) is not int or not 8 <= alignment <= 2**16 or alignment & (alignment - 1):
            raise XinyeError(
                f"general.alignment is {_short(alignment)}; it must be a power of two of at least 8"
            )
        described = [self.tensor(alignment) for _ in range(tensor_count)]
        return metadata, _mapped(
            sorted(described, key=lambda each: each[3]),
            whole[-(-self.at // alignment) * alignment :],
        )

    def room(self, count: int, size: int) -> None:
        """Raise `XinyeError` if the rest of the file cannot hold `count` items of at least `size`
        bytes each."""
        if count * size > len(self.content) - self.at:
            raise XinyeError(
                "damaged or cut short (the header describes more data than the file contains)"
            )

    def numbers(self, kind: int, count: int) -> tuple[Any, ...]:
        size = count * _SIZES[kind]
        self.room(size, 1)
        self.at += size
        code = f"<{count}{_NUMBERS[kind]}"
        return struct.unpack_from(code, self.content, self.at - size)

    def number(self, kind: int) -> Any:
        return self.numbers(kind, 1)[0]

    def text(self) -> str:
        length = self.number(_UINT64)
        self.room(length, 1)
        self.at += length
        try:
            return self.content[self.at - length : self.at].decode("utf-8")
        except UnicodeDecodeError:
            raise XinyeError("damaged (a text is not valid UTF-8)") from None

    def value(self, key: str) -> Any:
        kind = self.number(_UINT32)
        if kind == _ARRAY:
            kind, count = self.number(_UINT32), self.number(_UINT64)
            return self.values(kind, count, key)
        (value,) = self.values(kind, 1, key)
        # 1e-05, not 9.999999747378752e-06
        return float(str(np.float32(value))) if kind == _FLOAT32 else value

    def values(self, kind: int, count: int, key: str) -> list[Any]:
        if kind == _TEXT:
            self.room(count, 8)
            return [self.text() for _ in range(count)]
        if kind not in _NUMBERS:
            raise XinyeError(f"damaged ({_short(key)} has the unknown type {kind})")
        return list(self.numbers(kind, count))

    def tensor(self, alignment: int) -> tuple[str, tuple[int, ...], str, int]:
        """The name, shape and kind of a tensor, and the offset of its data after the header."""
        name, dimensions = self.text(), self.number(_UINT32)
        if not 1 <= dimensions <= 4:
            raise XinyeError(f"damaged (tensor {_short(name)} has {dimensions} dimensions)")
        shape = self.numbers(_UINT64, dimensions)[::-1]
        code, start = self.number(_UINT32), self.number(_UINT64)
        if code not in _READ:
            raise XinyeError(
                f"tensor {_short(name)} has type {_UNREAD.get(code, code)}, which is not "
                f"supported; Xinye reads {', '.join(_KINDS)}"
            )
        kind = _READ[code]
        refuse_first(
            (
                min(shape) < 1 or shape[-1] % BLOCKS[kind][0],
                f"damaged (tensor {_short(name)} has shape {[*shape]}, impossible for {kind})",
            ),
            (
                start % alignment,
                f"damaged (tensor {_short(name)} begins at {start}, not a multiple of {alignment})",
            ),
        )
        return name, shape, kind, start


def _mapped(
    described: list[tuple[str, tuple[int, ...], str, int]], data: Tensor
) -> dict[str, Stored]:
    """The tensors as views of the data. Raises `XinyeError` if one reaches beyond it or overlaps
    another."""
    tensors: dict[str, Stored] = {}
    reached, before = 0, ""
    for name, shape, kind, start in described:
        values, size = BLOCKS[kind]
        row, rows = shape[-1] // values * size, math.prod(shape[:-1])
        end = start + rows * row
        refuse_first(
            (
                end > len(data),
                f"damaged or cut short (tensor {_short(name)} ends {end - len(data):,} bytes "
                "after the end of the file)",
            ),
            (
                start < reached,
                f"damaged (tensors {_short(before)} and {_short(name)} overlap)",
            ),
            (name in tensors, f"damaged (tensor {_short(name)} occurs twice)"),
        )
        tensors[name] = Stored(shape, kind, data[start:end].view(rows, row))
        reached, before = end, name
    return tensors


@dataclass(frozen=True)
class Outgoing:
    """A tensor to be written. `make` computes its blocks, uint8 (rows, bytes per row), when they
    are needed."""

    name: str
    shape: tuple[int, ...]
    kind: str
    make: Callable[[], Tensor]

    @property
    def size(self) -> int:
        values, size = BLOCKS[self.kind]
        return math.prod(self.shape) // values * size


def write_gguf(path: Path, metadata: Metadata, tensors: Iterable[Outgoing]) -> None:
    """Write a file under another name and rename it. Only one tensor at a time is in memory."""
    tensors = list(tensors)
    header = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
    header += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    start = 0
    for tensor in tensors:
        dimensions, kind = len(tensor.shape), _KINDS[tensor.kind]
        about = struct.pack(f"<I{dimensions}QIQ", dimensions, *reversed(tensor.shape), kind, start)
        header += _text(tensor.name) + about
        start += -(-tensor.size // ALIGNMENT) * ALIGNMENT
    try:
        with written_beside(path) as beside, beside.open("wb") as file:
            file.write(header + bytes(-len(header) % ALIGNMENT))
            for tensor in tensors:
                blocks = tensor.make().contiguous()
                file.write(blocks.numpy().data)
                file.write(bytes(-blocks.numel() % ALIGNMENT))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise XinyeError(f"{path}: cannot be written ({error.strerror})", exit_code=1) from error


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    """The type and value as bytes. Integers are unsigned 32-bit, those in arrays signed."""
    if isinstance(value, str):
        return struct.pack("<I", _TEXT) + _text(value)
    if isinstance(value, bool | int | float):
        kind = _BOOL if isinstance(value, bool) else _UINT32 if isinstance(value, int) else _FLOAT32
        return struct.pack("<I" + _NUMBERS[kind], kind, value)
    kind = _TEXT if not value or isinstance(value[0], str) else _INT32
    data = b"".join(map(_text, value)) if kind == _TEXT else np.array(value, "<i4").tobytes()
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + data


def _short(name: Any) -> str:
    """A name from a file, shortened for one line of a message."""
    return repr(name if len(repr(name)) <= 60 else str(name)[:56] + "…")
