"""Files in, text out: finds the files a person names, and reads documents from them in bounded memory.

Plain text, JSON, CSV, TSV and Parquet, in whatever encoding Chinese and English files really come in. An encoding is
decided on the whole file before the first character is handed out, so nothing is ever replaced or guessed half way:
a file reads exactly, or an error names the byte that does not fit. That costs one more pass over the file, at the
speed of a disk.
"""

import codecs
import csv
import difflib
import glob
import gzip
import hashlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from xinye.data.files import check_file, check_regular, open_regular
from xinye.errors import XinyeError, not_unicode
from xinye.libraries import need

BLOCK_BYTES = 1 << 20
PIECE_CHARACTERS = 1_000_000
HEAD_RECORDS = 100  # records looked at to find the column of text
HEAD_ROWS = 1000  # rows looked at to see whether the first is a header
LONGEST_NAME = 64  # characters of a column's name
PLAIN_SUFFIXES = (".txt", ".md", ".text", ".raw")
SUFFIXES = (*PLAIN_SUFFIXES, ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
ACCEPTED = f"accepted: {' '.join(SUFFIXES)}, each but .parquet also with .gz"
FIELD_NAMES = [
    "text",
    "content",
    "paragraphs",
    "body",
    "story",
    "review",
    "document",
    "article",
    "sentence",
]
FIELD_NAMES += ["正文", "内容", "文本", "段落", "文章", "评论"]

BYTE_ORDER_MARKS = {  # the longest first: UTF-32-LE begins like UTF-16-LE
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
BINARY_FORMATS = {
    b"PK\x03\x04": "a zip archive, or a Word, Excel or EPUB file",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
    b"\xd0\xcf\x11\xe0": "an old Word or Excel file",
    b"Rar!\x1a": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x1f\x8b": "gzip data whose name does not end in .gz",
    b"(\xb5/\xfd": "zstd data",
    b"\xfd7zXZ": "xz data",
}
# Real Chinese of any age consists of these for 13 to 35 %, text decoded wrongly for less than 1 %.
COMMON_CHINESE = re.compile(
    "[的一是不了在人有我他这這个個们們中来來上大为為和国國地到以说說时時要就出会會也你对對生能而子那得于着下自之，。、！？：；「」“”《》]"
)
_WRITTEN = re.compile(
    r"[\t\n\r -~\xa0-\u052f\u2010-\u2040\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_WESTERN = re.compile("[À-ÖØ-öø-ÿ‘’‚“”„–—…•€™©®°£«»§·½¼¡¿\xa0]+")
_AFTER_LINE = re.compile(r"(?s).*\n(?=\S)")
_AFTER_WORD = re.compile(r"(?s).*[\s。！？；，、：…”」』）](?=\S)")
_JSON_GAP = re.compile(r"[\s,]*")
_HALF = re.compile(
    r"\\u[dD][89a-fA-F]"
)  # how JSON writes half of a character; mostly the other half follows
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*%?")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of one document's text. Nearly every document is one piece; a long plain-text file comes in several,
    cut at line ends. `source` is for messages: "novel.txt", or "reviews.jsonl:17" with the line or record number.
    """

    text: str
    source: str
    first: bool = True  # it starts a document


def refuse(path: Path, line: int, problem: str) -> None:
    """What becomes of a bad record where the caller does not say otherwise."""
    raise XinyeError(f"{path}, line {line}: {problem}") from None


OnBad = Callable[[Path, int, str], None]


def find_files(patterns: Sequence[str | Path]) -> list[Path]:
    """The text files that names, folders (searched through) and globs stand for: sorted within each, none twice.

    Of files with the same bytes only the first is kept; hidden files are skipped.
    Raises XinyeError for a pattern that stands for no file, or for one that cannot be read here.

    >>> find_files(["novels/", "corpus/**/*.jsonl.gz", "诗.txt"])  # doctest: +SKIP
    """
    found: dict[Path, Path] = {}  # by real path: a link or a second pattern brings nothing new
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file():
            if _suffix(path) not in SUFFIXES:
                raise XinyeError(f"{path}: files of this kind cannot be read; {ACCEPTED}")
            files = [path]
        elif path.is_dir():
            files = [
                each
                for each in path.rglob("*")
                if not re.search(r"(^|[/\\])\.", str(each.relative_to(path)))
            ]
        elif glob.has_magic(str(path)):
            files = [Path(each) for each in glob.glob(str(path), recursive=True)]
        else:
            check_file(path)  # which it is not
        files = [each for each in files if each.is_file() and _suffix(each) in SUFFIXES]
        if not files:
            raise XinyeError(f"{path}: no text files there; {ACCEPTED}")
        found.update(
            (each.resolve(), each) for each in sorted(files) if each.resolve() not in found
        )
    sizes = Counter(path.stat().st_size for path in found.values())
    contents: dict[object, Path] = {}
    for path in found.values():
        size = path.stat().st_size
        contents.setdefault(_digest(path) if sizes[size] > 1 else size, path)
    check_libraries(contents.values())
    return list(contents.values())


def check_libraries(files: Iterable[str | Path]) -> None:
    """Raises XinyeError where a package is missing that reading these files needs."""
    for path in map(Path, files):
        if _suffix(path) == ".parquet":
            need(f"{path}: a Parquet file", "pyarrow")


def fingerprint(files: Sequence[Path]) -> str:
    """A hash of the files' bytes, in order: the same text in files of other names has the same fingerprint."""
    return hashlib.blake2b(
        b"".join(_digest(Path(path)) for path in files), digest_size=16
    ).hexdigest()


def read_pieces(
    files: Sequence[Path],
    field: str | None = None,
    document_separator: str | None = None,
    on_bad: OnBad = refuse,
    on_field: Callable[[str], None] = lambda field: None,
) -> Iterator[Piece]:
    r"""The documents in the files, in order, with "\n" as the only line end.

    A plain-text file is one document, or with `document_separator` ("\n\n", "<|endoftext|>"; a typed \n or \t is
    understood) one for each part; it comes in pieces of about a million characters. In the other formats each record
    is a document: a string, or an object or row whose `field` holds a string or a list of strings (lines). Without
    `field` the column is found by its name or its length; where a table has no header it has a number: "1", "2" …
    Empty files, records and parts give nothing.

    Raises XinyeError, when it gets there, for whatever cannot be read exactly, with file and line or byte. With
    `on_bad` a bad record is given to it instead (file, line, what is wrong), and reading goes on behind it; files that
    are bad as a whole still raise. `on_field` is told the column that is taken for the text.

    >>> "\n".join(piece.text for piece in read_pieces(find_files(["reviews.csv"]), field="评论"))  # doctest: +SKIP
    """
    separator = (document_separator or "").replace("\\n", "\n").replace("\\t", "\t")
    if document_separator == "":
        raise XinyeError(
            "the document separator is empty; leave it out, or give for example '\\n\\n'"
        )
    for path in map(Path, files):
        suffix = _suffix(path)
        if suffix in PLAIN_SUFFIXES:
            yield from _plain_pieces(path, separator)
            continue
        named = [field] if field else []
        records = (
            _parquet_records(path, field)
            if suffix == ".parquet"
            else read_records(path, on_bad, named)
        )
        yield from _record_pieces(path, records, field, on_bad, on_field)


def read_records(
    path: Path, on_bad: OnBad = refuse, named: Sequence[str] = (), tabbed: bool = False
) -> Iterator[tuple[int, Any]]:
    """The records of a table or a JSON file, each with its line: rows are dictionaries by the header's names, or where
    there is none (see `headerless`) by "1", "2" … With `tabbed` plain text is read as a table, too."""
    suffix = _suffix(path)
    if delimiter := _delimiter(path, tabbed):
        return _table_records(path, delimiter, on_bad, named)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json_records(path, on_bad) if suffix == ".json" else _json_lines(path, on_bad)
    archive = "unpack it first; " if suffix in (".zip", ".rar", ".7z", ".tar") else ""
    raise XinyeError(f"{path}: {archive}files of this kind cannot be read; {ACCEPTED}")


def headerless(path: Path, named: Sequence[str] = (), tabbed: bool = False) -> str:
    """Why the first line of a table is a record, and not its header; "" where it is one.

    Columns that a person has `named` decide: by words of the first line it is a header, by their numbers it is none.
    Else it is a record where a cell of it is a number, stands in its column again, or is too long for a name.
    """
    delimiter = _delimiter(path, tabbed)
    rows = _first_rows(path, delimiter, _quoting(path, delimiter)) if delimiter else []
    if not rows or set(named) & set(rows[0]):
        return ""
    first, *others = rows
    if named and all(name.isdecimal() and 0 < int(name) <= len(first) for name in named):
        return "its columns are named by number"
    for number, cell in enumerate(first):
        if _NUMBER.fullmatch(cell.strip()):
            return f"{cell.strip()!r} in it is a number"
        if cell.strip() and any(len(row) == len(first) and row[number] == cell for row in others):
            return f"{cell[:20]!r} stands in its column again"
        if len(cell) > LONGEST_NAME or "。" in cell:
            return f"{cell[:20] + '…'!r} is a text"
    return ""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a plain-text file with their numbers, without their ends."""
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            yield number, line.removesuffix("\n")


def detect_encoding(path: Path) -> str:
    """The Python name of the encoding in which the whole file (decompressed) reads without one misfit.

    Byte order marks are honoured, then comes UTF-8, UTF-16 and UTF-32 without a mark, GB18030, Big5, and last what
    charset-normalizer is sure of. A short text in an old encoding can be a text in another as well: a few Chinese
    characters in GB18030 or Big5 alone may be misread; from some ten on, they are not.

    Raises XinyeError for a binary or damaged file, and for text of no or of mixed encoding, with the byte's offset.
    """
    head = next(_blocks(path), b"")
    for magic, kind in BINARY_FORMATS.items():
        if head.startswith(magic):
            raise XinyeError(
                f"{path}: this is {kind}, not text; unpack or export it, or leave it out"
            )
    encoding = next(
        (name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), None
    )
    if not encoding and b"\0" in head:
        encoding = _wide_encoding(head[:65536])
    misfit = _first_misfit(path, encoding or "utf-8")
    if not misfit:
        return encoding or "utf-8"
    offset, value = misfit
    if not encoding and value == 0:
        raise XinyeError(
            f"{path}: a zero byte at offset {offset}: this is a binary file, not text; leave it out"
        )
    place = f"{path}: byte 0x{value:02X} at offset {offset} is not"
    if encoding:
        raise XinyeError(
            f"{place} {encoding.removesuffix('-sig').upper()}, as the file begins; convert it to UTF-8"
        )
    with _open_bytes(path) as file:
        file.seek(max(0, offset - 32768))
        older = older_encoding(file.read(min(offset, 32768)), file.read(32768))
    if not older:
        problem = "no other encoding fits"
    elif misfit := _first_misfit(path, older):
        problem = (
            f"byte 0x{misfit[1]:02X} at offset {misfit[0]} is not {older}, which it looks like"
        )
    else:
        return older
    raise XinyeError(f"{place} UTF-8, and {problem}; convert the file to UTF-8")


def decode(raw: bytes, what: str) -> str:
    """Bytes that are no file as text: UTF-8, or the older encoding that they are surely in."""
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start
    older = older_encoding(raw[max(0, offset - 32768) : offset], raw[offset : offset + 32768])
    with suppress(UnicodeDecodeError):
        if older:
            return raw.decode(older)
    raise XinyeError(
        f"{what} is not valid Unicode text: byte 0x{raw[offset]:02X} at offset {offset} is not UTF-8, and no other "
        "encoding fits; give it in UTF-8"
    )


def line_ends(path: Path, encoding: str) -> Counter[str]:
    """How often lines end with "CRLF", "LF" and "CR"."""
    counts: Counter[str] = Counter()
    with io.TextIOWrapper(_open_bytes(path), encoding, newline="") as file:
        for block in iter(partial(file.read, PIECE_CHARACTERS), ""):
            while block[-1] == "\r" and (more := file.read(1)):
                block += more
            both = block.count("\r\n")
            counts.update(CRLF=both, LF=block.count("\n") - both, CR=block.count("\r") - both)
    return +counts


def _wide_encoding(sample: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: the one in which text with zero bytes holds ASCII or everyday Chinese."""
    for encoding in ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be"):
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(sample)
        except UnicodeDecodeError:
            continue
        usual = len(re.findall(r"[\t\n\r -~]", text)) + len(COMMON_CHINESE.findall(text))
        if usual > len(text) / 10 and len(_WRITTEN.findall(text)) > len(text) * 0.9:
            return encoding
    return None


def older_encoding(before: bytes, after: bytes) -> str | None:
    """The encoding other than Unicode of the text around the first byte that is not UTF-8, as far as that is sure."""
    sample = before + after
    as_unicode = "".join(_NOT_ASCII.findall(sample.decode("utf-8", "replace")))
    proper = "".join(_NOT_ASCII.findall(before.decode("utf-8", "ignore")))
    if len(proper) > 3 or as_unicode.count("�") < len(as_unicode) / 2:
        return None  # it is damaged UTF-8, and another reading would turn all its good characters to rubbish
    shares = {}
    for encoding in ("gb18030", "big5hkscs"):
        text = "".join(_NOT_ASCII.findall(sample.decode(encoding, "ignore"))) or "?"
        shares[encoding] = len(COMMON_CHINESE.findall(text)) / len(text)
        if (
            encoding == "gb18030"
        ):  # a title or a name may hold no common character; then all must be of GB2312
            short = len(text) < 50 and 2 * len(text) == len(text.encode("gb2312", "ignore"))
    best = max(shares, key=lambda encoding: shares[encoding])
    if shares[best] > 0.1:
        return best
    if short:
        return "gb18030"
    marks = len(re.findall(rb"[\x80-\xff]", sample))
    if (
        marks < len(sample) / 4
    ):  # Western text; charset-normalizer takes its accents for one language or another
        text = sample.decode("cp1252", "replace")
        return (
            "cp1252" if all(_WESTERN.fullmatch(run) for run in _NOT_ASCII.findall(text)) else None
        )
    from charset_normalizer import from_bytes

    guess = from_bytes(sample).best()
    return guess.encoding if guess and guess.coherence > 0 else None


def _first_misfit(path: Path, encoding: str) -> tuple[int, int] | None:
    """Offset and value of the first byte that does not belong in text of this encoding, over the whole file."""
    decoder = codecs.getincrementaldecoder(
        encoding.removesuffix("-sig")
    )()  # with it, offsets would leave out the mark
    zeros_belong = encoding.startswith(("utf-16", "utf-32"))
    offset = 0
    for block in chain(_blocks(path), [b""]):
        waiting = decoder.getstate()[
            0
        ]  # the beginning of a character that the last block broke off
        zero = -1 if zeros_belong else block.find(0)
        try:
            decoder.decode(block if zero < 0 else block[:zero], final=not block or zero >= 0)
        except UnicodeDecodeError as error:
            return offset - len(waiting) + error.start, error.object[error.start]
        if zero >= 0:
            return offset + zero, 0
        offset += len(block)
    return None


def _suffix(path: Path) -> str:
    """The suffix that tells the format: ".jsonl" for "a.jsonl.gz"; parquet compresses by itself."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return "" if suffix == ".parquet" and path.suffix.lower() == ".gz" else suffix


def _digest(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None


def _open_bytes(path: Path) -> BinaryIO:
    check_regular(path)
    return cast(BinaryIO, gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb"))


def _blocks(path: Path) -> Iterator[bytes]:
    """The file's bytes, decompressed. The encoding is detected through this, so it meets every damaged file first."""
    try:
        with _open_bytes(path) as file:
            yield from iter(partial(file.read, BLOCK_BYTES), b"")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise XinyeError(
            f"{path}: the gzip data is damaged or cut short ({error}); fetch the file again"
        ) from None
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None


def _open_text(path: Path) -> TextIO:
    encoding = detect_encoding(path)
    return io.TextIOWrapper(_open_bytes(path), encoding)  # universal newlines


def _plain_pieces(path: Path, separator: str) -> Iterator[Piece]:
    with _open_text(path) as file:
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
    records: Iterator[tuple[int, Any]],
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
        source = f"{path.name}:{line}"
        if isinstance(record, dict):
            field = field or choose_field(path, [record])
            if field not in record:
                near = difflib.get_close_matches(field, map(str, record), n=3, cutoff=0.5)
                hint = (
                    f"did you mean {' or '.join(near)}?"
                    if near
                    else f"it has: {', '.join(map(str, record))}"
                )
                on_bad(path, line, f"no field {field!r} (--field) in this record; {hint}")
                continue
            record = record[field]
        text = as_text(record)
        if text is None:
            where = f"field {field!r}" if field else "the record"
            on_bad(
                path, line, f"{where} is not text but {str(record)[:40]!r}; name another --field"
            )
        elif text:
            yield Piece(
                text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text, source
            )


def as_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    return None


def choose_field(path: Path, rows: Sequence[dict[str, Any]]) -> str:
    """The column of text: by name, or the only one that holds words, or the one that holds at least twice as many."""
    columns = list(dict.fromkeys(chain.from_iterable(rows)))
    by_name = {str(column).strip().lower(): column for column in reversed(columns)}
    for name in FIELD_NAMES:
        if name in by_name:
            return by_name[name]
    lengths: Counter[str] = Counter()
    nested = set()
    for column in columns:
        for value in (row.get(column) for row in rows):
            text = as_text(value)
            if text and re.search(r"[^\W\d_]", text):
                lengths[column] += len(text)
            elif isinstance(value, dict) or (
                text is None and isinstance(value, list) and isinstance(value[0], dict | list)
            ):
                nested.add(
                    column
                )  # conversations and the like: their id beside them is not the text
                lengths[column] += len(str(value))
    ranking = lengths.most_common(2)
    if (
        ranking
        and ranking[0][0] not in nested
        and (len(ranking) == 1 or ranking[0][1] >= 2 * ranking[1][1])
    ):
        return ranking[0][0]
    raise XinyeError(
        f"{path}: which column is the text? Name it with --field; there are: {', '.join(map(str, columns))}"
    )


def _json_lines(path: Path, on_bad: OnBad) -> Iterator[tuple[int, Any]]:
    with _open_text(path) as file:
        for number, line in enumerate(file, 1):
            if not line.isspace():
                try:
                    record = json.loads(line)
                except (ValueError, RecursionError) as error:
                    problem = str(getattr(error, "msg", error)).removesuffix(" at")
                    column = getattr(error, "colno", 1)
                    on_bad(path, number, f"not valid JSON ({problem} at column {column})")
                else:
                    if _HALF.search(line) and (reason := not_unicode(record)):
                        on_bad(path, number, f"{reason}; mend it, or delete it")
                    else:
                        yield number, record


def _json_records(path: Path, on_bad: OnBad) -> Iterator[tuple[int, Any]]:
    """The records of a .json file, an array or one after the other, each decoded as soon as it has been read.

    Behind a bad record it goes on at the next line that begins as that record did, indented like it.
    """
    decode = json.JSONDecoder().raw_decode
    with _open_text(path) as file:
        buffer, position, line, in_array, gaps, indent = "", 0, 1, None, "", ""
        while True:
            gap = cast(re.Match[str], _JSON_GAP.match(buffer, position))
            line += buffer.count("\n", position, gap.end())
            gaps += gap[0]
            indent = gaps.rpartition("\n")[2] if "\n" in gaps else indent
            position = gap.end()
            if position == len(buffer):
                buffer, position = file.read(BLOCK_BYTES), 0
                if buffer:
                    continue
                if in_array:
                    on_bad(path, line, "the file ends inside its array; fetch it again")
                return
            if in_array is None:
                in_array = buffer[position] == "["
                position += in_array
            elif in_array and buffer[position] == "]":
                if (buffer[position + 1 :] + file.read(BLOCK_BYTES)).strip():
                    on_bad(path, line, "more follows the array; name a file of lines .jsonl")
                return
            else:
                try:
                    record, end = decode(buffer, position)
                except (ValueError, RecursionError) as error:
                    at = getattr(error, "pos", position)
                    # Perhaps the block ended inside the record: read as much again as stands here, and try anew.
                    if at > len(buffer) - 16 or str(error).startswith("Unterminated"):
                        more = file.read(max(BLOCK_BYTES, len(buffer) - position))
                        if more:
                            buffer, position = buffer[position:] + more, 0
                            continue
                    line += buffer.count("\n", position, at)
                    on_bad(path, line, f"not valid JSON ({getattr(error, 'msg', error)})")
                    like_it = f"\n{indent}{buffer[position] if buffer[position] in '{[' else '{'}"
                    while (end := buffer.find(like_it, at)) < 0 and (
                        more := file.read(BLOCK_BYTES)
                    ):
                        kept = len(buffer) - len(like_it)
                        line += buffer.count("\n", at, max(at, kept))
                        buffer, at = buffer[max(at, kept) :] + more, 0
                    if end < 0:
                        return
                    line += buffer.count("\n", at, end)
                else:
                    if _HALF.search(buffer, position, end) and (reason := not_unicode(record)):
                        on_bad(path, line, f"{reason}; mend it, or delete it")
                    else:
                        yield line, record
                    line += buffer.count("\n", position, end)
                position, gaps = end, ""


def _delimiter(path: Path, tabbed: bool) -> str:
    """What stands between the columns of a table; "" for what is none."""
    suffix = _suffix(path)
    return {".csv": ",", ".tsv": "\t"}.get(
        suffix, "\t" if tabbed and suffix in PLAIN_SUFFIXES else ""
    )


def _quoting(path: Path, delimiter: str) -> Any:
    """Whether quotes mean anything: with tabs programs disagree, and the file itself tells."""
    if delimiter != "\t":
        return csv.QUOTE_MINIMAL
    try:
        with _open_text(path) as file:
            even = (
                len({len(row) for row in csv.reader(file, delimiter=delimiter, strict=True) if row})
                == 1
            )
    except csv.Error:
        even = False
    return csv.QUOTE_MINIMAL if even else csv.QUOTE_NONE


def _first_rows(path: Path, delimiter: str, quoting: Any) -> list[list[str]]:
    """The first rows of a table as they stand there, up to one that is damaged."""
    found = []
    with _open_text(path) as file, suppress(csv.Error):
        for row in islice(
            csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True), HEAD_ROWS
        ):
            found += [row] if row else []
    return found


def _table_records(
    path: Path, delimiter: str, on_bad: OnBad, named: Sequence[str]
) -> Iterator[tuple[int, Any]]:
    """The rows of a table as dictionaries. Strict: a stray quote would swallow the rows after it in silence.

    Behind a quote that is never closed it goes on at the next line.
    """
    csv.field_size_limit(
        1 << 26
    )  # 67 million characters; without a limit an open quote takes the rest of the file
    quoting = _quoting(path, delimiter)
    numbered = headerless(path, named, tabbed=True)
    with _open_text(path) as file:
        rows = csv.reader(file, delimiter=delimiter, quoting=quoting, strict=True)
        header: list[str] | None = None
        skipped, line = (
            0,
            1,
        )  # lines before those that `rows` has counted; the line that the row begins in
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                on_bad(path, line, f"not a valid row ({error})")
                if re.search("unexpected end|field limit", str(error)):
                    file.seek(0)
                    rows = csv.reader(
                        islice(file, line, None), delimiter=delimiter, quoting=quoting, strict=True
                    )
                    skipped = line
            else:
                if row is None:
                    return
                if header is None and row:
                    header = [str(number) for number in range(1, len(row) + 1)] if numbered else row
                    row = row if numbered else []
                if header and len(row) == len(header):
                    yield line, dict(zip(header, row, strict=True))
                elif row:
                    what = f"{len(row)} column{'s' * (len(row) != 1)}, the {'first' if numbered else 'header'} line"
                    advice = (
                        "quote text that holds the delimiter"
                        if delimiter == ","
                        else "a tab parts them"
                    )
                    on_bad(path, line, f"{what} has {len(header or ())}; {advice}")
            line = skipped + rows.line_num + 1


def _parquet_records(path: Path, field: str | None) -> Iterator[tuple[int, Any]]:
    check_libraries([path])
    import pyarrow
    import pyarrow.parquet

    number = 0
    check_regular(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            if field is None and file.metadata.num_rows:
                head: Iterable[Any] = file.iter_batches(batch_size=HEAD_RECORDS)
                field = choose_field(path, next(iter(head)).to_pylist())
            # Only that column is read; a name that is not there goes on to the error that lists the others.
            columns = [field] if field in file.schema_arrow.names else None
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
    except UnicodeDecodeError as error:
        raise XinyeError(
            f"{path}, record {number + 1} or behind it: a text is not UTF-8 ({error.reason})"
        ) from None
    except (pyarrow.ArrowException, OSError) as error:
        raise XinyeError(
            f"{path}: not a whole Parquet file ({str(error).splitlines()[0]})"
        ) from None
