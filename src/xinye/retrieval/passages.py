"""Cuts a document into passages: the articles of a law, or the paragraphs under each heading."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

LONGEST = 600  # characters of a passage
ENOUGH = 300  # a passage of so many characters takes no further paragraph
LONGEST_HEADING = 200  # characters of a heading that are kept
ARTICLES = 3  # a text with so many articles is cut at articles

_NUMERAL = "[一二三四五六七八九十百千零〇0-9]+"
_ARTICLE = re.compile(rf"(?m)^[ \t　]*(第{_NUMERAL}条(?:之{_NUMERAL})?)(?=[\s　：:])")
_HEADING = re.compile(
    r"(?m)^(?P<marks>#{1,6})[ \t]+(?P<title>\S.*)$"
    rf"|^[ \t　]*(?P<part>第{_NUMERAL}[编章节](?:[ \t　]+\S.{{0,40}})?)[ \t]*$"
)
_PARAGRAPH = re.compile(r"\S(?:.|\n(?![ \t　]*\n))*")
_SENTENCE_END = re.compile(r"[。！？；!?;]+[”』」）)]*|\.(?=\s)|\n")
_SPACE = re.compile(r"\s*")
_LEVELS = {"编": 1, "章": 2, "节": 3}


@dataclass(frozen=True)
class Passage:
    """A part of a document. `offset` is its first character in the document's text; `section` is
    the article, or the headings above it."""

    text: str
    offset: int
    section: str = ""


def cut(text: str) -> Iterator[Passage]:
    """The passages of a document, in order. No sentence is lost, and none stands in two passages.

    A passage ends at the end of a paragraph, and within a long paragraph at the end of a sentence.
    """
    articles = [*_ARTICLE.finditer(text)]
    if len(articles) >= ARTICLES:
        yield from _cut_paragraphs(text, 0, articles[0].start(), of_a_law=True)
        ends = [*(article.start() for article in articles[1:]), len(text)]
        for article, end in zip(articles, ends, strict=True):
            yield from _cut_article(text, article, end)
    else:
        yield from _cut_paragraphs(text, 0, len(text))


def _cut_article(text: str, article: re.Match[str], end: int) -> Iterator[Passage]:
    """An article; headings at its end belong to the next one."""
    heading = _HEADING.search(text, article.start(), end)
    last = heading.start() if heading else end
    for begin, stop in _short_enough(text, article.start(), last):
        yield Passage(text[begin:stop], begin, article[1])
    if heading:
        # What follows a heading and is no article, such as an annex, is not lost.
        yield from _cut_paragraphs(text, last, end, of_a_law=True)


def _cut_paragraphs(text: str, begin: int, end: int, of_a_law: bool = False) -> Iterator[Passage]:
    """Neighbouring paragraphs under the same headings, together up to `ENOUGH` characters. A
    heading that has nothing under it is a separate passage, except among the articles of a law."""
    above: dict[int, tuple[str, int, int]] = {}  # by level: the heading, where it begins and ends
    used: set[int] = set()  # where headings begin that have something under them
    start: int | None = None
    stop = begin

    def section() -> str:
        return " › ".join(above[level][0] for level in sorted(above))

    def done() -> Iterator[Passage]:
        if start is not None:
            used.update(at for _, at, _ in above.values())
            for first, last in _short_enough(text, start, stop):
                yield Passage(text[first:last], first, section())

    def closed(level: int) -> Iterator[Passage]:
        """The headings from this level down that end without anything under them."""
        for each in sorted(above):
            name, at, last = above[each]
            if each >= level and at not in used and not of_a_law:
                used.update(other for _, other, _ in above.values())
                for first, stop in _short_enough(text, at, last):
                    yield Passage(text[first:stop], first, name)
        for each in [each for each in above if each >= level]:
            del above[each]

    for line in _blocks(text, begin, end):
        heading = _HEADING.fullmatch(text, *line)
        if heading:
            yield from done()
            start = None
            level = len(heading["marks"] or "") or _LEVELS[re.sub("[^编章节]", "", heading[0])[0]]
            yield from closed(level)
            title = heading["title"] or heading["part"]
            title = (title.rstrip(" \t#") or title).strip()[:LONGEST_HEADING]
            above[level] = (title, *heading.span())
            continue
        if start is not None and stop - start >= ENOUGH:
            yield from done()
            start = None
        start = line[0] if start is None else start
        stop = line[1]
    yield from done()
    yield from closed(0)


def _blocks(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Where paragraphs and headings begin and end."""
    for paragraph in _PARAGRAPH.finditer(text, begin, end):
        at, last = paragraph.span()
        for heading in _HEADING.finditer(text, at, last):
            if text[at : heading.start()].strip():
                yield _stripped(text, at, heading.start())
            yield heading.span()
            at = heading.end()
        if text[at:last].strip():
            yield _stripped(text, at, last)


def _short_enough(text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
    """A stretch of text in parts of at most `LONGEST` characters, cut behind sentences."""
    begin, end = _stripped(text, begin, end)
    while end - begin > LONGEST:
        ends = [each.end() for each in _SENTENCE_END.finditer(text, begin, begin + LONGEST)]
        at = ends[-1] if ends and ends[-1] > begin else begin + LONGEST
        yield _stripped(text, begin, at)
        space = _SPACE.match(text, at, end)
        begin = space.end() if space else at
    if end > begin:
        yield begin, end


def _stripped(text: str, begin: int, end: int) -> tuple[int, int]:
    """The same stretch without the space around it."""
    inner = text[begin:end]
    return begin + len(inner) - len(inner.lstrip()), begin + len(inner.rstrip())
