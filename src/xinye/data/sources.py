"""Files in, text out: reads documents from the files a person names, in bounded memory.

Plain text, JSON, CSV, TSV, XLSX and Parquet, in whatever encoding Chinese and English files come
in. This is the front of the reading: other rooms import from here what `files.py` (which files),
`encodings.py` (bytes to text), `tables.py`, `records.py` (JSON) and `columns.py` (which column) do.
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
    """A stretch of one document's text. Nearly every document is one piece; a long plain-text file
    comes in several, cut at line ends. `source` is for messages: "novel.txt", or "reviews.jsonl:17"
    with the line or record number.
    """

    text: str
    source: str
    first: bool = True  # it starts a document


def read_records(
    path: Path,
    on_bad: OnBad = refuse,
    named: Sequence[str] = (),
    tabbed: bool = False,
    notes: Notes | None = None,
) -> Records:
    """The records of a table or a JSON file: rows are dictionaries by the header's names, or where
    there is none (see `headerless`) by "1", "2" … With `tabbed` plain text is read as a table, too.
    `notes` report what was left out, or read otherwise than the file's name says.
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
        open_regular(path).close()  # raises what is wrong with it
    raise not_readable(path, (*(PLAIN_SUFFIXES if tabbed else ()), *RECORD_SUFFIXES))


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a plain-text file with their numbers, without their ends."""
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

    A plain-text file is one document, or with `document_separator` ("\n\n", "<|endoftext|>"; a
    typed \n or \t is understood) one for each part; it comes in pieces of about a million
    characters. In the other formats each record is a document: a string, or an object or row whose
    `field` holds a string or a list of strings (lines). Without `field` the column is found by its
    name or its length; where a table has no header it has a number: "1", "2" … Empty files, records
    and parts give nothing.

    Raises XinyeError, when it gets there, for whatever cannot be read exactly, with file and line
    or byte. With `on_bad` a bad record is given to it instead (file, line, what is wrong), and
    reading goes on behind it; files that are bad as a whole still raise. `on_field` is called
    with the column that is taken for the text; `notes` report what was left out or changed.

    >>> [piece.text for piece in read_pieces([Path("reviews.csv")], "评论")]  # doctest: +SKIP
    """
    separator = (document_separator or "").replace("\\n", "\n").replace("\\t", "\t")
    if document_separator == "":
        raise XinyeError(
            "the document separator is empty; leave it out, or give one such as '\\n\\n'"
        )
    for path in map(Path, files):
        suffix = suffix_of(path)
        if suffix in PLAIN_SUFFIXES:
            yield from _plain_pieces(path, separator)
            continue
        if suffix == ".parquet":
            records = parquet_records(path, [field] if field else [])
        else:
            records = read_records(path, on_bad, [field] if field else [], notes=notes)
        yield from _record_pieces(path, records, field, on_bad, on_field)


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
            # A separator that the end of the block breaks off must not be cut, hence its length.
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
    """The first of some numbered lines that is not empty, or ""."""
    return next((line for _, line in lines if line.strip()), "")
