"""Finds the files that a name, folder, archive or glob stands for, and reads and writes files
safely.

Only regular files are opened. JSON is read whole, or fails with a one-line error.
"""

import glob
import hashlib
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from xinye.data.archives import (
    ZIP,
    archive_of,
    how_to_unpack,
    is_archive,
    is_hidden,
    member_size,
    members,
    open_member,
)
from xinye.data.notes import Notes
from xinye.data.parts import open_part
from xinye.errors import XinyeError, quoted
from xinye.libraries import need

PLAIN_SUFFIXES = (".txt", ".md", ".text", ".raw")
SPREADSHEETS = (".xlsx", ".xlsm")
BINARY_SUFFIXES = (".parquet", *SPREADSHEETS)  # not text, and compressed by the format itself
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", *BINARY_SUFFIXES)
SUFFIXES = (*PLAIN_SUFFIXES, *RECORD_SUFFIXES)
OTHER_SPREADSHEETS = (".xls", ".xlsb", ".ods", ".et", ".numbers")
_ABOUT_FILES = ("readme", "license", "licence", "changelog")  # files that describe other files
LARGEST_JSON = 1 << 28  # bytes; the largest tokenizer.json known has 33 million


def open_regular(path: Path) -> BufferedReader:
    """A file, or a member of an archive, opened for reading bytes.

    Raises `OSError` as `open` does, and `XinyeError` for anything but a regular file: a pipe would
    block, and a device may never end.
    """
    if archive := archive_of(path):
        return open_member(archive, path)
    check_regular(path)
    if is_archive(path):
        members(path)  # raises if the archive is damaged or unsafe
    return open_part(path)


def file_size(path: Path) -> int:
    """The size in bytes of a file, or the unpacked size of a member of an archive."""
    archive = archive_of(path)
    return member_size(archive, path) if archive else path.stat().st_size


def check_regular(path: Path) -> None:
    """Raises `XinyeError` if the path is a folder, pipe, socket or device, and `OSError` if it does
    not exist.
    """
    if archive := archive_of(path):
        member_size(archive, path)
        return
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        if stat.S_ISDIR(mode):
            raise XinyeError(f"{path}: this is a folder; only files are read")
        kinds = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a Unix socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device file")
        raise XinyeError(f"{path}: this is {kind}; only files are read")


def check_file(path: Path) -> None:
    """Raises `XinyeError` unless the path is an existing regular file."""
    try:
        check_regular(path)
    except FileNotFoundError:
        raise XinyeError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror}") from None


def read_text(path: Path, largest: int) -> str:
    """The text of a UTF-8 file of at most `largest` bytes. Raises `OSError`, `UnicodeDecodeError`,
    or `XinyeError` for a larger file.
    """
    with open_regular(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise XinyeError(
            f"{path}: the file is larger than {largest / 1e6:,.1f} MB, too large for its kind"
        )
    return data.decode("utf-8")


def read_json(path: Path, problem: str = "the file is damaged") -> dict[str, Any]:
    """The object in a JSON file. Raises `XinyeError` if the file is missing, damaged or holds
    another value; `problem` is the message for damage.
    """
    try:
        data = json.loads(read_text(path, LARGEST_JSON))
    except FileNotFoundError:
        raise XinyeError(f"{path}: there is no such file") from None
    except OSError as error:
        raise XinyeError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise XinyeError(f"{path}: {problem} ({str(error)[:200]})") from None
    if not isinstance(data, dict):
        raise XinyeError(f"{path}: {problem} (not a JSON object)")
    return data


def find_files(
    patterns: Sequence[str | Path], notes: Notes | None = None, without: Sequence[Path] = ()
) -> list[Path]:
    """The text files that names, folders, archives and globs stand for. Folders are searched with
    their subfolders, and the files of each pattern are sorted.

    If several files have the same bytes, only the first is kept. Hidden files are skipped, and so
    are the folders `without`. `notes` report the files and archives that are not read. Raises
    XinyeError if a pattern stands for no file, or only for files that cannot be read.

    >>> find_files(["novels/", "corpus/**/*.jsonl.gz", "诗.txt"])  # doctest: +SKIP
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file() and suffix_of(path) not in (*SUFFIXES, ZIP):
            raise not_readable(path, SUFFIXES)
        files = [each for each in expand(path) if not {*without} & {*each.parents}]
        # An archive that cannot be opened stays in the list, and reading it raises the error.
        readable = [each for each in files if suffix_of(each) in (*SUFFIXES, ZIP)]
        if not readable:
            raise nothing_readable(path, files, "text files", SUFFIXES)
        _note_other_kinds(files, readable, notes or Notes())
        found += readable
    found = different(once(found))
    check_libraries(found)
    return found


def find_records(
    name: str | Path,
    suffixes: Sequence[str],
    notes: Notes,
    is_record: Callable[[Path], bool] = lambda text: False,
) -> list[Path]:
    """The record files that a name stands for.

    A file stands for itself, whatever its suffix. A folder, archive or glob stands for its files
    with these suffixes; of files with the same bytes only the first is kept. A plain-text file next
    to tables or JSON, such as a README, is skipped unless `is_record` returns True for it. `notes`
    report what is skipped. Raises XinyeError if nothing can be read.
    """
    path = Path(name).expanduser()
    if not (path.is_dir() or is_archive(path) or is_pattern(path)) and not archive_of(path):
        check_file(path)
        return [path]
    files = expand(path)
    if files == [path]:
        return files
    found = [each for each in files if suffix_of(each) in (*suffixes, ZIP)]
    if not found:
        raise nothing_readable(path, files, "files of records", suffixes)
    _note_other_kinds(files, found, notes)
    plain = [each for each in found if suffix_of(each) in PLAIN_SUFFIXES]
    if len(plain) == len(found):
        plain = [each for each in found if each.stem.lower().startswith(_ABOUT_FILES)]
    texts = [each for each in plain if not is_record(each)]
    if len(texts) < len(found):
        for each in texts:
            what = (
                "a text file beside files of records is not read; name it if it holds records: "
                f"{quoted(texts[0])}"
            )
            notes.add(str(each), what)
            found.remove(each)
    return different(once(found))


def _note_other_kinds(files: Iterable[Path], read: Iterable[Path], notes: Notes) -> None:
    """Add a note for each file that is not read."""
    for path in sorted({*files} - {*read}):
        if how_to_unpack(path):
            what = f"archives of the kind {path.suffix} are skipped; unpack them"
        else:
            what = f"files of the kind {path.suffix or path.name} are not read"
        notes.add(str(path), what)


def one_file(name: Path) -> Path:
    """The file that a name stands for: the file itself, or the only one in an archive or folder.
    Raises `XinyeError` if there are several, because their records would have the same numbers.
    """
    found = find_records(name, RECORD_SUFFIXES, Notes())
    if len(found) > 1:
        raise XinyeError(f"{name}: it holds {len(found)} files; name one, such as {found[0]}")
    if suffix_of(found[0]) not in (*RECORD_SUFFIXES, ZIP):
        raise not_readable(found[0], RECORD_SUFFIXES)
    return found[0]


def accepted(suffixes: Sequence[str]) -> str:
    """The part of a message that lists which files can be read."""
    return (
        f"accepted: {' '.join(suffixes)}, also with .gz (except {' '.join(BINARY_SUFFIXES)}) "
        "and inside a .zip"
    )


def not_readable(path: Path, suffixes: Sequence[str]) -> XinyeError:
    """The error for a file of a kind that cannot be read."""
    problem = f"{path}: files of this kind cannot be read"
    advice = how_to_unpack(path) + how_to_save(path)
    return XinyeError(f"{problem}; {advice}{accepted(suffixes)}")


def nothing_readable(
    path: Path, files: Sequence[Path], what: str, suffixes: Sequence[str]
) -> XinyeError:
    """The error for a folder or archive that contains no readable file."""
    kinds = Counter(each.suffix.lower() or each.name for each in files)
    skipped = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(6))
    if len(kinds) > 6:
        skipped += " …"
    problem = f"{path}: no {what} there"
    if skipped:
        problem = f"{path}: no {what} there (skipped: {skipped})"
    archive = next((each for each in files if how_to_unpack(each)), None)
    advice = f"{archive}: {how_to_unpack(archive)}" if archive else ""
    last = accepted(suffixes)
    if skipped and suffixes == SUFFIXES:
        collect = "for PDF, EPUB, HTML and other formats, use xinye data collect"
        last = f"{last}; {collect}"
    return XinyeError(f"{problem}; {advice}{last}")


def how_to_save(path: Path) -> str:
    """How to convert a spreadsheet of a kind that is not read, or "" for any other file."""
    if suffix_of(path) not in OTHER_SPREADSHEETS:
        return ""
    what = what_text(path)
    return f"{what}; " if what else "save it as .xlsx in Excel, WPS or LibreOffice; "


def what_text(path: Path) -> str:
    """What a text file that is named like a spreadsheet really is and how to convert it, or "" if
    the file is not text.
    """
    with open_regular(path) as file:
        head = file.read(4096)
    suffix = path.suffix.lower()
    wide = head.startswith((b"\xff\xfe", b"\xfe\xff"))
    if not head or (not wide and re.search(rb"[\0-\x08\x0e-\x1f]", head)):
        return ""
    if re.match(rb"(\xef\xbb\xbf)?\s*<", head):
        kind = "an HTML page" if re.search(rb"(?i)<(html|table|!doctype html)", head) else "XML"
        return f"{kind} named {suffix}: open it in Excel, WPS or LibreOffice and save it as .xlsx"
    named = ".tsv" if b"\t" in head else ".csv"
    return f"a text table named {suffix}: rename it to {named}"


def expand(path: Path) -> list[Path]:
    """All files that a name, folder, archive or glob stands for, sorted, without hidden files. An
    archive that cannot be read stands for itself.

    Raises XinyeError if the name stands for nothing.
    """
    if archive := archive_of(path):
        inside = [each for each in members(archive) if path in (each, *each.parents)]
        if not inside:
            raise XinyeError(f"{path}: no such file or folder in the archive")
        return inside
    if path.is_dir():
        files = [each for each in path.rglob("*") if not is_hidden(each.relative_to(path))]
    elif is_pattern(path):
        found = map(Path, glob.glob(str(path), recursive=True))
        files = [each for each in found if not is_hidden(Path(each.name))]
    else:
        check_file(path)
        files = [path]
    return [each for file in sorted(files) if file.is_file() for each in _with_members(file)]


def is_pattern(path: Path) -> bool:
    """True for a glob, unless a file of exactly that name exists."""
    return glob.has_magic(str(path)) and not path.exists()


def _with_members(file: Path) -> list[Path]:
    if not is_archive(file):
        return [file]
    try:
        return members(file)
    except XinyeError:
        return [file]


def different(files: Sequence[Path]) -> list[Path]:
    """The first file of each group with the same bytes, in order."""
    sizes = Counter(map(file_size, files))
    contents: dict[object, Path] = {}
    for path in files:
        size = file_size(path)
        contents.setdefault(_digest_or_name(path) if sizes[size] > 1 else size, path)
    return list(contents.values())


def once(files: Iterable[Path]) -> list[Path]:
    """The files in order, without repeated paths and links to files that are listed already."""
    found: dict[Path, Path] = {}
    for path in files:
        found.setdefault(path.resolve(), path)
    return list(found.values())


def check_libraries(files: Iterable[str | Path]) -> None:
    """Raises XinyeError if reading these files needs a package that is not installed."""
    for path in map(Path, files):
        if suffix_of(path) == ".parquet":
            need(f"{path}: a Parquet file", "pyarrow")
        elif suffix_of(path) in SPREADSHEETS:
            need(f"{path}: an Excel file", "openpyxl")


def fingerprint(files: Sequence[Path]) -> str:
    """A hash of the files' bytes, in order. The files' names do not change it."""
    digests = b"".join(_digest(Path(path)) for path in files)
    return hashlib.blake2b(digests, digest_size=16).hexdigest()


def suffix_of(path: Path) -> str:
    """The suffix in lower case that names the format, such as ".jsonl" for "a.jsonl.gz". It is ""
    if a format that compresses by itself is gzipped again.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return "" if suffix in BINARY_SUFFIXES and path.suffix.lower() == ".gz" else suffix


def _digest_or_name(path: Path) -> bytes | Path:
    try:
        return _digest(path)
    except XinyeError:  # reading the file later raises the error
        return path


def _digest(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary path next to a file. If the block succeeds, the finished file replaces the old
    one; if it fails, the temporary file is deleted. Raises `XinyeError` for a path that is not a
    regular file, such as a device or a link: it would be gone.
    """
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise XinyeError(f"{path}: this is a link, a device or a folder; name a file")
    beside = path.with_name(f".{path.name}.new")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write a JSON Lines file. A reader sees either the old or the complete new file. A byte of a
    file's name that is not Unicode becomes an escape, such as `\\udcb9`."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with written_beside(path) as beside:
        beside.write_text("".join(lines), "utf-8", "backslashreplace")


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file as `write_json_lines` does."""
    text = json.dumps(data, indent=2, ensure_ascii=False) + "\n"
    with written_beside(path) as beside:
        beside.write_text(text, "utf-8", "backslashreplace")
