"""Reads documents from plain text, JSON, CSV, TSV, XLSX and Parquet files, in bounded memory and in
all usual encodings of Chinese and English.

Other rooms import from here what these modules do: `files.py` finds files, `encodings.py` decodes
bytes, `tables.py` and `records.py` read tables and JSON, `columns.py` finds the column of text.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path

from xinye.data.archives import ZIP
from xinye.data.columns import HEAD_RECORDS, as_text, choose_field
from xinye.data.encodings import decode, detect_encoding, line_ends, open_text, with_newlines
from xinye.data.files import (
    PLAIN_SUFFIXES,
    RECORD_SUFFIXES,
    SUFFIXES,
    check_libraries,
    find_files,
    fingerprint,
    not_readable,
    open_regular,
    suffix_of,
)
from xinye.data.json_tables import table_or_records
from xinye.data.notes import Notes
from xinye.data.parquet import parquet_records
from xinye.data.records import OnBad, Records, json_lines, json_records, refuse
from xinye.data.tables import headerless, is_table, table_records
from xinye.errors import XinyeError
from xinye.guesses import nearest

__all__ = [
    "PLAIN_SUFFIXES", "SUFFIXES", "OnBad", "Piece", "as_text", "check_libraries", "choose_field",
    "decode", "detect_encoding", "find_files", "fingerprint", "first_line", "headerless",
    "line_ends", "read_lines", "read_pieces", "read_records",
]  # fmt: skip

PIECE_CHARACTERS = 1_000_000
_AFTER_LINE = re.compile(r"(?s).*\n(?=\S)")
_AFTER_WORD = re.compile(r"(?s).*[\s。！？；，、：…”」』）](?=\S)")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of one document's text. Almost every document is a single piece; a long plain-text
    file comes in several, cut at line ends. `source` is the place for messages: "novel.txt", or
    "reviews.jsonl:17" with the line or record number.
    """

    text: str
    source: str
    first: bool = True  # True if this piece starts a document


def read_records(
    path: Path,
    on_bad: OnBad = refuse,
    named: Sequence[str] = (),
    tabbed: bool = False,
    notes: Notes | None = None,
) -> Records:
    """The records of a table or JSON file, each with its line or number.

    Rows of a table are dictionaries keyed by the header's names, or by "1", "2" … if there is no
    header (see `headerless`). `named` are the columns that a person named; they help to recognise
    the header. With `tabbed`, a plain-text file is read as a table. `notes` report what was left
    out or read differently than the file's name suggests. Raises XinyeError for files of other
    kinds.
    """
    suffix = suffix_of(path)
    notes = notes or Notes()
    if is_table(path, tabbed):
        return table_records(path, on_bad, named, notes)
    if suffix == ".json":
        return table_or_records(path, json_records(path, on_bad, notes), on_bad, notes)
    if suffix in (".jsonl", ".ndjson"):
        return json_lines(path, on_bad, notes)
    if suffix == ".parquet":
        return parquet_records(path)
    if suffix == ZIP:
        open_regular(path).close()  # raises the error if the archive is damaged
    raise not_readable(path, (*(PLAIN_SUFFIXES if tabbed else ()), *RECORD_SUFFIXES))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a plain-text file without line ends, each with its number."""
    with open_text(path) as file:
        yield from enumerate((line.removesuffix("\n") for line in file), 1)


def read_pieces(
    files: Sequence[Path],
    field: str | None = None,
    document_separator: str | None = None,
    on_bad: OnBad = refuse,
    on_field: Callable[[str], None] = lambda field: None,
    notes: Notes | None = None,
) -> Iterator[Piece]:
    r"""The documents in the files, in order, with "\n" as the only line end.

    A plain-text file is one document, in pieces of about a million characters. `document_separator`
    ("\n\n", "<|endoftext|>"; a typed \n or \t is understood) divides it into several. In other
    formats each record is a document: a string, or an object or row whose `field` holds a string or
    a list of lines. Without `field`, the column is found by its name or length; columns of a table
    without a header are "1", "2" … Empty files, records and parts are skipped.

    Raises XinyeError for whatever cannot be read exactly, with the file and line or byte. With
    `on_bad`, a bad record is passed to it (file, line, problem) and reading continues; a file that
    is bad as a whole still raises. `on_field` is called with the column of text; `notes` report
    what was left out or changed.

    >>> [piece.text for piece in read_pieces([Path("reviews.csv")], "评论")]  # doctest: +SKIP
    """
    separator = (document_separator or "").replace("\\n", "\n").replace("\\t", "\t")
    if document_separator == "":
        raise XinyeError(
            "the document separator is empty; leave it out, or give one such as '\\n\\n'"
        )
    for path in map(Path, files):
        try:
            if suffix_of(path) in PLAIN_SUFFIXES:
                yield from _plain_pieces(path, separator)
                continue
            if suffix_of(path) == ".parquet":
                records = parquet_records(path, [field] if field else [])
            else:
                records = read_records(path, on_bad, [field] if field else [], notes=notes)
            yield from _record_pieces(path, records, field, on_bad, on_field)
        except OSError as error:  # a disk or a network that fails
            raise XinyeError(f"{path}: cannot be read ({error.strerror or error})", 1) from None


def _plain_pieces(path: Path, separator: str) -> Iterator[Piece]:
    with open_text(path) as file:
        rest, first, number = "", True, 1
        source = f"{path.name}:{number}" if separator else path.name
        for block in iter(partial(file.read, PIECE_CHARACTERS), ""):
            *ended, rest = (rest + block).split(separator) if separator else [rest + block]
            for text in ended:
                if text:
                    yield Piece(text, source, first)
                first, number = True, number + 1
                source = f"{path.name}:{number}"
            # The block may end inside a separator, which must stay whole; hence its length is
            # added.
            while len(rest) > PIECE_CHARACTERS + len(separator):
                window = rest[: PIECE_CHARACTERS + 1]
                cut = _AFTER_LINE.match(window) or _AFTER_WORD.match(window)
                end = cut.end() if cut else PIECE_CHARACTERS
                yield Piece(rest[:end], source, first)
                rest, first = rest[end:], False
        if rest:
            yield Piece(rest, source, first)


def _record_pieces(
    path: Path,
    records: Records,
    field: str | None,
    on_bad: OnBad,
    on_field: Callable[[str], None],
) -> Iterator[Piece]:
    head = list(islice(records, HEAD_RECORDS))
    rows = [record for _, record in head if isinstance(record, dict)]
    if rows and field is None:
        field = choose_field(path, rows)
    if rows and field:
        on_field(field)
    for line, record in chain(head, records):
        if isinstance(record, dict):
            field = field or choose_field(path, [record])
            if field not in record:
                names = list(map(str, record))
                near = nearest(field, names)
                there = f"it has: {', '.join(names)}"
                hint = f"did you mean {' or '.join(near)}?" if near else there
                on_bad(path, line, f"no field {field!r} (--field) in this record; {hint}")
                continue
            record = record[field]
        text = as_text(record)
        if text is None:
            shown = f"{str(record)[:40]!r}"
            problem = f"the record is not text but {shown}"
            if field:
                problem = f"field {field!r} is not text but {shown}; name another --field"
            on_bad(path, line, problem)
        elif text:
            yield Piece(with_newlines(text), f"{path.name}:{line}")


def first_line(lines: Iterable[tuple[int, str]]) -> str:
    """The first of these numbered lines that is not blank, or ""."""
    return next((line for _, line in lines if line.strip()), "")
