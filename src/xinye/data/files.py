"""Which files a person's names stand for; and how files that anybody may have made are read.

Only regular files are opened, and JSON is read whole or refused in one line.
"""

import glob
import hashlib
import json
import os
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
    member_size,
    members,
    open_member,
)
from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.libraries import need

PLAIN_SUFFIXES = (".txt", ".md", ".text", ".raw")
SPREADSHEETS = (".xlsx", ".xlsm")
BINARY_SUFFIXES = (".parquet", *SPREADSHEETS)  # that are no text, and compressed by themselves
RECORD_SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", *BINARY_SUFFIXES)
SUFFIXES = (*PLAIN_SUFFIXES, *RECORD_SUFFIXES)
OTHER_SPREADSHEETS = (".xls", ".xlsb", ".ods", ".et", ".numbers")
_ABOUT_FILES = ("readme", "license", "licence", "changelog")  # that tell of others
LARGEST_JSON = 1 << 28  # bytes; the largest tokenizer.json known has 33 million


def open_regular(path: Path) -> BufferedReader:
    """A file's bytes. Raises `OSError` as `open` does, and `XinyeError` for what is no regular
    file: a pipe would be waited for, and a device can go on for ever.
    """
    if archive := archive_of(path):
        return open_member(archive, path)
    check_regular(path)
    if is_archive(path):
        members(path)  # says what is wrong with it, where something is
    return path.open("rb")


def file_size(path: Path) -> int:
    """Bytes of a file, or of a member of an archive, unpacked."""
    archive = archive_of(path)
    return member_size(archive, path) if archive else path.stat().st_size


def check_regular(path: Path) -> None:
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
    """Raises `XinyeError` for what is not there, too."""
    try:
        check_regular(path)
    except FileNotFoundError:
        raise XinyeError(f"{path}: no such file or folder") from None
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror}") from None


def read_text(path: Path, largest: int) -> str:
    """A UTF-8 file of at most `largest` bytes. Raises `OSError`, `UnicodeDecodeError` and
    `XinyeError`.
    """
    with open_regular(path) as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise XinyeError(
            f"{path}: the file is larger than {largest / 1e6:,.1f} MB, too large for its kind"
        )
    return data.decode("utf-8")


def read_json(path: Path, problem: str = "the file is damaged") -> dict[str, Any]:
    """An object from a JSON file; a missing or damaged file is one clear line."""
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


def find_files(patterns: Sequence[str | Path], notes: Notes | None = None) -> list[Path]:
    """The text files that names, folders (searched through), archives and globs stand for: sorted
    within each, none twice.

    Of files with the same bytes only the first is kept; hidden files are skipped. `notes`
    report the archives that are skipped.
    Raises XinyeError for a pattern that stands for no file, or for one that cannot be read here.

    >>> find_files(["novels/", "corpus/**/*.jsonl.gz", "诗.txt"])  # doctest: +SKIP
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file() and suffix_of(path) not in (*SUFFIXES, ZIP):
            raise not_readable(path, SUFFIXES)
        files = expand(path)
        # An archive that cannot be opened stays: reading it says what is wrong.
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
    """The files of records that a name stands for: a file stands for itself, whatever its suffix;
    of a folder, an archive or a glob those with these suffixes, the same bytes once.

    Text beside tables and JSON, such as a README, is skipped unless it `is_record`. `notes` report
    what is skipped.
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
        plain = [each for each in found if each.stem.lower() in _ABOUT_FILES]
    texts = [each for each in plain if not is_record(each)]
    if len(texts) < len(found):
        for each in texts:
            what = "a text file beside files of records is not read; name it if it holds records"
            notes.add(str(each), what)
            found.remove(each)
    return different(once(found))


def _note_other_kinds(files: Iterable[Path], read: Iterable[Path], notes: Notes) -> None:
    """Note the files that are not among those that are read."""
    for path in sorted({*files} - {*read}):
        if how_to_unpack(path):
            what = f"archives of the kind {path.suffix} are skipped; unpack them"
        else:
            what = f"files of the kind {path.suffix or path.name} are not read"
        notes.add(str(path), what)


def one_file(name: Path) -> Path:
    """The file that a name stands for: itself, or the only one in an archive or a folder. Raises
    `XinyeError` where there are several, whose records would have the same numbers."""
    found = find_records(name, RECORD_SUFFIXES, Notes())
    if len(found) > 1:
        raise XinyeError(f"{name}: it holds {len(found)} files; name one, such as {found[0]}")
    if suffix_of(found[0]) not in (*RECORD_SUFFIXES, ZIP):
        raise not_readable(found[0], RECORD_SUFFIXES)
    return found[0]


def accepted(suffixes: Sequence[str]) -> str:
    """Which files can be read, for messages."""
    return (
        f"accepted: {' '.join(suffixes)}, also with .gz (except {' '.join(BINARY_SUFFIXES)}) "
        "and inside a .zip"
    )


def not_readable(path: Path, suffixes: Sequence[str]) -> XinyeError:
    """The error for a file of another kind."""
    problem = f"{path}: files of this kind cannot be read"
    advice = how_to_unpack(path) + how_to_save(path)
    return XinyeError(f"{problem}; {advice}{accepted(suffixes)}")


def nothing_readable(
    path: Path, files: Sequence[Path], what: str, suffixes: Sequence[str]
) -> XinyeError:
    """The error for a folder or an archive in which no file is of a kind that can be read."""
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
    """What to do with a spreadsheet of a kind that is not read; "" for any other file."""
    advice = "save it as .xlsx in Excel, WPS or LibreOffice"
    return f"{advice}; " if suffix_of(path) in OTHER_SPREADSHEETS else ""


def expand(path: Path) -> list[Path]:
    """The files that a name, a folder, an archive or a glob stands for, sorted; of folders and
    archives those that are not hidden. An archive that cannot be read stands for itself.

    Raises XinyeError for a name that stands for nothing.
    """
    if archive := archive_of(path):
        inside = [each for each in members(archive) if path in (each, *each.parents)]
        if not inside:
            raise XinyeError(f"{path}: no such file or folder in the archive")
        return inside
    if path.is_dir():
        files = [
            each
            for each in path.rglob("*")
            if not any(part.startswith(".") for part in each.relative_to(path).parts)
        ]
    elif is_pattern(path):
        files = [Path(each) for each in glob.glob(str(path), recursive=True)]
    else:
        check_file(path)
        files = [path]
    return [each for file in sorted(files) if file.is_file() for each in _with_members(file)]


def is_pattern(path: Path) -> bool:
    return glob.has_magic(str(path)) and not path.exists()


def _with_members(file: Path) -> list[Path]:
    if not is_archive(file):
        return [file]
    try:
        return members(file)
    except XinyeError:
        return [file]


def different(files: Sequence[Path]) -> list[Path]:
    """The first of all files that have the same bytes."""
    sizes = Counter(map(file_size, files))
    contents: dict[object, Path] = {}
    for path in files:
        size = file_size(path)
        contents.setdefault(_digest_or_name(path) if sizes[size] > 1 else size, path)
    return list(contents.values())


def once(files: Iterable[Path]) -> list[Path]:
    """The files without those that are links to others, or that two patterns stand for."""
    found: dict[Path, Path] = {}
    for path in files:
        found.setdefault(path.resolve(), path)
    return list(found.values())


def check_libraries(files: Iterable[str | Path]) -> None:
    """Raises XinyeError where a package is missing that reading these files needs."""
    for path in map(Path, files):
        if suffix_of(path) == ".parquet":
            need(f"{path}: a Parquet file", "pyarrow")
        elif suffix_of(path) in SPREADSHEETS:
            need(f"{path}: an Excel file", "openpyxl")


def fingerprint(files: Sequence[Path]) -> str:
    """A hash of the files' bytes, in order: the same text in files of other names has the same
    fingerprint.
    """
    digests = b"".join(_digest(Path(path)) for path in files)
    return hashlib.blake2b(digests, digest_size=16).hexdigest()


def suffix_of(path: Path) -> str:
    """The suffix that tells the format: ".jsonl" for "a.jsonl.gz"; not where the format compresses
    by itself."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    return "" if suffix in BINARY_SUFFIXES and path.suffix.lower() == ".gz" else suffix


def _digest_or_name(path: Path) -> bytes | Path:
    try:
        return _digest(path)
    except XinyeError:  # reading it says what is wrong
        return path


def _digest(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """Where to write a file: beside its place, which it takes when it is whole. Where writing it
    fails, nothing is left there.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        yield beside
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write a file of JSON lines: a reader finds the old one or the new."""
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with written_beside(path) as beside:
        beside.write_text("".join(lines), "utf-8")


def write_json(path: Path, data: Any) -> None:
    """Write a JSON file: a reader finds the old one or the new."""
    with written_beside(path) as beside:
        beside.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", "utf-8")
