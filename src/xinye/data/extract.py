"""Extracts documents from wiki dumps, web pages, books, PDF, Markdown, mail and feeds.

Each format has a generator of documents over the file's decompressed bytes. It fetches nothing,
expands no XML entities, and fails on files that would fill the memory. A file that cannot be read
raises XinyeError with the reason, after the documents before the damage have been returned.
"""

import bz2
import gzip
import logging
import posixpath
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from email import message_from_bytes
from email.header import decode_header
from email.message import Message
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote

from xinye.data.columns import HEAD_RECORDS, as_text, choose_field
from xinye.data.encodings import decode, with_newlines
from xinye.data.feeds import ENTITIES, FEEDS, read_feed
from xinye.data.files import open_regular
from xinye.data.html import all_text, decode_page, main_text
from xinye.data.mediawiki import articles, plain_text
from xinye.data.pdf import pdf_text
from xinye.data.sources import Piece, read_pieces
from xinye.errors import XinyeError

FORMATS = {
    ".txt": "text", ".text": "text", ".md": "markdown", ".markdown": "markdown", ".html": "html",
    ".htm": "html", ".xhtml": "html", ".epub": "epub", ".pdf": "pdf", ".mbox": "mbox",
    ".rss": "feed", ".atom": "feed", ".xml": "xml",
}  # fmt: skip
LIBRARIES = {  # the packages that each format needs
    "markdown": ("markdown_it", "lxml"),
    "html": ("trafilatura", "lxml"),
    "epub": ("lxml",),
    "pdf": ("pypdfium2",),
    "mbox": ("lxml",),
    "feed": ("feedparser", "lxml"),
    "xml": ("lxml", "mwparserfromhell", "feedparser"),
}
XML_ROOTS = {"mediawiki": "mediawiki", **dict.fromkeys(FEEDS, "feed"), "html": "html"}
LARGEST_PAGE = 64 << 20  # bytes of one page, feed, mail or chapter, unpacked
LARGEST_BOOK = 256 << 20
# Nested parts. The parser compares every line with the boundaries of all parts around it.
DEEPEST_MAIL = 50
LONGEST_SUBJECT = 10_000  # characters

_ROOT = re.compile(rb"<(?:\w+:)?([A-Za-z]\w*)")
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)[ \t]*\n(.*?)\n\1[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"(?m)^title[ \t]*[:=](.*)$")
_POSTMARK = re.compile(rb"From .*\d\d:\d\d")
# who is quoted; quoted lines; a signature, a footer, or the mail that is answered
_UNREAD_IN_MAIL = (
    re.compile(r"(?m)^[^>\n].{0,200}?(?:wrote|writes|写道|寫道|说道)\s*+[:：](?=\s*+>)\s*\n"),
    re.compile(r"(?m)^>(?!From ).*\n?"),
    re.compile(
        r"(?m)^(--[ ]?$|_{20,}+[^\S\n]*+$"
        r"|-{3,}+ ?(Original Message|原始邮件|原始郵件|Forwarded message|转发邮件)).*",
        re.DOTALL,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document(Piece):
    """One text from a file. `source` is the file, with ":number" if it holds several documents. The
    title is also the first line of the text.

    A document that cannot be read has a `problem` and no text.
    """

    title: str = ""
    problem: str = ""
    format: str = field(default="", compare=False)  # of its file


def named_format(path: Path) -> str:
    """The format according to the file's name, or "" if unknown; "xml" can be several formats."""
    name = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
    return FORMATS.get(Path(name).suffix, "")


def find_format(path: Path) -> str:
    """The format of a file by its name, and for XML by its root element. Raises XinyeError for any
    other XML.
    """
    form = named_format(path)
    if form not in ("xml", "feed"):
        return form
    with open_regular(path) as raw:
        head = unpacked(path, raw).read(1 << 16)
    if b"<!ENTITY" in head:
        raise XinyeError(ENTITIES)
    root = _ROOT.search(head)
    name = root[1].decode() if root else ""
    if name in XML_ROOTS:
        return XML_ROOTS[name]
    raise XinyeError(
        f"this XML is neither a MediaWiki dump nor a feed; its root element is {name!r}"
    )


def unpacked(path: Path, raw: BinaryIO) -> BinaryIO:
    """The open file, decompressed if its name ends in .gz or .bz2."""
    unpack: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix.lower())
    return cast(BinaryIO, unpack(raw)) if unpack else raw


def read_documents(path: Path, form: str, raw: BinaryIO) -> Iterator[Document]:
    """The documents of a file in this format. `raw` is the open file; its position shows the
    progress.

    A part of a dump or a mailbox that cannot be read gives a document with a `problem`. Raises
    XinyeError for a file that cannot be read.
    """
    file, source = unpacked(path, raw), str(path)
    if form == "mediawiki":
        for page, title, wikitext in articles(file):
            yield _one_of_many(
                f"{source}:{page}", lambda title, text: (title, plain_text(text)), title, wikitext
            )
    elif form == "mbox":
        for number, lines in enumerate(_split_mails(file), 1):
            yield _one_of_many(f"{source}:{number}", _mail, lines)
    elif form == "feed":
        yield from _entries(file, source)
    elif form == "text":
        yield Document(_plain(path), source)
    elif form == "pdf":
        title, text = pdf_text(file)
        # The title in a PDF's metadata is often another document's; the pages show their own.
        yield Document(text, source, title=title)
    elif form == "html":
        yield _titled(*main_text(decode_page(_read_whole(file))), source)
    else:
        read = _markdown if form == "markdown" else _book
        yield _titled(*read(file), source)


def read_hub(name: str, split: str, field: str | None) -> Iterator[Document]:
    """The records of a data set on the Hugging Face hub, streamed. `name` is "owner/name" or
    "owner/name:config".

    Raises XinyeError if `field` is not a column of text, and whatever the hub's client raises.
    """
    import datasets

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # the client logs every attempt
    repository, _, config = name.partition(":")
    records = iter(datasets.load_dataset(repository, config or None, split=split, streaming=True))
    head = list(islice(records, HEAD_RECORDS))
    field = field or choose_field(Path(name), head)
    for number, record in enumerate(chain(head, records), 1):
        text = as_text(record.get(field))
        if text is None or field not in record:
            raise XinyeError(
                f"record {number}: --field {field!r} holds no text; the columns are: "
                f"{', '.join(record)}"
            )
        title = record.get("title")
        title = title if isinstance(title, str) else ""
        yield replace(_titled(title, text, f"hub:{name}:{number}"), format="hub")


def _one_of_many(source: str, read: Callable[..., tuple[str, str]], *content: Any) -> Document:
    """The document that `read` returns for one part of a file; an error only affects that part."""
    try:
        return _titled(*read(*content), source)
    except ModuleNotFoundError:
        raise
    except Exception as error:  # parsers raise all kinds of errors on real files
        return Document("", source, problem=str(error) or type(error).__name__)


def _titled(title: str, text: str, source: str) -> Document:
    """A document whose title is also its first line."""
    title, text = " ".join(title.split()), text.strip()
    first = " ".join(text.partition("\n")[0].split())
    if title and text and not (first.startswith(title) and len(first) < 2 * len(title)):
        text = f"{title}\n\n{text}"
    return Document(text, source, title=title)


def _read_whole(file: Any) -> bytes:
    data: bytes = file.read(LARGEST_PAGE + 1)
    if len(data) > LARGEST_PAGE:
        raise XinyeError(
            f"it is larger than {LARGEST_PAGE >> 20} MB unpacked, too large for a page; split it"
        )
    return data


def _plain(path: Path) -> str:
    parts: list[str] = []
    for piece in read_pieces([path]):
        parts.append(piece.text)
        if sum(map(len, parts)) > LARGEST_BOOK:
            raise XinyeError(
                f"it has more than {LARGEST_BOOK >> 20} million characters; train on it unchanged, "
                "or split it"
            )
    return "".join(parts)


def _markdown(file: BinaryIO) -> tuple[str, str]:
    from markdown_it import MarkdownIt

    text = with_newlines(decode(_read_whole(file)).lstrip("\ufeff"))
    title = None
    if front := _FRONT_MATTER.match(text):
        title = _FRONT_TITLE.search(front[2])
        text = text[front.end() :]
    html = MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text)
    plain = all_text(html).strip()
    if title:
        return title[1].strip().strip("\"'"), plain
    return plain.partition("\n")[0] if text.lstrip().startswith("# ") else "", plain


def _book(file: BinaryIO) -> tuple[str, str]:
    """Title and text of an EPUB: the chapters in reading order, without the table of contents."""
    from lxml import etree

    def parse(name: str) -> Any:
        parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
        return etree.fromstring(read(name), parser)

    def read(name: str) -> bytes:
        with archive.open(name) as part:
            return _read_whole(part)

    try:
        with zipfile.ZipFile(file) as archive:
            package = parse("META-INF/container.xml").find(".//{*}rootfile").get("full-path")
            opf = parse(package)
            items = {item.get("id"): item for item in opf.iterfind("{*}manifest/{*}item")}
            parts, size = [], 0
            for reference in opf.iterfind("{*}spine/{*}itemref"):
                item = items.get(reference.get("idref"))
                if item is None or "nav" in (item.get("properties") or "").split():
                    continue
                name = posixpath.join(posixpath.dirname(package), unquote(item.get("href")))
                data = read(posixpath.normpath(name))
                size += len(data)
                if size > LARGEST_BOOK:
                    raise XinyeError(
                        f"it is larger than {LARGEST_BOOK >> 20} MB unpacked, too large for a book"
                    )
                parts.append(all_text(decode_page(data)))
            title = opf.findtext("{*}metadata/{http://purl.org/dc/elements/1.1/}title")
            return title or "", "\n\n".join(parts)
    except (
        zipfile.BadZipFile,
        KeyError,
        AttributeError,
        etree.XMLSyntaxError,
        EOFError,
        RuntimeError,
    ) as error:
        raise XinyeError(
            f"not a complete EPUB file ({' '.join(str(error).split())[:100]})"
        ) from None


def _split_mails(file: BinaryIO) -> Iterator[list[bytes]]:
    """The lines of each mail. The standard library's mailbox would start a new mail at any line
    that begins with "From ".
    """
    lines: list[bytes] = []
    size = 0
    for line in iter(partial(file.readline, LARGEST_PAGE), b""):
        if _POSTMARK.match(line) and (not lines or not lines[-1].strip()):
            if lines:
                yield lines
            lines, size = [], 0
        elif not lines:
            raise XinyeError("not an mbox file: it does not begin with a line 'From SENDER DATE'")
        lines.append(line)
        size += len(line)
        if size > LARGEST_PAGE:
            raise XinyeError(f"one of its mails is larger than {LARGEST_PAGE >> 20} MB")
    if lines:
        yield lines


class _MailPart(Message):
    """A mail or a part of one, which counts how deep it is nested."""

    depth = 0

    def attach(self, payload: Any) -> None:
        payload.depth = self.depth + 1
        if payload.depth > DEEPEST_MAIL:
            raise XinyeError(f"its parts are nested more than {DEEPEST_MAIL} deep")
        super().attach(payload)


def _mail(lines: list[bytes]) -> tuple[str, str]:
    """The subject of a mail, and what its sender wrote without quotes and signature."""
    mail = message_from_bytes(b"".join(lines[1:]), _MailPart)
    texts: dict[str, str] = {}
    for part in mail.walk():
        kind = part.get_content_type()
        if kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment":
            text = decode(cast(bytes, part.get_payload(decode=True)), part.get_content_charset())
            texts.setdefault(kind, all_text(text) if kind == "text/html" else text)
    plain = texts.get("text/plain", "")
    body = with_newlines(plain if plain.strip() else texts.get("text/html", ""))
    for unread in _UNREAD_IN_MAIL:
        body = unread.sub("", body)
    subject = mail.get("subject", "")
    # the library returns a `Header` if the subject has raw bytes
    if len(str(subject)) > LONGEST_SUBJECT:
        raise XinyeError(f"its subject is longer than {LONGEST_SUBJECT:,} characters")
    subject = "".join(
        word if isinstance(word, str) else decode(word, charset)
        for word, charset in decode_header(subject)
    )
    return subject, body.replace("\n>From ", "\nFrom ")


def _entries(file: BinaryIO, source: str) -> Iterator[Document]:
    """Title and text of each entry in an RSS or Atom feed."""
    for number, entry in enumerate(read_feed(_read_whole(file)).entries, 1):
        yield _titled(entry.title, entry.text, f"{source}:{number}")
