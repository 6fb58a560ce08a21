"""Cleans text before it is tokenized: removes what no model should learn and keeps the rest as it
was written.

Cleaning always turns line ends into "\\n" and removes control characters and byte order marks. It
keeps white space, because a model of code needs it. `Cleaning` has the settings for duplicates,
short documents, Unicode forms, and simplified or traditional Chinese.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from itertools import chain, pairwise
from typing import Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from xinye.data.duplicates import NearlySeen, Seen
from xinye.data.encodings import with_newlines
from xinye.data.sources import Piece
from xinye.libraries import need

# All of category Cc except \n and \t, U+FEFF, U+FFFE, and lone surrogates. Matching the good
# characters is several times faster than searching for a bad one.
_GOOD = re.compile(r"[\t\n -~\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\uffff\U00010000-\U0010ffff]*+")
_BAD = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufeff\ufffe]")

RENAMED = {"duplicates": "drop_duplicates"}  # settings of older runs, and what they are called now

# `clean` returns pieces of the class that it was given.
AnyPiece = TypeVar("AnyPiece", bound=Piece)


class Cleaning(BaseModel):
    """Settings for cleaning text before a tokenizer or a model sees it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    drop_duplicates: bool = Field(
        True,
        description="drop documents that repeat an earlier one exactly",
        validation_alias=AliasChoices("drop_duplicates", *RENAMED),
    )
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
        """Raises `XinyeError` if these settings need a package that is not installed."""
        if self.chinese != "keep":
            need("simplified and traditional Chinese", "opencc")
        if self.near_duplicates:
            need("finding near duplicates", "datasketch")


def clean(
    pieces: Iterable[AnyPiece], settings: Cleaning, dropped: Counter[str] | None = None
) -> Iterator[AnyPiece]:
    """The pieces with cleaned text, without the documents that the settings drop and without empty
    ones.

    `dropped` counts the dropped documents by reason ("empty", "short", "duplicate", "near
    duplicate") and the removed "control characters". Only documents of a single piece are checked
    for length and duplicates; a document in several pieces is cleaned piece by piece. Pieces are
    cut at line ends, so normal forms and scripts give the same text either way. Memory per
    document: a 16-byte digest, and at least 0.5 kB to find near duplicates. Speed: about 5 MB/s
    with near duplicates, 15 MB/s when converting Chinese.

    Raises XinyeError if `near_duplicates` or `chinese` need a package that is not installed.

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
        # If the first piece of a document is dropped, the next one starts the document.
        starts = starts or piece.first
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


def left_out(dropped: Mapping[str, int]) -> str:
    """What `clean` dropped, in words."""
    return "left out: " + ", ".join(f"{count:,} {reason}" for reason, count in dropped.items())


def _rewriting(settings: Cleaning) -> list[Callable[[str], str]]:
    """The functions that change a text, in the order in which they run."""
    steps: list[Callable[[str], str]] = []
    if settings.unicode != "keep":
        steps.append(partial(normalize, settings.unicode))
    if settings.chinese != "keep":
        import opencc

        steps.append(opencc.OpenCC("t2s" if settings.chinese == "simplified" else "s2t").convert)
    return steps


def normalize(form: Literal["NFC", "NFKC"], text: str) -> str:
    """The text in a Unicode normal form, as `unicodedata.normalize` returns it. That function takes
    quadratic time for a long stack of accents, so such stacks are sorted first.
    """
    return unicodedata.normalize(form, _stacks().sub(_in_order, text))


@cache
def _stacks() -> re.Pattern[str]:
    """A pattern for more accents on one letter than any language writes."""
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
    """The reasons for dropping a whole document, with their tests, in the order in which they
    run.
    """
    reasons: dict[str, Callable[[str], bool]] = {
        "empty": str.isspace,
        "short": lambda text: len(text) < settings.minimum_characters,
    }
    if settings.drop_duplicates:
        reasons["duplicate"] = Seen().before
    if settings.near_duplicates:
        reasons["near duplicate"] = NearlySeen(settings.near_duplicates).before
    return reasons
