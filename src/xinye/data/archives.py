"""Zip archives: Xinye reads their members as files named like `reviews.zip/part1.csv`.

Members are streamed out of the archive, so nothing is unpacked on the disk. Opening a harmful
archive or member fails with a one-line error.
"""

import io
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path, PurePath, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from xinye.errors import LINE_ENDS, XinyeError, one_line, reason_of

ZIP = ".zip"
LARGEST = 64 << 30  # bytes of all members, unpacked
RATIO = 200  # unpacked to packed; real text reaches 50
LARGEST_REPETITION = 10 << 20  # bytes that may be unpacked at any ratio
_UTF_8 = 0x800  # the flag of a member whose name is UTF-8
_ENCRYPTED = 0x1
_DAMAGED = (BadZipFile, zlib.error, LZMAError, EOFError, ValueError, RuntimeError)
_UNPACK = "unpack it and name the folder instead"
OTHERS = {  # archives that Xinye does not read, and the command that unpacks each
    ".tar": ("tar", "xf"), ".tgz": ("tar", "xf"), ".tbz2": ("tar", "xf"), ".txz": ("tar", "xf"),
    ".7z": ("7z", "x"), ".rar": ("unrar", "x"), ".bz2": ("bunzip2", "-k"), ".xz": ("unxz", "-k"),
    ".zst": ("unzstd",),
}  # fmt: skip


# Files that a system or a program leaves next to a person's files: hidden files, Office's lock
# files, and the metadata of macOS and Windows.
_LEFT_BEHIND = re.compile(r"\.[^/]|~\$|(__MACOSX|Thumbs\.db|desktop\.ini)$", re.IGNORECASE)


def is_hidden(path: PurePath) -> bool:
    """True if a file, or a folder on its path, is hidden or was left behind by a program or the
    system, such as Excel's lock file `~$book.xlsx`.
    """
    return any(_LEFT_BEHIND.match(part) for part in path.parts)


def archive_of(path: Path) -> Path | None:
    """The archive that contains this path, or None if no folder on the path is an archive. The
    member itself need not exist.
    """
    if ZIP not in str(path).lower():
        return None
    return next((each for each in path.parents if is_archive(each)), None)


def is_archive(path: Path) -> bool:
    """True for an existing file whose name ends in .zip."""
    return path.suffix.lower() == ZIP and path.is_file()


def members(archive: Path) -> list[Path]:
    """The paths of all files in an archive, sorted, without hidden files and macOS's metadata.
    Raises `XinyeError` for an archive that is damaged, too large or unsafe.
    """
    return sorted(archive / name for name in _opened(archive)[1])


def member_size(archive: Path, path: Path) -> int:
    """The unpacked size of a member in bytes. Raises `FileNotFoundError` if there is no such
    member.
    """
    return _find(archive, path)[1].file_size


def open_member(archive: Path, path: Path) -> io.BufferedReader:
    """A member, opened for reading bytes. Raises `XinyeError` if it is damaged, encrypted, a link,
    an archive itself, or compressed like a zip bomb; `FileNotFoundError` if there is no such
    member.
    """
    file, member = _find(archive, path)
    if problem := _problem(path, member):
        raise XinyeError(f"{path}: {problem}")
    with _damage_reported(path):
        return io.BufferedReader(_Member(path, file.open(member)), 1 << 16)


def how_to_unpack(path: Path) -> str:
    """Advice for an archive that Xinye does not read, as the beginning of a sentence, such as
    "unpack it first (tar xf FILE); ". It is "" for any other file.
    """
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    suffix = ".tar" if ".tar." in path.name.lower() else suffix
    if suffix not in OTHERS:
        return ""
    command = " ".join(OTHERS[suffix])
    advice = f"unpack it first ({command} FILE)"
    return f"{advice}; "


class _Member(io.RawIOBase):
    """A member as an open file. Errors about damage name the member."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self.path = path
        self.file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with _damage_reported(self.path):
            data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with _damage_reported(self.path):
            return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()
        super().close()


@contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise XinyeError(f"{path}: {error.strerror or error}") from None
    except _DAMAGED as error:
        reason = reason_of(error, 100) or type(error).__name__
        raise XinyeError(
            f"{path}: it is damaged, or compressed in a way that cannot be read ({reason}); "
            "download it again, or unpack it"
        ) from None


def _opened(archive: Path) -> tuple[ZipFile, dict[str, ZipInfo]]:
    """An open archive, and its members by their names."""
    about = archive.stat()
    return _directory(archive, about.st_mtime_ns, about.st_size)


# Without the cache, opening a member would read the names of all members again.
@lru_cache(maxsize=8)
def _directory(archive: Path, changed: int, size: int) -> tuple[ZipFile, dict[str, ZipInfo]]:
    with _damage_reported(archive):
        file = ZipFile(archive)
    if sum(member.file_size for member in file.infolist()) > LARGEST:
        raise XinyeError(f"{archive}: it is larger than {LARGEST >> 30} GB unpacked; {_UNPACK}")
    found: dict[str, ZipInfo] = {}
    for member in file.infolist():
        name = _name(member)
        parts = name.split("/")
        if ".." in parts or re.match(r"/|[A-Za-z]:|.*\0", name):
            raise XinyeError(
                f"{archive}: the name {name[:80]!r} in it points outside the archive; it is not "
                "read, for safety"
            )
        if is_hidden(PurePosixPath(name)) or name.endswith("/"):
            continue
        name = one_line(PurePosixPath(name).as_posix().translate(LINE_ENDS))
        if name in found:
            raise XinyeError(f"{archive}: two files in it are called {name!r}; {_UNPACK}")
        found[name] = member
    return file, found


def _name(member: ZipInfo) -> str:
    """A member's name. Windows and older programs write it in the encoding of their language
    without saying which, and Python decodes it as that of the first PC (CP437).
    """
    name = member.orig_filename
    if not member.flag_bits & _UTF_8:
        written = name.encode("cp437")
        for encoding in ("utf-8", "gb18030", "cp437"):
            try:
                name = written.decode(encoding)
                break
            except UnicodeDecodeError:
                continue
    return name.replace("\\", "/")


def _find(archive: Path, path: Path) -> tuple[ZipFile, ZipInfo]:
    file, found = _opened(archive)
    name = path.relative_to(archive).as_posix()
    if name not in found:
        raise FileNotFoundError(2, "no such file in the archive")
    return file, found[name]


def _problem(path: Path, member: ZipInfo) -> str:
    """Why a member cannot be read, or "" if it can."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "this is a link, and links in archives are not followed; name its target"
    if path.suffix.lower() == ZIP:
        return "this is an archive within an archive; unpack the outer one and name the folder"
    if member.flag_bits & _ENCRYPTED:
        return "it is encrypted; unpack the archive with its password and name the folder"
    if member.file_size > max(LARGEST_REPETITION, RATIO * member.compress_size):
        packed = member.compress_size / 1e6
        size = member.file_size / 1e6
        return (
            f"its {size:,.0f} MB are compressed into {packed:,.2f} MB, more than {RATIO} to 1, as "
            f"in a zip bomb; if you trust the file, {_UNPACK}"
        )
    return ""
