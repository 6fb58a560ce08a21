"""The size of compressed text in bits per byte: the simplest measure of how predictable a text
is.
"""

import gzip
import lzma


def gzip_bits(text: bytes) -> float:
    """Bits per byte with `gzip -9`, whose window is 32 kB."""
    return 8 * len(gzip.compress(text, 9, mtime=0)) / len(text)


def xz_bits(text: bytes, before: bytes = b"") -> float:
    """Bits per byte with `xz -9e`, whose window is 64 MiB. With `before`, only what the text adds
    to it.
    """
    return 8 * (_xz(before + text) - (_xz(before) if before else 0)) / len(text)


def _xz(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
