"""Reads the entries of RSS and Atom feeds, and repairs XML that is broken."""

import calendar
import html.entities
import re
from collections import Counter
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import urljoin

from xinye.data.encodings import decode
from xinye.data.html import all_text, declared_encoding, without_declaration
from xinye.errors import XinyeError

ENTITIES = "it declares XML entities, which no dump and no feed needs; it is not read, for safety"
FEEDS = ("rss", "feed", "RDF")  # the root elements
HEAD = 1 << 16  # characters or bytes in which entities are declared
_ENTRIES = ("item", "entry")
_READ = {
    "title", "link", "guid", "id", "description", "summary", "content", "encoded", "pubDate",
    "pubdate", "published", "updated", "date", "issued", "modified", "created",
}  # fmt: skip
MOST_OF_A_KIND = 5  # elements of an entry
MOST_ATTRIBUTES = 50
_ENDS = (b"</item>", b"</entry>")
_NAMESPACES = {  # of prefixes that feeds use without declaring them
    "content": "http://purl.org/rss/1.0/modules/content/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "dcterms": "http://purl.org/dc/terms/",
    "atom": "http://www.w3.org/2005/Atom",
}
_UNREADABLE = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_HTML_ENTITY = re.compile(r"&(?!(?:amp|lt|gt|quot|apos);)([A-Za-z][A-Za-z0-9]{1,31};)")


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """An entry of a feed, as plain text. `published` is the date as the feed writes it, and `at`
    what feedparser reads in it, in seconds since 1970; without a zone it is read as UTC."""

    id: str
    title: str
    text: str
    url: str
    published: str
    at: float | None


@dataclass(frozen=True, slots=True)
class Feed:
    """The entries of a feed, and its title. `broken` says what is wrong with its XML, "" if nothing
    is, and `left_out` counts entries beyond the limit."""

    entries: tuple[FeedEntry, ...]
    broken: str
    left_out: int
    title: str = ""


def read_feed(
    data: bytes,
    base: str = "",
    charset: str | None = None,
    most: int | None = None,
    cut: bool = False,
) -> Feed:
    """The feed in these bytes. `base` is its address, for links that are relative to it, `charset`
    the encoding if the feed declares none, and `most` the number of entries to read. If the bytes
    were `cut` somewhere, the last entry is left out.

    Raises XinyeError if it is not a feed, or too broken to find an entry in it."""
    import feedparser

    if cut and (end := max(map(data.rfind, _ENDS))) > 0:
        data, whole = data[:end], True  # an entry that has just ended is complete
    else:
        whole = not cut
    root, broken = read_xml(data, charset, cut)
    name = _local(root)
    if name not in FEEDS:
        raise XinyeError(f"not a feed; its root element is {name!r}")
    title = _title(root)
    root, left_out = _pruned(root, most, whole)
    parsed = feedparser.parse(
        BytesIO(_written(root)),  # feedparser would take bytes for the name of a file to open
        resolve_relative_uris=False,
        sanitize_html=False,
    )
    if broken and not parsed.entries:
        raise XinyeError(f"not a complete feed ({broken})")
    return Feed(tuple(_entry(each, base) for each in parsed.entries), broken, left_out, title)


def read_xml(data: bytes, charset: str | None = None, cut: bool = False) -> tuple[Any, str]:
    """The root element of an XML document, and what is wrong with it, or "". Elements that are not
    closed are closed. No entity is expanded, and nothing is fetched.

    Raises XinyeError for what is not XML at all."""
    from lxml import etree

    text, broken = _decoded(data, charset, cut)
    text = _UNREADABLE.sub("", text).lstrip()
    if "<!ENTITY" in text[:HEAD]:
        raise XinyeError(ENTITIES)
    text = _HTML_ENTITY.sub(_entity, text)
    parser = etree.XMLParser(
        encoding="utf-8", recover=True, resolve_entities=False, no_network=True, load_dtd=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        raise XinyeError(f"not XML ({_shortly(error)})") from None
    errors = [each for each in parser.error_log if each.level > etree.ErrorLevels.WARNING]
    if errors and not broken:
        broken = f"line {errors[0].line}: {_shortly(errors[0].message)}"
    if root is None:
        raise XinyeError(f"not XML ({broken or 'it is empty'})")
    return root, broken


def _entity(found: re.Match[str]) -> str:
    """An entity of HTML as a character. XML does not know it; others stay as they are written."""
    return html.entities.html5.get(found[1]) or f"&amp;{found[1]}"


def _shortly(problem: object) -> str:
    return " ".join(str(problem).split())[:100]


def _decoded(data: bytes, charset: str | None, cut: bool) -> tuple[str, str]:
    """The text of a document, and what is wrong with its bytes."""
    declared = declared_encoding(data) or charset
    try:
        return without_declaration(decode(data, declared, "the feed")), ""
    except XinyeError as error:
        problem = "" if cut else str(error)
    try:
        text = data.decode(declared or "utf-8", "replace")
    except LookupError:
        text = data.decode("utf-8", "replace")
    return without_declaration(text), problem


def _local(element: Any) -> str:
    name: str = element.tag
    return name.rpartition("}")[2].rpartition(":")[2]


def _title(root: Any) -> str:
    """The title of a feed in one line, "" if it has none."""
    channels = [each for each in root.iterchildren("*") if _local(each) == "channel"]
    parent = channels[0] if channels else root
    titles = (each for each in parent.iterchildren("*") if _local(each) == "title")
    found = "".join(next((each.itertext() for each in titles), []))
    return " ".join(all_text(found).split())


def _pruned(root: Any, most: int | None, whole: bool) -> tuple[Any, int]:
    """The feed with at most so many entries, and of each only the elements that are read: other
    ones, in large numbers, would cost a parser quadratic time. The last entry is left out if it is
    not `whole`. Also returns how many entries were beyond."""
    from lxml import etree

    entries = [each for each in root.iter("*") if _local(each) in _ENTRIES]
    if entries and not whole:
        entries.pop()
    pruned = etree.Element(root.tag, nsmap=root.nsmap)
    parent = etree.SubElement(pruned, "channel") if _local(root) == "rss" else pruned
    for entry in entries[:most]:
        seen: Counter[str] = Counter()
        for child in list(entry.iterchildren("*")):
            name = _local(child)
            seen[name] += 1
            if name not in _READ or seen[name] > MOST_OF_A_KIND:
                entry.remove(child)
        parent.append(entry)
    return pruned, max(0, len(entries) - most) if most is not None else 0


def _written(root: Any) -> bytes:
    """The element as XML that every parser reads: each prefix in it is declared."""
    from lxml import etree

    for element in root.iter("*"):
        odd = any(":" in name.rpartition("}")[2] for name in element.attrib)
        if odd or len(element.attrib) > MOST_ATTRIBUTES:
            element.attrib.clear()
        prefix, colon, local = element.tag.partition(":")
        if colon and not prefix.startswith("{"):
            element.tag = f"{{{_NAMESPACES.get(prefix, f'urn:{prefix}')}}}{local or 'unnamed'}"
    written: bytes = etree.tostring(root, encoding="utf-8", xml_declaration=True, with_tail=False)
    return written


def _joined(base: str, url: str) -> str:
    try:
        return urljoin(base, url) if url else ""
    except ValueError:
        return ""


def _entry(entry: Any, base: str) -> FeedEntry:
    # `dict.get`, because feedparser's own answers "updated" with the date of "published"
    contents = [content.value for content in dict.get(entry, "content", [])]
    parsed = dict.get(entry, "published_parsed") or dict.get(entry, "updated_parsed")
    return FeedEntry(
        id=dict.get(entry, "id") or "",
        title=" ".join(all_text(dict.get(entry, "title") or "").split()),
        text="\n\n".join(map(all_text, contents or [dict.get(entry, "summary") or ""])).strip(),
        url=_joined(base, dict.get(entry, "link") or ""),
        published=dict.get(entry, "published") or dict.get(entry, "updated") or "",
        at=float(calendar.timegm(parsed)) if parsed else None,
    )
