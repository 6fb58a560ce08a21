"""Text cleaned between file and tokenizer: what no model should learn goes, and the rest stays as
it was written.

Line ends become "\\n"; control characters and byte order marks go, always. White space is kept: a
model of code needs it. Duplicates, short documents, Unicode forms and the two Chinese scripts are a
matter of settings.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import cache, partial
from itertools import chain, pairwise
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from xinye.data.duplicates import NearlySeen, Seen
from xinye.data.encodings import with_newlines
from xinye.data.sources import Piece
from xinye.libraries import need

# Category Cc but \n and \t, U+FEFF, U+FFFE, lone surrogates. Matching the good characters is
# several times faster than searching for a bad one.
_GOOD = re.compile(r"[\t\n -~\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\uffff\U00010000-\U0010ffff]*+")
_BAD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe]")

# A document in a form of its own stays that.
AnyPiece = TypeVar("AnyPiece", bound=Piece)


class Cleaning(BaseModel):
    """How text is cleaned before a tokenizer or a model sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duplicates: bool = Field(True, description="drop documents that repeat an earlier one exactly")
    unicode: Literal["keep", "NFC", "NFKC"] = Field(
        "keep",
        description=(
            "Unicode normal form: NFC composes accents; NFKC also turns "
            "full-width forms such as ， into ASCII"
        ),
    )
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description=(
            "drop documents whose similarity to an earlier one is about this or higher "
            "(Jaccard similarity of 5-character sequences), such as 0.8"
        ),
    )
    minimum_characters: int = Field(
        0, ge=0, description="drop documents with fewer characters than this"
    )
    chinese: Literal["keep", "simplified", "traditional"] = Field(
        "keep", description="convert all Chinese to simplified or traditional characters"
    )

    def check_libraries(self) -> None:
        """Raises `XinyeError` where a package is missing that this cleaning needs."""
        if self.chinese != "keep":
            need("simplified and traditional Chinese", "opencc")
        if self.near_duplicates:
            need("finding near duplicates", "datasketch")


def clean(
    pieces: Iterable[AnyPiece], settings: Cleaning, dropped: Counter[str] | None = None
) -> Iterator[AnyPiece]:
    """The pieces, cleaned, without the documents that the settings drop or that nothing is left of.

    `dropped` counts documents by reason ("empty", "short", "duplicate", "near duplicate") and the
    removed "control characters". Rules for documents hold for those of one piece; a document in
    several is far too long to be short, and its pieces are cleaned one by one. Normal forms and
    scripts come out the same piece by piece, because pieces are cut at line ends. Of each document
    a 16-byte digest is remembered, and 0.5 kB or more to find near duplicates (some 5 MB/s; another
    script 15 MB/s).

    Raises XinyeError where `near_duplicates` or `chinese` need a package that is not installed.

    >>> pieces = [Piece("新叶\\r\\n", "a"), Piece("新叶\\n", "b")]
    >>> [piece.text for piece in clean(pieces, Cleaning())]
    ['新叶\\n']
    """
    settings.check_libraries()
    dropped = Counter() if dropped is None else dropped
    rewrite, reasons = _rewriting(settings), _reasons(settings)
    starts = True
    with_end: Iterable[AnyPiece | None] = chain(pieces, [None])
    for piece, following in pairwise(with_end):
        assert piece is not None
        text = with_newlines(piece.text)
        if not _GOOD.fullmatch(text):
            text, removed = _BAD.subn("", text)
            dropped["control characters"] += removed
        for step in rewrite:
            text = step(text)
        starts = starts or piece.first  # where the first piece is dropped, the next one starts
        reason = None if text else "empty"
        if text and piece.first and (following is None or following.first):  # a whole document
            reason = next((name for name, applies in reasons.items() if applies(text)), None)
        if reason:
            dropped[reason] += 1
            continue
        if text is not piece.text or starts != piece.first:
            piece = replace(piece, text=text, first=starts)
        yield piece
        starts = False


def _rewriting(settings: Cleaning) -> list[Callable[[str], str]]:
    """What changes the characters of a text, in order."""
    steps: list[Callable[[str], str]] = []
    if settings.unicode != "keep":
        steps.append(partial(normalize, settings.unicode))
    if settings.chinese != "keep":
        import opencc

        steps.append(opencc.OpenCC("t2s" if settings.chinese == "simplified" else "s2t").convert)
    return steps


def normalize(form: Literal["NFC", "NFKC"], text: str) -> str:
    """What `unicodedata.normalize` gives, which puts stacked accents in order by comparing each
    with all before it: long stacks are given to it in order."""
    return unicodedata.normalize(form, _stacks().sub(_in_order, text))


@cache
def _stacks() -> re.Pattern[str]:
    """More accents on a letter than any language writes."""
    characters = map(chr, range(0x110000))
    accents = "".join(
        character
        for character in characters
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0])
    )
    return re.compile(f"[{re.escape(accents)}]{{31,}}")


def _in_order(stack: re.Match[str]) -> str:
    accents = chain.from_iterable(unicodedata.normalize("NFD", each) for each in stack[0])
    return "".join(sorted(accents, key=unicodedata.combining))


def _reasons(settings: Cleaning) -> dict[str, Callable[[str], bool]]:
    """Why a whole document is dropped, in the order in which that is found out."""
    reasons: dict[str, Callable[[str], bool]] = {
        "empty": str.isspace,
        "short": lambda text: len(text) < settings.minimum_characters,
    }
    if settings.duplicates:
        reasons["duplicate"] = Seen().before
    if settings.near_duplicates:
        reasons["near duplicate"] = NearlySeen(settings.near_duplicates).before
    return reasons
