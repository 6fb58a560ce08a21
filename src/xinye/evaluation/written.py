"""Figures of a text that was written freely: how much it repeats itself, and how long it is."""

import re
import unicodedata

from xinye.evaluation.tokenizers import language

RUN = 4  # tokens
LENGTH_KEPT = 0.2  # a text keeps its length if it is at most this share longer or shorter
_HAN = r"\u3400-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_TOKEN = re.compile(f"[{_HAN}]|[^\\W_{_HAN}]+")


def repetition(text: str) -> float:
    """The share of the runs of four tokens that a text has said before; a Han character or a word
    is a token.

    >>> repetition("好茶好水好茶好水")
    0.2
    """
    tokens = _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())
    runs = [tuple(tokens[at : at + RUN]) for at in range(len(tokens) - RUN + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def size(text: str) -> int:
    """The length of a text: in characters if it is mostly Chinese, else in words."""
    return len(text.strip()) if language(text) == "chinese" else len(text.split())


def keeps_length(text: str, wanted: int) -> bool:
    """Whether a text is as long as wanted, give or take a fifth."""
    return abs(size(text) - wanted) <= LENGTH_KEPT * wanted
