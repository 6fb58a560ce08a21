"""Extracts text from HTML: the main text of a web page, or all text of a chapter, mail or
fragment.
"""

import re
from typing import Any

from xinye.data.encodings import decode

BLOCKS = frozenset((
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "summary", "table", "title",
    "tr", "ul",
))  # fmt: skip
UNREAD = (
    "head", "script", "style", "template", "noscript", "svg", "iframe", "object", "button",
    "select", "rt", "rp",
)  # fmt: skip
# Chinese and Japanese letters and marks, between which there are no spaces.
WIDE = "[⺀-〿぀-ヿ㇀-鿿豈-﫿︰-﹏！-｠]"
_WIDE_BREAK = re.compile(rf"(?<={WIDE})[ \t]*\n\s*(?={WIDE})")
_SPACES = re.compile(r"[ \t\r\n\f\xa0]+")
_INDENT = re.compile(rf"(?m)^[^\S\n]+(?={WIDE})")  # an indented Chinese line is never code
_NOTHING = re.compile(r"(?m)^(?:\|[ \t|]*|[ \t]*-[ \t]*)\n")  # empty table rows and list items
_SITE = re.compile(r"(?:\s*[_|｜]+|\s[-–—]+\s|[-–—]+(?=\S+[网站報报]$))[^_|｜]+$")
LONGEST_SITE = 100  # characters of a site's name at the end of a title
_DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([\w.:-]+)", re.IGNORECASE)
_XML_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")


def main_text(html: str) -> tuple[str, str]:
    """Title and main text of a web page, without navigation, lists of links, advertisements and
    footers.

    If no main text stands out, as on a very short page, all text without navigation and lists of
    links.
    """
    import trafilatura

    root = _tree(html)
    if root is None:
        return "", ""
    for menu in root.xpath("//nav | //footer | //aside | //ul[.//a] | //ol[.//a] | //dl[.//a]"):
        if menu.tag not in ("ul", "ol", "dl") or _length(menu) < 2 * sum(
            map(_length, menu.iter("a"))
        ):
            # Measured here as well, because trafilatura counts characters, of which a Chinese
            # heading has few.
            menu.drop_tree()
    title, everything = _title(root), _blocks(root)
    page: Any = trafilatura.bare_extraction(root, include_comments=False, with_metadata=True)
    if not page or not page.text:
        return title, everything
    return title or page.title or "", _NOTHING.sub("", _INDENT.sub("", page.text))


def all_text(html: str) -> str:
    """All text of a page or fragment. Blocks are separated by an empty line; list items are lines
    that begin with a dash.
    """
    root = _tree(html)
    return "" if root is None else _blocks(root)


def join_lines(text: str) -> str:
    """The lines of a paragraph as one line: Chinese lines are joined without a space, others with
    one.
    """
    return _SPACES.sub(" ", _WIDE_BREAK.sub("", text))


def decode_page(data: bytes) -> str:
    """A web page as text, without its XML declaration. The encoding that it declares is used if it
    fits.
    """
    return without_declaration(decode(data, declared_encoding(data)))


def declared_encoding(data: bytes) -> str | None:
    """The encoding that a page or an XML document names at its beginning, or None."""
    declared = _DECLARED.search(data[:4096])
    return declared[1].decode() if declared else None


def without_declaration(text: str) -> str:
    """A page or an XML document as text, without the XML declaration at its beginning."""
    return _XML_DECLARATION.sub("", text)


def _tree(html: str) -> Any:
    """The parsed page, or None if there is nothing to parse."""
    from lxml import etree
    from lxml import html as lxml_html

    parser = lxml_html.HTMLParser(remove_comments=True, remove_pis=True, no_network=True)
    try:
        return lxml_html.document_fromstring(html.replace("\0", ""), parser=parser)
    except etree.ParserError:  # the page has no element
        return None


def _title(root: Any) -> str:
    """A heading that the page's title begins with, or else the title without the site's name at its
    end.
    """
    title = " ".join(root.findtext(".//title", "").split())
    headings = [
        " ".join("".join(heading.itertext()).split()) for heading in root.iter("h1", "h2", "h3")
    ]
    found = max((heading for heading in headings if title.startswith(heading)), key=len, default="")
    site = _SITE.search(title, max(0, len(title) - LONGEST_SITE))
    return found or (title[: site.start()] if site and len(site[0]) < site.start() else title)


def _length(element: Any) -> int:
    return len("".join("".join(element.itertext()).split()))


def _blocks(root: Any) -> str:
    from lxml import etree

    parts: list[str] = []
    unread = preformatted = 0
    for event, element in etree.iterwalk(root, ("start", "end")):
        start, tag = event == "start", element.tag
        step = 1 if start else -1
        unread += step if tag in UNREAD else 0
        preformatted += step if tag == "pre" else 0
        if tag == "li" and start:
            parts.append("\n- ")
        elif tag in BLOCKS and not (start and parts and parts[-1] == "\n- "):
            parts.append("\n" if tag in ("li", "tr", "dt", "dd") else "\n\n")
        elif tag == "br" and start:
            parts.append("\n")
        elif tag in ("td", "th") and not start:
            parts.append("\t")
        text = (element.text if start else element.tail) or ""
        text = "" if unread else text if preformatted else join_lines(text)
        if parts and parts[-1].endswith(("\n", "\t")) and not preformatted:
            text = text.lstrip(" ")
        if text:
            parts.append(text)
    return "".join(parts)
