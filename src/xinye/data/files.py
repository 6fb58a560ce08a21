"""Which files a person's names stand for; and how files that anybody may have made are read.

Only regular files are opened, and JSON is read whole or refused in one line.
"""

import glob
import hashlib
import json
import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

from xinye.errors import XinyeError
from xinye.libraries import need

PLAIN_SUFFIXES = (".txt", ".md", ".text", ".raw")
SPREADSHEETS = (".xlsx", ".xlsm")
BINARY_SUFFIXES = (".parquet", *SPREADSHEETS)  # that are no text, and compressed by themselves
SUFFIXES = (*PLAIN_SUFFIXES, ".jsonl", ".ndjson", ".json", ".csv", ".tsv", *BINARY_SUFFIXES)
ACCEPTED = f"accepted: {' '.join(SUFFIXES)}, each but {' '.join(BINARY_SUFFIXES)} also with .gz"
OTHER_SPREADSHEETS = (".xls", ".xlsb", ".ods", ".et", ".numbers")
LARGEST_JSON = 1 << 28  # bytes; the largest tokenizer.json known has 33 million


def open_regular(path: Path) -> BufferedReader:
    """A file's bytes. Raises `OSError` as `open` does, and `XinyeError` for what is no regular
    file: a pipe would be waited for, and a device can go on for ever.
    """
    check_regular(path)
    return path.open("rb")


def check_regular(path: Path) -> None:
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode):
        kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
        kind = kinds.get(stat.S_IFMT(mode), "a device")
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
            f"{path}: larger than {largest / 1e6:,.1f} MB, too large for what it should be"
        )
    return data.decode("utf-8")


def read_json(path: Path, problem: str = "damaged") -> dict[str, Any]:
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
        raise XinyeError(f"{path}: {problem} (not an object)")
    return data


def find_files(patterns: Sequence[str | Path]) -> list[Path]:
    """The text files that names, folders (searched through) and globs stand for: sorted within
    each, none twice.

    Of files with the same bytes only the first is kept; hidden files are skipped.
    Raises XinyeError for a pattern that stands for no file, or for one that cannot be read here.

    >>> find_files(["novels/", "corpus/**/*.jsonl.gz", "诗.txt"])  # doctest: +SKIP
    """
    found: list[Path] = []
    for pattern in patterns:
        path = Path(pattern).expanduser()
        if path.is_file() and suffix_of(path) not in SUFFIXES:
            advice = f"{how_to_save(path)}files of this kind cannot be read"
            raise XinyeError(f"{path}: {advice}; {ACCEPTED}")
        files = [each for each in expand(path) if suffix_of(each) in SUFFIXES]
        if not files:
            raise XinyeError(f"{path}: no text files there; {ACCEPTED}")
        found += files
    found = once(found)
    sizes = Counter(path.stat().st_size for path in found)
    contents: dict[object, Path] = {}
    for path in found:
        size = path.stat().st_size
        contents.setdefault(_digest(path) if sizes[size] > 1 else size, path)
    check_libraries(contents.values())
    return list(contents.values())


def how_to_save(path: Path) -> str:
    """What to do with a spreadsheet of a kind that is not read; "" for any other file."""
    other = suffix_of(path) in OTHER_SPREADSHEETS
    return "save it as .xlsx in Excel, WPS or LibreOffice; " if other else ""


def expand(path: Path) -> list[Path]:
    """The files that a name, a folder or a glob stands for, sorted; of a folder those that are not
    hidden.

    Raises XinyeError for a name that stands for nothing.
    """
    if path.is_dir():
        files = [
            each
            for each in path.rglob("*")
            if not any(part.startswith(".") for part in each.relative_to(path).parts)
        ]
    elif glob.has_magic(str(path)) and not path.is_file():
        files = [Path(each) for each in glob.glob(str(path), recursive=True)]
    else:
        check_file(path)
        files = [path]
    return sorted(each for each in files if each.is_file())


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
            need(f"{path}: a spreadsheet", "openpyxl")


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
