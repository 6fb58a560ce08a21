"""Zip archives: their members are read as files, named `reviews.zip/part1.csv`.

Members are streamed out of the archive, so nothing is ever unpacked on the disk. A harmful archive
or member is refused in one line when it is opened.
"""

import io
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from lzma import LZMAError
from pathlib import Path, PurePosixPath
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from xinye.errors import XinyeError, one_line

ZIP = ".zip"
LARGEST = 64 << 30  # bytes of all members, unpacked
RATIO = 200  # unpacked to packed; real text reaches 50
LARGEST_REPETITION = 10 << 20  # bytes that may be unpacked at any ratio
_LINE_ENDS = {code: chr(0x2400 + code) for code in b"\t\n\r"}  # `readable` lets them be
_UTF_8 = 0x800  # the flag of a member whose name is UTF-8
_ENCRYPTED = 0x1
_DAMAGED = (BadZipFile, zlib.error, LZMAError, EOFError, ValueError, RuntimeError)
_UNPACK = "unpack it and name the folder instead"
OTHERS = {  # archives that are not read, and the command that unpacks them
    ".tar": ("tar", "xf"), ".tgz": ("tar", "xf"), ".tbz2": ("tar", "xf"), ".txz": ("tar", "xf"),
    ".7z": ("7z", "x"), ".rar": ("unrar", "x"), ".bz2": ("bunzip2", "-k"), ".xz": ("unxz", "-k"),
    ".zst": ("unzstd",),
}  # fmt: skip


def archive_of(path: Path) -> Path | None:
    """The archive that this is a member of, or could be; None for the name of a file."""
    if ZIP not in str(path).lower():
        return None
    return next((each for each in path.parents if is_archive(each)), None)


def is_archive(path: Path) -> bool:
    return path.suffix.lower() == ZIP and path.is_file()


def members(archive: Path) -> list[Path]:
    """The members of an archive that are files, sorted, without those that are hidden, by macOS
    too. Raises `XinyeError` for an archive that cannot be read, or should not."""
    return sorted(archive / name for name in _opened(archive)[1])


def member_size(archive: Path, path: Path) -> int:
    """Bytes of a member, unpacked."""
    return _find(archive, path)[1].file_size


def open_member(archive: Path, path: Path) -> io.BufferedReader:
    """A member's bytes. Raises `XinyeError` where it cannot be read, or should not."""
    file, member = _find(archive, path)
    if problem := _problem(path, member):
        raise XinyeError(f"{path}: {problem}")
    with _damage_reported(path):
        return io.BufferedReader(_Member(path, file.open(member)), 1 << 16)


def how_to_unpack(path: Path) -> str:
    """What to do with an archive of a kind that is not read, as the beginning of a sentence; ""
    for what is no archive."""
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    suffix = ".tar" if ".tar." in path.name.lower() else suffix
    if suffix not in OTHERS:
        return ""
    command = " ".join(OTHERS[suffix])
    advice = f"unpack it first ({command} FILE)"
    return f"{advice}; "


class _Member(io.RawIOBase):
    """A member as an open file. An error about damage in it names the member."""

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
        reason = " ".join(str(error).split())[:100] or type(error).__name__
        raise XinyeError(
            f"{path}: it is damaged, or compressed in a way that cannot be read ({reason}); "
            "download it again, or unpack it"
        ) from None


def _opened(archive: Path) -> tuple[ZipFile, dict[str, ZipInfo]]:
    """An open archive, and its members by their names."""
    about = archive.stat()
    return _directory(archive, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=8)  # else each member would read the names of all again
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
        hidden = any(re.match(r"\.[^/]|__MACOSX$", part) for part in parts)
        if hidden or name.endswith("/"):
            continue
        name = one_line(PurePosixPath(name).as_posix().translate(_LINE_ENDS))
        if name in found:
            raise XinyeError(f"{archive}: two files in it are called {name!r}; {_UNPACK}")
        found[name] = member
    return file, found


def _name(member: ZipInfo) -> str:
    """A member's name. Windows and older programs write it in the encoding of their language, and
    do not say which; Python takes it for that of the first PC."""
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
    """Why a member is not read; "" for one that is."""
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
