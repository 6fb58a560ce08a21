"""What a text takes compressed, in bits per byte: the plainest measure of how much there is to
predict in it.
"""

import gzip
import lzma


def gzip_bits(text: bytes) -> float:
    """By `gzip -9`, which looks back 32 kB."""
    return 8 * len(gzip.compress(text, 9, mtime=0)) / len(text)


def xz_bits(text: bytes, before: bytes = b"") -> float:
    """By `xz -9e`, which looks back 64 MiB; with `before`, what the text adds to that."""
    return 8 * (_xz(before + text) - (_xz(before) if before else 0)) / len(text)


def _xz(data: bytes) -> int:
    return len(lzma.compress(data, preset=9 | lzma.PRESET_EXTREME))
