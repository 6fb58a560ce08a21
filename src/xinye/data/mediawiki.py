"""Reads articles from a MediaWiki XML dump page by page. A dump has gigabytes, so only one page is
in memory at a time.
"""

import re
from collections.abc import Iterator
from typing import Any, BinaryIO

from xinye.data.wikitext_marks import without_open_marks
from xinye.errors import XinyeError

HIDDEN_LINKS = frozenset(
    ("file", "image", "category", "media", "文件", "檔案", "档案", "图像", "圖像", "分类", "分類")
)
HIDDEN_TAGS = frozenset((
    "ref", "references", "table", "gallery", "math", "chem", "ce", "timeline", "graph", "imagemap",
    "inputbox", "score", "hiero", "categorytree", "section", "templatedata", "templatestyles",
    "mapframe", "maplink", "style", "indicator",
))  # fmt: skip
# For each template: the values that may be shown, the best first.
SHOWN = {"lang": (1,), "nowrap": (0,), "tsl": (3, 2), "le": (2, 0), "link": (2, 0)}
# If a phrase has readings in several scripts, the first of these is taken.
SCRIPTS = ("zh-hans", "zh-cn", "zh", "zh-hant", "zh-tw")
_VARIANTS = re.compile(r"-\{([^{}]*)\}-")
_COMMENT = re.compile("<!--"), re.compile("-->")
_NOTE = re.compile(r"(?i)<ref\b[^<>]*+(?<!/)>"), re.compile(r"(?i)</ref\s*+>")
# notes defined elsewhere, and switches: __NOTOC__, __无目录__
_UNREAD = re.compile(r"(?i)<ref\b[^<>]*+(?<=/)>|__[^\W\d_]++__")
_REDIRECT = re.compile(r"\s*#(redirect|重定向)", re.IGNORECASE)
_LIST_MARK = re.compile(r"(?m)^[*#]+[ \t]*")
_NO_ITEM = re.compile(r"(?m)^- *$\n?")
_QUOTES = re.compile("'{2,}")
_LANGUAGE_LINK = re.compile(r"[a-z]{2,3}(-[a-z]+)*")
# what is left of brackets around a template that was removed
_HOLLOW = re.compile(r"[(（][\s,，;；:：、/]*[)）]|(?<=[(（])[\s,，;；:：、]+")


def articles(file: BinaryIO) -> Iterator[tuple[str, str, str]]:
    """Page id, title and wikitext of every article in a dump, without redirects, talk pages and
    pages about the wiki.

    If a page has a history, its last revision is used. Raises XinyeError if the XML is damaged or
    cut short.
    """
    from lxml import etree

    wikitext = ""
    try:
        for _, element in etree.iterparse(
            file,
            tag=["{*}revision", "{*}page"],
            resolve_entities=False,
            no_network=True,
            huge_tree=False,
        ):
            if etree.QName(element).localname == "revision":
                wikitext = element.findtext("{*}text") or ""
            elif element.findtext("{*}ns", "0") == "0" and not _REDIRECT.match(wikitext):
                yield element.findtext("{*}id", ""), element.findtext("{*}title", ""), wikitext
            element.clear()  # frees the memory
            while etree.QName(element).localname == "page" and element.getprevious() is not None:
                del element.getparent()[0]
    except etree.XMLSyntaxError as error:
        raise XinyeError(f"the XML is damaged or cut short ({error.msg})") from None


def plain_text(wikitext: str) -> str:
    """The text that a reader of the page sees, without tables, notes, files, categories and most
    templates; templates around words keep the words.

    Each heading is a separate line. A section without text is dropped with its heading.

    >>> plain_text("'''新叶'''是[[树|树木]]的{{lang|en|leaf}}叶子。<ref>书</ref>\\n== 参考 ==")
    '新叶是树木的leaf叶子。'
    """
    import mwparserfromhell
    from mwparserfromhell.nodes import Heading

    wikitext = _UNREAD.sub("", _without(*_NOTE, _without(*_COMMENT, wikitext)))
    wikitext = _VARIANTS.sub(_one_script, _LIST_MARK.sub("- ", wikitext))
    wikitext = without_open_marks(wikitext)
    sections: list[tuple[int, str, list[str]]] = [(0, "", [])]  # level, heading, text
    for node in mwparserfromhell.parse(wikitext, skip_style_tags=True).nodes:
        if isinstance(node, Heading):
            sections.append((node.level, _QUOTES.sub("", _text(node.title.nodes)).strip(), []))
        else:
            sections[-1][2].append(_text([node]))
    kept: list[str] = []
    below = 0  # level of the section below this one, if that is kept
    for level, heading, parts in reversed(sections):
        text = _NO_ITEM.sub("", _HOLLOW.sub("", _QUOTES.sub("", "".join(parts)))).strip()
        if text or below > level:
            kept += [text, heading] if text else [heading]
            below = level
    return "\n\n".join(part for part in reversed(kept) if part)


def _without(begin: re.Pattern[str], end: re.Pattern[str], text: str) -> str:
    """The text without everything from each begin to the next end. A begin without an end stays."""
    kept, at = [], 0
    while (opened := begin.search(text, at)) and (closed := end.search(text, opened.end())):
        kept.append(text[at : opened.start()])
        at = closed.end()
    return "".join([*kept, text[at:]])


def _text(nodes: list[Any]) -> str:
    from mwparserfromhell.nodes import Tag, Template, Wikilink

    parts = []
    for node in nodes:
        if isinstance(node, Wikilink):
            prefix, colon, _ = str(node.title).partition(":")
            prefix = prefix.strip().lower()
            hidden = prefix in HIDDEN_LINKS or (
                node.text is None and _LANGUAGE_LINK.fullmatch(prefix)
            )
            if not (colon and hidden):
                parts.append(_text((node.text or node.title).nodes).removeprefix(":"))
        elif isinstance(node, Tag):
            name = str(node.tag).strip().lower()
            if name == "br":
                parts.append("\n")
            elif node.contents and name not in HIDDEN_TAGS:
                parts.append(_text(node.contents.nodes))
        elif isinstance(node, Template):
            name = str(node.name).strip().lower()
            values = [parameter.value.nodes for parameter in node.params if not parameter.showkey]
            places = (0,) if name.startswith("lang-") else SHOWN.get(name.partition("-")[0], ())
            parts.append(
                next((_text(values[place]) for place in places if place < len(values)), "")
            )
        else:
            parts.append(
                node.__strip__(normalize=True, collapse=True, keep_template_params=False) or ""
            )
    return "".join(map(str, parts))


def _one_script(match: re.Match[str]) -> str:
    """One reading of a phrase that has several, such as -{zh-hans:计算机; zh-hant:電腦}-."""
    flags, bar, rules = match[1].rpartition("|")
    whole_page = {"T", "H", "-"} & set(re.split(r"[;\s]+", flags))
    if bar and whole_page:  # a rule for the rest of the page shows nothing
        return ""
    readings = dict(re.findall(r"(?:^|;)\s*(zh[\w-]*)\s*:\s*([^;]*)", rules))
    known = (readings[script] for script in (*SCRIPTS, *readings) if script in readings)
    return next(known, rules).strip()
