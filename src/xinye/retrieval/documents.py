"""Reads the documents of a knowledge base from files of all kinds."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from xinye.data.archives import is_archive, members
from xinye.data.columns import as_text, find_column
from xinye.data.encodings import open_text, with_newlines
from xinye.data.extract import FORMATS, find_format, named_format, read_documents
from xinye.data.files import RECORD_SUFFIXES, expand, once, open_regular, suffix_of
from xinye.data.sources import read_records
from xinye.errors import XinyeError, readable
from xinye.retrieval.manifest import MANIFEST, OURS

# Columns of a record that name its document, in the order in which they are looked for.
TITLES = ("title", "标题", "题目", "name", "名称", "question", "问题")
TEXTS = ("text", "content", "正文", "内容", "文本", "passage", "context")
LONGEST_TITLE = 200  # characters


@dataclass(frozen=True)
class Document:
    """A text with its place. `file` is an absolute path; `line` is the number of the record, None
    if the file is one document."""

    text: str
    file: str
    title: str = ""
    line: int | None = None
    has_lines: bool = False  # whether the lines of the text are those of the file

    @property
    def key(self) -> str:
        """Tells documents apart by their contents."""
        return sha256(f"{self.title}\0{self.text}".encode("utf-8", "replace")).hexdigest()[:32]


def find_files(names: Sequence[str | Path]) -> list[Path]:
    """The files that names, folders and globs stand for, without repeated ones; also archives that
    cannot be read, so that `documents` says why. Raises `XinyeError` for a name that stands for
    nothing, and for a named file of an unknown kind."""
    found: list[Path] = []
    for path in (Path(name).expanduser() for name in names):
        files = [file for file in expand(path) if not _is_inside_a_base(file)]
        readable = [file for file in files if _is_readable(file)]
        if is_archive(path) and not readable:
            readable = [path]
        if files == [path] and not readable:
            kinds = " ".join((*FORMATS, *RECORD_SUFFIXES))
            raise XinyeError(f"{path}: a knowledge base reads no files of this kind, but {kinds}")
        found += readable
    if not found:
        raise XinyeError(f"{', '.join(map(str, names))}: there are no documents")
    return once(found)


def no_text(names: Sequence[str | Path], first: str) -> XinyeError:
    """The error for files without any text; `first` says what is wrong with one of them."""
    return XinyeError(f"{', '.join(map(str, names))}: there is no text to answer from ({first})")


def without_text(path: Path) -> str:
    """What is wrong with an empty file."""
    return f"{path}: the file has no text"


def _is_inside_a_base(path: Path) -> bool:
    """Whether a file belongs to a knowledge base, whose passages are no documents."""
    return OURS.fullmatch(path.name) is not None and (path.parent / MANIFEST).is_file()


def _is_readable(path: Path) -> bool:
    """Whether documents may be read from a file. An archive stands for itself if it is damaged."""
    return bool(named_format(path)) or suffix_of(path) in RECORD_SUFFIXES or is_archive(path)


def documents(path: Path) -> Iterator[Document]:
    """The documents of a file: each record of a table or JSON file, each part of a dump or mailbox,
    else the whole file. Raises `XinyeError`, with the file's name, for one that cannot be read."""
    try:
        yield from _read(path)
    except XinyeError as error:
        if readable(str(path)) in str(error):
            raise
        raise XinyeError(f"{path}: {error}") from None


def _read(path: Path) -> Iterator[Document]:
    if is_archive(path):
        members(path)  # says why it cannot be read
        raise XinyeError(f"{path}: no file in this archive can be read")
    if suffix_of(path) in RECORD_SUFFIXES:
        yield from _of_records(path)
        return
    form = find_format(path)
    if not form and _is_office(path):
        raise XinyeError("a document of an office program; save it as .txt, .html or PDF")
    if form in ("text", "markdown", ""):  # as they are, so that lines and headings stay
        with open_text(path) as file:
            text = file.read()
        first = re.match(r"#{0,6}[ \t]*(\S.*)", text.lstrip())
        title = first[1].strip()[:LONGEST_TITLE] if first else ""
        yield Document(text, os.path.abspath(path), title, has_lines=True)
        return
    with open_regular(path) as raw:
        for found in read_documents(path, form, raw):
            if found.problem:
                raise XinyeError(f"{found.source}: {found.problem}")
            yield Document(found.text, os.path.abspath(path), found.title)


def _is_office(path: Path) -> bool:
    """Whether a file begins like those of Word, WPS or LibreOffice: a zip or an OLE container."""
    with open_regular(path) as file:
        return file.read(4) in (b"PK\3\4", b"\xd0\xcf\x11\xe0")


def _of_records(path: Path) -> Iterator[Document]:
    for line, record in read_records(path):
        if isinstance(record, dict):
            title, text = _title(record), _text(record)
        else:
            title, text = "", as_text(record) or ""
        yield Document(with_newlines(text), os.path.abspath(path), title, line)


def _text(record: dict[str, Any]) -> str:
    """The text of a record: its column of text if it has one of a usual name, else all columns,
    each in a line of its own with its name, so that a question about any of them finds it."""
    column = find_column([*record], TEXTS)
    if column is not None:
        return as_text(record[column]) or ""
    lines = []
    for name, value in record.items():
        text = as_text(value)
        if text is None:  # a number, or what is nested
            text = str(value)
        if text:
            lines.append(f"{name}: {text}")
    return "\n".join(lines)


def _title(record: dict[str, Any]) -> str:
    column = find_column([*record], TITLES)
    value = record.get(column) if column is not None else None
    return " ".join(value.split())[:LONGEST_TITLE] if isinstance(value, str) else ""
