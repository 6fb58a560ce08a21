"""Escapes wikitext marks that are never closed, so that the parser treats them as characters.

For each `{{`, `[[`, `{|` or `<div>` the parser searches the rest of the page for the end. If there
is none, it starts again after the mark, so a few thousand such marks would take hours.
"""

import re
from collections import Counter

MOST_OPEN = 50  # up to this many open marks stay, and the parser reads them as MediaWiki does
ALONE = frozenset(
    ("br", "wbr", "hr", "meta", "link", "img", "li", "dt", "dd", "th", "td", "tr")
)  # tags that need no end
_MARK = re.compile(
    r"""(?x)
    (?P<begin> \{\{+ | \[+ ) | (?P<end> \}\}+ | \]+ )
  | (?P<table> \{\| ) | (?P<table_end> \|\}(?!\}) )
  | <(?P<closing> /? )(?P<tag> [A-Za-z][^\s<>/]*+ )(?P<rest> [^<>]*+ )(?P<whole> >? )
  | (?P<comment> <!-- )
    """
)


class _Open:
    """The marks that are open at a place. `never` lists those that are never closed, as (place,
    number of characters).
    """

    def __init__(self) -> None:
        self.marks: list[tuple[str, int, int]] = []  # kind, place, characters that are not closed
        self.kinds: Counter[str] = Counter()
        self.never: list[tuple[int, int]] = []

    def begin(self, kind: str, place: int, characters: int = 1) -> None:
        self.marks.append((kind, place, characters))
        self.kinds[kind] += 1

    def end(self, kind: str, characters: int = 1) -> None:
        """Close the last marks of a kind. Marks that were opened since then are never closed."""
        while characters and self.kinds[kind]:
            found, place, still_open = self.marks.pop()
            self.kinds[found] -= 1
            if found != kind:
                self.never.append((place, still_open))
                continue
            if still_open - characters > 1:
                self.begin(kind, place, still_open - characters)
            elif still_open > characters:  # one of three braces is left
                self.never.append((place, 1))
            characters -= min(characters, still_open)

    def rest(self) -> list[tuple[int, int]]:
        """All marks that are never closed, in the order of the text."""
        return sorted([*self.never, *((place, count) for _, place, count in self.marks)])


def without_open_marks(wikitext: str) -> str:
    """The wikitext unchanged, or, if it has more than `MOST_OPEN` marks that are never closed, with
    those marks as character entities.
    """
    marks = _Open()
    for match in _MARK.finditer(wikitext):
        place, length = match.start(), len(match[0])
        tag = (match["tag"] or "").lower()
        if match["begin"]:
            marks.begin(match[0][0], place, length)
        elif match["end"]:
            marks.end("{" if match[0][0] == "}" else "[", length)
        elif match["table"]:
            marks.begin("table", place)
        elif match["table_end"]:
            marks.end("table")
        elif match["comment"] or _cut_short(match):
            marks.never.append((place, 1))
        elif match["closing"]:
            marks.end(tag)
        elif tag not in ALONE and not match["rest"].endswith("/"):
            marks.begin(tag, place)
    never = marks.rest()
    if len(never) <= MOST_OPEN:
        return wikitext
    parts, at = [], 0
    for place, characters in never:
        parts += [wikitext[at:place], f"&#{ord(wikitext[place])};" * characters]
        at = place + characters
    return "".join([*parts, wikitext[at:]])


def _cut_short(tag: re.Match[str]) -> bool:
    """True if a tag, or a quote in it, does not end."""
    quotes = tag["rest"].count('"'), tag["rest"].count("'")
    return not tag["closing"] and (not tag["whole"] or any(count % 2 for count in quotes))
