"""Han characters, the script of Chinese: in the base plane, its extensions and the compatibility
characters. The ranges are those of Unicode 15."""

import re

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # to stand in [brackets]
_HAN = re.compile(f"[{HAN}]")


def is_han(text: str) -> bool:
    """True if a text begins with a Han character.

    >>> is_han("新叶"), is_han("a新"), is_han("𠮷"), is_han("")
    (True, False, True, False)
    """
    return bool(_HAN.match(text))


def has_han(text: str) -> bool:
    """True if a text has a Han character.

    >>> has_han("a新"), has_han("Kana かな")
    (True, False)
    """
    return bool(_HAN.search(text))
