"""How many times as long a stranger's tokenizer.json can make a text: a few lines can ask for more
than any memory.

Parts are told by their fields, as the library tells them, not by a type that may be left out.
"""

import base64
import math
from typing import Any

from xinye.errors import XinyeError

MOST = 100  # Llama 2's makes 12 of one, NFKC before a byte-level split 22
MOST_PARTS = 100
_INNER = ("normalizers", "pretokenizers", "processors", "decoders")
_TIMES = {  # in bytes, at worst
    "ByteLevel": 2, "Metaspace": 4, "NFC": 3, "NFD": 3, "NFKC": 11, "NFKD": 11, "BertNormalizer": 6,
    "Lowercase": 2,
    **dict.fromkeys(
        ("Strip", "StripAccents", "Nmt", "Split", "Digits", "Punctuation", "Whitespace",
         "WhitespaceSplit", "BertPreTokenizer", "CharDelimiterSplit", "UnicodeScripts",
         "FixedLength", "RobertaProcessing", "BertProcessing", "ByteFallback", "Fuse", "CTC",
         "BPEDecoder", "WordPiece"), 1,
    ),
}  # fmt: skip
_OTHER = 4


def check_growth(data: dict[str, Any], where: str, most: float = MOST) -> None:
    """Raises `XinyeError` where a tokenizer.json could make a text more than `most` times as long,
    or has far too many parts.
    """
    for names in (("normalizer", "pre_tokenizer", "post_processor"), ("decoder",)):
        parts = [part for name in names for part in _parts(data.get(name))]
        if len(parts) > MOST_PARTS:
            raise XinyeError(
                f"{where}: {len(parts):,} parts one after the other change a text; not read, for "
                "safety"
            )
        times = math.prod(map(_times, parts))
        if times > most:
            raise XinyeError(
                f"{where}: it could make a text {times:.3g} times as long; not read, for safety"
            )


def _parts(part: Any) -> list[dict[str, Any]]:
    if not isinstance(part, dict):
        return []
    inner = next((part[name] for name in _INNER if isinstance(part.get(name), list)), None)
    return [part] if inner is None else [each for one in inner for each in _parts(one)]


def _times(part: dict[str, Any]) -> float:
    # a template, in which the text may stand again and again
    if isinstance(part.get("single"), list):
        return max(
            1, sum("Sequence" in piece for piece in part["single"] if isinstance(piece, dict))
        )
    if "pattern" in part and "content" in part:
        return _times_of_replace(
            part["pattern"], len(str(part["content"]).encode("utf-8", "replace"))
        )
    if "prepend" in part:
        return 1 + len(str(part["prepend"]).encode("utf-8", "replace"))
    if "precompiled_charsmap" in part:
        return _times_of_table(str(part["precompiled_charsmap"]))
    return _TIMES.get(str(part.get("type")), _OTHER)


def _times_of_replace(pattern: Any, content: int) -> float:
    """Of a replacement of so many bytes; a regular expression may match between all characters."""
    text = pattern.get("String") if isinstance(pattern, dict) else pattern
    if isinstance(text, str) and text:
        return max(1.0, content / len(text.encode("utf-8", "replace")))
    return 1 + content


def _times_of_table(text: str) -> float:
    """Of SentencePiece's table: the size of a tree, the tree, and what characters become, each
    ended by a zero. The longest of those is of a character of three bytes. A size that lies would
    be allocated.
    """
    try:
        table = base64.b64decode(text)
    except ValueError:
        return math.inf
    size = int.from_bytes(table[:4], "little")
    if size % 4 or not 0 < size <= len(table) - 4:
        return math.inf
    return max(1.0, max(map(len, table[4 + size :].split(b"\0"))) / 3)
