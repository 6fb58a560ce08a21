"""Detects a file's encoding and decodes it. The whole file is checked before the first character is
returned.

A file therefore reads exactly, or an error names the byte that does not fit; nothing is replaced or
guessed half way. This costs one more pass over the file, at the speed of the disk."""

import codecs
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from xinye.data.archives import archive_of
from xinye.data.files import check_regular, open_regular
from xinye.data.notes import Notes, place_of
from xinye.errors import XinyeError, plural

BLOCK_BYTES = 1 << 20
ASCII = bytes(range(128))
FEW_BYTES = 10  # a guess that rests on fewer bytes adds a note
NAMES = {"cp1252": "Windows-1252", "big5hkscs": "Big5"}  # the names of encodings in messages
# For each encoding: the older one with the everyday characters, and the largest lead byte of those.
# Japanese and Korean are among them because they are everyday Chinese, too, if read as such.
USUAL = {
    "gb18030": ("gb2312", 0xD7),
    "big5hkscs": ("big5", 0xC6),
    "euc_jp": ("euc_jp", 0xCF),
    "euc_kr": ("euc_kr", 0xC8),
}
MOST = 0.8  # the share of them in an encoding that fits, in lists of names, too
LEAD = 0.1  # and how much larger that is than in the others
# The encoding is guessed from this many bytes on either side of the first byte that is not UTF-8.
SAMPLE_BYTES = 32768
BYTE_ORDER_MARKS = {  # the longest first: UTF-32-LE begins like UTF-16-LE
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BINARY_FORMATS = {
    b"PK\x03\x04": "a zip archive, or a Word, Excel or EPUB file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "an executable program",
    b"\xd0\xcf\x11\xe0": "an old Word or Excel file",
    b"Rar!\x1a": "a RAR archive",
    b"7z\xbc\xaf": "an archive of 7-Zip",
    b"\x1f\x8b": "gzip data whose name does not end in .gz",
    b"(\xb5/\xfd": "zstd data",
    b"\xfd7zXZ": "xz data",
}
# These make up 13 to 35 % of Chinese text of any age, and less than 1 % of text in a wrong
# encoding.
COMMON_CHINESE = re.compile(
    "[的一是不了在人有我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會也你对對生能而子那得于着下自之，"
    "。、！？：；「」“”《》]"
)
_WRITTEN = re.compile(
    r"[\t\n\r -~\xa0-\u052f\u2010-\u2040\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_WESTERN = re.compile("[À-ÖØ-öø-ÿ‘’‚“”„–—…•€™©®°£«»§·½¼¡¿\xa0]+")


@dataclass(frozen=True)
class _Reading:
    """How files are read at present: whether bad bytes are replaced, the notes to add to, and the
    files that already have a note."""

    replaces: bool
    notes: Notes
    noted: set[Path] = field(default_factory=set)


# A context variable and not an argument, because all readers of a file, however deep, must agree.
_reading: ContextVar[_Reading | None] = ContextVar("reading", default=None)


@contextmanager
def bad_bytes(what: str, notes: Notes) -> Iterator[None]:
    """Within this context, what to do with bytes that fit no encoding.

    "replace" reads them as � and adds a note to `notes`. "refuse" makes a file with such bytes an
    error, unless an outer context replaces them."""
    reading = _reading.get()
    if what == "replace" or not reading:
        reading = _Reading(what == "replace", notes)
    token = _reading.set(reading)
    try:
        yield
    finally:
        _reading.reset(token)


def _replaces() -> bool:
    reading = _reading.get()
    return reading is not None and reading.replaces


def open_bytes(path: Path) -> BinaryIO:
    """A file opened for reading bytes; a .gz file is decompressed."""
    if path.suffix.lower() != ".gz":
        return open_regular(path)
    check_regular(path)
    return cast(BinaryIO, gzip.open(open_regular(path) if archive_of(path) else path))


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's decompressed bytes in blocks. Detecting the encoding reads through this first, so
    damaged files fail here."""
    try:
        with open_bytes(path) as file:
            yield from iter(partial(file.read, BLOCK_BYTES), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise XinyeError(
            f"{path}: the gzip data is damaged or cut short ({error}); download the file again"
        ) from None
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None


def open_text(path: Path) -> TextIO:
    """A text file, opened in its detected encoding. Raises `XinyeError` as `detect_encoding`
    does."""
    return open_as(path, detect_encoding(path))


def open_as(path: Path, encoding: str, newline: str | None = None) -> TextIO:
    """A text file, opened in an encoding that was detected before. `newline` is as in `open`:
    without it, "\\n" is the only line end."""
    errors = "replace" if _replaces() else "strict"
    return io.TextIOWrapper(open_bytes(path), encoding, errors, newline)


def with_newlines(text: str) -> str:
    """The text with "\n" as its only line end."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def detect_encoding(path: Path) -> str:
    """The Python name of the encoding in which the whole decompressed file can be read.

    The order is: byte order marks, UTF-8, UTF-16 and UTF-32 without a mark, GB18030, Big5, and last
    the guess of charset-normalizer. A short text in an old encoding can be valid in another one,
    too: a few Chinese characters alone in GB18030 or Big5 may be misread; about ten are enough.

    Raises XinyeError for a binary or damaged file, and for text in no single encoding, with the
    offset of the byte that does not fit."""
    head = next(_blocks(path), b"")
    for magic, kind in BINARY_FORMATS.items():
        if head.startswith(magic):
            raise XinyeError(
                f"{path}: this is {kind}, not text; unpack it, export it as text, or leave it out"
            )
    encoding = _marked(head)
    if not encoding and b"\0" in head:
        encoding = _wide_encoding(head[:65536])
    misfit = _first_misfit(path, encoding or "utf-8")
    if not misfit:
        return encoding or "utf-8"
    offset, value = misfit
    if not encoding and value == 0:
        raise XinyeError(
            f"{path}: this is a binary file, not text (zero byte at offset {offset}); leave it out"
        )
    if encoding:
        return _damaged(path, encoding, misfit, f"{_name(encoding)}, in which the file begins")
    with open_bytes(path) as file:
        start = file.seek(max(0, offset - SAMPLE_BYTES))
        sample = file.read(offset + SAMPLE_BYTES - start)
    older = _older_encoding(sample, offset - start, _replaces())
    if not older:
        return _damaged(path, "utf-8", misfit, "UTF-8, and no other encoding fits")
    first, misfit = misfit, _first_misfit(path, older)
    if misfit:
        return _damaged(path, older, misfit, f"{_name(older)}, which the file looks like")
    sure = older == _older_encoding(sample, offset - start)
    _note_doubt(path, older, first[0], sure)
    return older


def _name(encoding: str) -> str:
    return NAMES.get(encoding, encoding.removesuffix("-sig").upper())


def _note_doubt(path: Path, encoding: str, first: int, sure: bool) -> None:
    """Add a note if the encoding is a guess from a few bytes, which may be damage instead, or if it
    only fits because bad bytes are replaced. `first` is the offset of the first such byte."""
    reading = _reading.get()
    if not reading or path in reading.noted:
        return
    count = sum(len(block.translate(None, ASCII)) for block in _blocks(path))
    if count < FEW_BYTES or not sure:
        reading.noted.add(path)
        are = plural(count, "byte is", "bytes are")
        place = place_of(path, _line_of(path, encoding, first))
        reading.notes.add(place, f"read as {_name(encoding)}, a guess: {are} not ASCII")


def _damaged(path: Path, encoding: str, misfit: tuple[int, int], what: str) -> str:
    """The encoding of a damaged file, with a note, if bad bytes are replaced. Raises `XinyeError`
    otherwise."""
    offset, value = misfit
    line = _line_of(path, encoding, offset)
    problem = f"{path}: byte 0x{value:02X} at offset {offset} (line {line}) is not {what}"
    reading = _reading.get()
    if not reading or not reading.replaces:
        raise XinyeError(
            f"{problem}; convert the file to UTF-8, or use --bad-bytes replace to read such bytes "
            "as �"
        )
    if path in reading.noted:
        return encoding
    if not encoding.startswith(("utf-16", "utf-32")) and any(0 in block for block in _blocks(path)):
        raise XinyeError(
            f"{problem}, and the file has zero bytes: it is a binary file; leave it out"
        )
    reading.noted.add(path)
    count = _replaced(path, encoding, "replace") - _replaced(path, encoding, "ignore")
    bad = plural(count, "bad byte")
    note = f"read as {_name(encoding)}: {bad} replaced by �, the first at offset {offset}"
    reading.notes.add(place_of(path, line), note)
    return encoding


def _line_of(path: Path, encoding: str, offset: int) -> int:
    """The number of the line that contains a byte."""
    decoder = codecs.getincrementaldecoder(encoding)("ignore")
    lines = io.IncrementalNewlineDecoder(decoder, translate=True)
    count = 1
    for block in _blocks(path):
        count += lines.decode(block[:offset]).count("\n")
        offset -= len(block)
        if offset <= 0:
            break
    return count


def _replaced(path: Path, encoding: str, errors: str) -> int:
    """The number of � in a file, decoded with this error handler."""
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    blocks = chain(_blocks(path), [b""])
    return sum(decoder.decode(block, not block).count("\ufffd") for block in blocks)


def decode(raw: bytes, declared: str | None = None, what: str = "the text") -> str:
    """The text of bytes that are not a file, such as a page or a mail. The `declared` encoding is
    used if it fits; otherwise the encoding is guessed.

    Raises XinyeError, which calls the bytes `what`, if no encoding fits."""
    name = (declared or "utf-8").lower()
    if name in ("gb2312", "gbk", "gb_2312-80", "x-gbk"):
        name = "gb18030"  # texts declared as GB2312 or GBK often use characters of GB18030
    offset = 0
    for encoding in (_marked(raw), name, "utf-8"):
        try:
            text = raw.decode(encoding or "utf-8")
        except UnicodeDecodeError as error:
            offset = error.start
            continue
        except LookupError:
            continue
        if text or not raw:  # a byte order mark alone is not a text
            return text
    start = max(0, offset - SAMPLE_BYTES)
    older = _older_encoding(raw[start : offset + SAMPLE_BYTES], offset - start)
    with suppress(UnicodeDecodeError):
        if older:
            return raw.decode(older)
    raise XinyeError(
        f"{what} is not valid Unicode text: byte 0x{raw[offset]:02X} at offset {offset} "
        "is not UTF-8, and no other encoding fits; convert it to UTF-8"
    )


def line_ends(path: Path, encoding: str) -> Counter[str]:
    """How many lines end with "CRLF", "LF" and "CR"."""
    counts: Counter[str] = Counter()
    with open_as(path, encoding, newline="") as file:
        for block in iter(partial(file.read, BLOCK_BYTES), ""):
            while block[-1] == "\r" and (more := file.read(1)):
                block += more
            both = block.count("\r\n")
            counts.update(CRLF=both, LF=block.count("\n") - both, CR=block.count("\r") - both)
    return +counts


def _marked(head: bytes) -> str | None:
    """The encoding that a byte order mark names, or None."""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None)


def _wide_encoding(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark, or None. The text must mostly be written characters, with
    some ASCII or everyday Chinese."""
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        # Half a character at the end does not make the file binary; `detect_encoding` reports it
        # later.
        text = codecs.getincrementaldecoder(encoding)("replace").decode(sample)
        usual = len(re.findall(r"[\t\n\r -~]", text)) + len(COMMON_CHINESE.findall(text))
        if usual > len(text) / 10 and len(_WRITTEN.findall(text)) > len(text) * 0.9:
            return encoding
    return None


def _older_encoding(sample: bytes, misfit: int, replaces: bool = False) -> str | None:
    """The encoding of a sample that is not Unicode, or None if no guess is sure. At `misfit` the
    sample is not UTF-8. If bad bytes are replaced, only the other characters must look like text.
    """
    as_unicode = _not_ascii(sample, "utf-8", "replace")
    # Damaged UTF-8 has no older encoding: another one would turn all its good characters to
    # rubbish.
    proper = len(_not_ascii(sample[:misfit], "utf-8")) > 3
    if proper or as_unicode.count("�") < len(as_unicode) / 2:
        return None
    shares = {}
    for encoding in ("big5hkscs", "gb18030"):
        text = _not_ascii(sample, encoding) or "?"
        shares[encoding] = len(COMMON_CHINESE.findall(text)) / len(text)
    best = max(("gb18030", "big5hkscs"), key=lambda encoding: shares[encoding])
    if shares[best] > 0.1:
        return best
    whole = 2 * len(text) == len(text.encode("gb2312", "ignore"))
    if len(text) < 50 and whole and (replaces or _fits(sample, "gb18030")):
        # A title or a name may contain no common character; then all of them must be in GB2312.
        return "gb18030"
    # Western text. Checked first because charset-normalizer mixes up languages by their accents.
    high = len(re.findall(rb"[\x80-\xff]", sample))
    few = high < len(sample) / 4
    text = sample.decode("cp1252", "ignore" if replaces else "replace")
    if few and all(_WESTERN.fullmatch(run) for run in _NOT_ASCII.findall(text)):
        return "cp1252"
    fitting = [each for each in USUAL if _fits(sample, each)] if high > 2 * FEW_BYTES else []
    if replaces and not fitting:
        fitting = ["gb18030", "big5hkscs"]
    usual = sorted((_share_of_usual(sample, encoding), encoding) for encoding in fitting)
    *others, (share, likely) = [(0.0, ""), *usual]
    if share > MOST and all(share - other > LEAD for other, _ in others):
        return likely
    if few:
        return None
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return guess.encoding if guess and guess.coherence > 0 else None


def _share_of_usual(sample: bytes, encoding: str) -> float:
    """The share of a sample's characters that are signs or everyday Chinese (3,755 characters in
    GB2312, 5,401 in Big5), or everyday Japanese, or Hangul."""
    text = _not_ascii(sample, encoding, "replace")
    name, last = USUAL[encoding]
    pairs = text.encode(name, "ignore")
    return sum(first <= last for first in pairs[::2]) / len(text)


def _fits(sample: bytes, encoding: str) -> bool:
    """Whether a sample, which may end within a character, is valid in an encoding."""
    try:
        codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    return True


def _not_ascii(sample: bytes, encoding: str, errors: str = "ignore") -> str:
    return "".join(_NOT_ASCII.findall(sample.decode(encoding, errors)))


def _first_misfit(path: Path, encoding: str) -> tuple[int, int] | None:
    """Offset and value of the file's first byte that is not valid in this encoding, or None."""
    # With "-sig" the offsets would not count the mark.
    decoder = codecs.getincrementaldecoder(encoding.removesuffix("-sig"))()
    zeros_belong = encoding.startswith(("utf-16", "utf-32"))
    offset = 0
    for block in chain(_blocks(path), [b""]):
        # the first bytes of a character that the previous block cut
        waiting = decoder.getstate()[0]
        zero = -1 if zeros_belong else block.find(0)
        try:
            decoder.decode(block if zero < 0 else block[:zero], final=not block or zero >= 0)
        except UnicodeDecodeError as error:
            return offset - len(waiting) + error.start, error.object[error.start]
        if zero >= 0:
            return offset + zero, 0
        offset += len(block)
    return None
