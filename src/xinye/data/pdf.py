"""Extracts text from PDF and joins printed lines to paragraphs."""

import re
import unicodedata
from collections import Counter
from typing import BinaryIO

from xinye.data.html import WIDE, join_lines
from xinye.errors import XinyeError

NARROWEST = 20  # columns of the narrowest line that counts as prose; a Chinese character has two
_NUMBER = re.compile(r"\d+")
_GAP = re.compile(rf"(?<={WIDE}) +(?={WIDE})")
_ITEM = re.compile(
    r"[•·▪◦●○■*–—-]\s|\(?\d{1,3}(\.\d+)*[.)、．]|[（(]?[一二三四五六七八九十]{1,3}[)）、]|第.{1,5}[章节條条回]"
)
# state-of-the-␤art keeps the hyphen that hyphe-␤nation loses
_COMPOUND = re.compile(r"(\w-\w+)\ufffe|\ufffe(?![a-z])")


def pdf_text(file: BinaryIO) -> tuple[str, str]:
    """Title and text of a PDF, without page numbers and running heads. Raises XinyeError for a
    damaged or encrypted PDF, and for one without text.
    """
    import pypdfium2

    try:
        with pypdfium2.PdfDocument(file) as document:
            title = document.get_metadata_dict(skip_empty=True).get("Title", "")
            pages = []
            for page in document:
                pages.append(page.get_textpage().get_text_range().splitlines())
                page.close()
    except pypdfium2.PdfiumError as error:
        locked = "password" in str(error).lower()
        raise XinyeError(
            "it needs a password" if locked else f"not a complete PDF file ({error})"
        ) from None
    text = paragraphs([line for page in without_margins(pages) for line in page])
    if not text.strip():
        raise XinyeError("its pages are images without text; run OCR on it first")
    return title, text


def without_margins(pages: list[list[str]]) -> list[list[str]]:
    """The lines of each page without page numbers, and without first and last lines that at least
    three pages share.
    """
    pages = [[line.strip() for line in page if line.strip()] for page in pages]
    seen = Counter(_NUMBER.sub("#", page[end]) for page in pages if page for end in {0, -1})
    for page in pages:
        for end in (0, -1):
            if page and (
                seen[_NUMBER.sub("#", page[end])] > 2 or re.fullmatch(r"\W*\d+\W*", page[end])
            ):
                del page[end]
    return pages


def paragraphs(lines: list[str]) -> str:
    """Printed lines joined to paragraphs, one per line. A line continues in the next one if it is
    about as long as most lines.
    """
    widths = [
        sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in line)
        for line in lines
    ]
    full = max(NARROWEST, 0.8 * sorted(widths)[int(0.8 * len(widths))] if widths else 0)
    text = ""
    for line, width in zip(lines, [0, *widths], strict=False):
        text += ("\n" if width < full or _ITEM.match(line) else "\r") + line
    joined = "\n".join(join_lines(paragraph.replace("\r", "\n")) for paragraph in text.split("\n"))
    return _GAP.sub("", _COMPOUND.sub(r"\1-", joined).replace("\ufffe", "")).strip()
