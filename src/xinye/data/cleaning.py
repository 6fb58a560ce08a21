"""Text cleaned between file and tokenizer: what no model should learn goes, and the rest stays as it was written.

Line ends become "\\n"; control characters and byte order marks go, always. White space is kept: a model of code needs
it. Duplicates, short documents, Unicode forms and the two Chinese scripts are a matter of settings.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, pairwise
from typing import Literal

import numpy
from pydantic import BaseModel, ConfigDict, Field

from xinye.data.sources import Piece
from xinye.libraries import need

SHINGLE = 5  # characters: a word of English, a phrase of Chinese
PERMUTATIONS = 128

# Category Cc but \n and \t, U+FEFF, U+FFFE, lone surrogates. Matching the good characters is several times faster
# than searching for a bad one.
_GOOD = re.compile(r"[\t\n -~\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\uffff\U00010000-\U0010ffff]*+")
_BAD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe]+")


class Cleaning(BaseModel):
    """How text is cleaned before a tokenizer or a model sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duplicates: bool = Field(
        True, description="Drop documents that stand there word for word already."
    )
    unicode: Literal["keep", "NFC", "NFKC"] = Field(
        "keep",
        description="Unicode normal form: NFC composes accents; NFKC also turns full-width forms, ， too, to ASCII.",
    )
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Drop documents about this similar (Jaccard, 5 characters) to an earlier one: 0.8.",
    )
    minimum_characters: int = Field(
        0, ge=0, description="Drop documents with fewer characters than this."
    )
    chinese: Literal["keep", "simplified", "traditional"] = Field(
        "keep", description="Write all Chinese in simplified or in traditional characters."
    )

    def check_libraries(self) -> None:
        """Raises `XinyeError` where a package is missing that this cleaning needs."""
        if self.chinese != "keep":
            need("simplified and traditional Chinese", "opencc")
        if self.near_duplicates:
            need("finding near duplicates", "datasketch")


def clean(
    pieces: Iterable[Piece], settings: Cleaning, dropped: Counter[str] | None = None
) -> Iterator[Piece]:
    """The pieces, cleaned, without the documents that the settings drop or that nothing is left of.

    `dropped` counts documents by reason ("empty", "short", "duplicate", "near duplicate") and the removed
    "control characters". Rules for documents hold for those of one piece; a document in several is far too long to
    be short, and its pieces are cleaned one by one. Normal forms and scripts come out the same piece by piece,
    because pieces are cut at line ends. Of each document a 16-byte digest is remembered, and 0.5 kB or more to find
    near duplicates (some 5 MB/s; another script 15 MB/s).

    Raises XinyeError where `near_duplicates` or `chinese` need a package that is not installed.

    >>> [piece.text for piece in clean([Piece("新叶\\r\\n", "a"), Piece("新叶\\n", "b")], Cleaning())]
    ['新叶\\n']
    """
    settings.check_libraries()
    dropped = Counter() if dropped is None else dropped
    convert = _converter(settings.chinese) if settings.chinese != "keep" else None
    nearly_seen = _near_duplicates(settings.near_duplicates) if settings.near_duplicates else None
    seen: set[bytes] = set()
    starts = True
    with_end: Iterable[Piece | None] = chain(pieces, [None])
    for piece, following in pairwise(with_end):
        assert piece is not None
        text = piece.text
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        if not _GOOD.fullmatch(text):
            length = len(text)
            text = _BAD.sub("", text)
            dropped["control characters"] += length - len(text)
        if settings.unicode != "keep":
            text = unicodedata.normalize(settings.unicode, text)
        if convert:
            text = convert(text)
        starts = (
            starts or piece.first
        )  # where the first piece is dropped, the next one starts the document
        whole = piece.first and (following is None or following.first)
        reason = None
        if not text or (whole and text.isspace()):
            reason = "empty"
        elif whole and len(text) < settings.minimum_characters:
            reason = "short"
        elif whole and settings.duplicates:
            digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
            reason = "duplicate" if digest in seen else None
            seen.add(digest)
        if not reason and whole and nearly_seen and nearly_seen(text):
            reason = "near duplicate"
        if reason:
            dropped[reason] += 1
        else:
            yield (
                piece
                if text is piece.text and starts == piece.first
                else Piece(text, piece.source, starts)
            )
            starts = False


def _converter(script: str) -> Callable[[str], str]:
    import opencc

    converter: Callable[[str], str] = opencc.OpenCC(
        "t2s" if script == "simplified" else "s2t"
    ).convert
    return converter


def _near_duplicates(threshold: float) -> Callable[[str], bool]:
    """A function that tells whether a text is nearly one it was given before."""
    from datasketch import MinHash, MinHashLSH

    empty = MinHash(PERMUTATIONS, hashfunc=int)
    # Its index leans to too many candidates, for each of them is then measured.
    index = MinHashLSH(min(threshold, 0.95), PERMUTATIONS, weights=(0.1, 0.9))
    kept: list[numpy.ndarray] = []

    def nearly_seen(text: str) -> bool:
        shingles = _shingle_hashes(text)
        if not len(shingles):
            return False
        sketch = empty.copy()
        for start in range(0, len(shingles), 4096):  # each takes 1 kB while it is sketched
            sketch.update_batch(shingles[start : start + 4096])
        values = sketch.hashvalues.astype(numpy.uint32)
        if any(
            numpy.mean(values == kept[candidate]) >= threshold for candidate in index.query(sketch)
        ):
            return True
        index.insert(len(kept), sketch, check_duplication=False)
        kept.append(values)
        return False

    return nearly_seen


def _shingle_hashes(text: str) -> list[int]:
    """A 32-bit hash of each different run of five characters."""
    codes = numpy.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    distinct: list[int] = numpy.unique(shingle_hashes(codes) >> numpy.uint64(32)).tolist()
    return distinct


def shingle_hashes(codes: numpy.ndarray) -> numpy.ndarray:
    """A 64-bit hash of each run of five code points, (N,) to (N - 4,), without a Python loop over them."""
    codes = codes.astype(numpy.uint64)
    hashes = numpy.zeros(max(0, len(codes) - SHINGLE + 1), dtype=numpy.uint64)
    for offset in range(SHINGLE if len(hashes) else 0):
        hashes = hashes * numpy.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(hashes)]
    return hashes
