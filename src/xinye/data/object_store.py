"""A corpus in an object store: `s3://bucket/corpus`, `gs://…` or `az://…`.

Shards are fetched whole, the next one while the present one is read, into a folder of the cache
that all processes of a host share. There a shard is named by its checksums. Whoever uses one holds
a lock on it; if the folder is full, those that nobody uses are removed, the one used longest ago
first. Where the file system has no locks, none is removed.

Credentials and the endpoint come from the usual variables, such as `AWS_ACCESS_KEY_ID` and
`AWS_ENDPOINT_URL`.
"""

import contextlib
import fcntl
import os
import re
import stat
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from xinye.cache import cache_folder
from xinye.data.files import LARGEST_JSON
from xinye.data.locks import alone
from xinye.data.manifest import CHUNK, check_file, checksum_of, damaged, digest_of
from xinye.errors import XinyeError, reason_of
from xinye.libraries import need

SCHEMES = ("s3", "gs", "az")
ATTEMPTS = 6  # at each piece of a file,
WAIT = 0.5  # seconds before the second; each further wait is twice as long
TIMEOUT = "60s"  # of one request
METADATA = "169.254.169.254"  # where a machine in a cloud asks for credentials if none are given
SHARD = r"[0-9a-f]{32}\.(tokens|documents)"
OWN = re.compile(rf"{SHARD}|\.{SHARD}\.\d+\.\d+\.new")  # the files that are ours to remove


def is_address(name: str) -> bool:
    """Whether a name is an address in an object store."""
    return name.partition("://")[0] in SCHEMES and "://" in name


class ObjectStore:
    """The place of a corpus in an object store. At most `limit` bytes of shards are kept here."""

    def __init__(self, address: str, limit: int) -> None:
        """Raises `XinyeError` if the address is wrong, or obstore is not installed."""
        need(address, "obstore", extra="cluster")
        import obstore
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        self.address, self.limit = address.rstrip("/"), limit
        self._error: type[Exception] = BaseError
        options: Any = {"timeout": TIMEOUT, "connect_timeout": "10s"}
        if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
            options["allow_http"] = True
        retries: Any = {"max_retries": 0}  # it is tried again here
        try:
            self._store = from_url(self.address, client_options=options, retry_config=retries)
        except (BaseError, ValueError) as error:
            raise XinyeError(
                f"{address}: this is no address of a corpus ({_reason(error)})"
            ) from None
        self._get = obstore.get
        self._small = tempfile.TemporaryDirectory(prefix="xinye-")  # the manifest, the tokenizer
        self._checked: set[Path] = set()
        self._ahead: threading.Thread | None = None

    def name(self, file: str) -> str:
        return f"{self.address}/{file}"

    def file(self, name: str, size: int | None = None, checksums: Sequence[str] = ()) -> Any:
        if size is None:
            return self._small_file(name)
        if 3 * size > self.limit:
            least = f"{-(-3 * size // 10**6)}MB"  # for this shard, the next one, and validation
            raise XinyeError(
                f"{self.name(name)}: three shards as large as this one must fit into the cache; "
                f"give at least --shard-cache {least}"
            )
        target = self._target(name, checksums)
        while True:
            self._fetch(name, target, size, checksums)
            with contextlib.suppress(FileNotFoundError):  # it may be removed at this very moment
                file = target.open("rb")
                if self._is_good(file, target, name, size, checksums):
                    return file

    def expect(self, name: str, size: int, checksums: Sequence[str]) -> None:
        if self._ahead and self._ahead.is_alive():
            return

        def fetch() -> None:
            with contextlib.suppress(XinyeError):  # `file` will raise it
                self._fetch(name, self._target(name, checksums), size, checksums)

        self._ahead = threading.Thread(target=fetch, name="xinye-shards", daemon=True)
        self._ahead.start()

    def _small_file(self, name: str) -> Path:
        path = Path(self._small.name, name)
        path.parent.mkdir(exist_ok=True)
        data = self._patiently(name, LARGEST_JSON)
        if len(data) > LARGEST_JSON:
            problem = f"the file goes on after byte {LARGEST_JSON:,}, too large for its kind"
            raise damaged(self.name(name), problem)
        path.write_bytes(data)
        return path

    def _target(self, name: str, checksums: Sequence[str]) -> Path:
        content = digest_of({"checksums": list(checksums)})
        return cache_folder() / "shards" / f"{content}{Path(name).suffix}"

    def _is_good(
        self, file: IO[bytes], target: Path, name: str, size: int, checksums: Sequence[str]
    ) -> bool:
        """Whether a file of the cache is as it should be; from then on nobody removes it until it
        is closed. A bad one is removed."""
        _lock(file, fcntl.LOCK_SH)
        with contextlib.suppress(OSError):
            os.utime(target)
        if target in self._checked:
            return True
        try:
            check_file(target, self.name(name), size, checksums)
        except XinyeError:
            target.unlink(missing_ok=True)
            return False
        self._checked.add(target)
        return True

    def _fetch(self, name: str, target: Path, size: int, checksums: Sequence[str]) -> None:
        """Fetch a file into the cache, unless it is there. Raises `XinyeError`."""
        if _is_there(target):
            return
        try:
            _check_folder(target.parent)
            target.parent.mkdir(parents=True, exist_ok=True)
            with alone(target.with_name(f"{target.name}.lock")):
                if _is_there(target):  # another process was faster
                    return
                self._make_room(target.parent, size)
                beside = target.with_name(
                    f".{target.name}.{os.getpid()}.{threading.get_ident()}.new"
                )
                beside.unlink(missing_ok=True)
                try:
                    with beside.open("xb") as file:
                        _lock(file, fcntl.LOCK_EX)
                        for chunk in self._chunks(name, size, checksums):
                            file.write(chunk)
                        beside.replace(target)  # while it is locked
                finally:
                    beside.unlink(missing_ok=True)
        except OSError as error:
            raise XinyeError(
                f"{target.parent}: cannot keep the shards of {self.address} ({error.strerror}); "
                "free some disk space there, or set XINYE_CACHE to another folder",
                exit_code=1,
            ) from error

    def _chunks(self, name: str, size: int, checksums: Sequence[str]) -> Iterator[bytes]:
        """The content of a file, checked. Raises `XinyeError`."""
        for start, right in zip(range(0, size, CHUNK), checksums, strict=True):
            end = min(size, start + CHUNK)
            data = self._patiently(name, end - start, {"range": (start, end)})
            found = start + len(data)
            if found < end:
                raise damaged(self.name(name), f"the file ends at byte {found:,} of {size:,}")
            if found > end:
                raise damaged(self.name(name), "the server sends more bytes than it was asked for")
            if checksum_of(data) != right:
                problem = f"bytes {start:,} to {end:,} do not match their checksum"
                raise damaged(self.name(name), problem)
            yield data

    def _read(self, name: str, most: int, options: Any) -> bytes:
        """The content of an object, as far as some byte after the first `most`."""
        data = bytearray()
        for chunk in self._get(self._store, name, options=options).stream(min_chunk_size=1 << 20):
            data += chunk
            if len(data) > most:
                break
        return bytes(data)

    def _patiently(self, name: str, most: int, options: Any = None) -> bytes:
        """What `_read` returns, tried again when the network fails. Raises `XinyeError`."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(WAIT * 2 ** (attempt - 1))
            try:
                return self._read(name, most, options)
            except FileNotFoundError as error:
                what = "there is no such object; check the address and AWS_ENDPOINT_URL"
                if "NoSuchBucket" in str(error):
                    what = "there is no such bucket; check the address and AWS_ENDPOINT_URL"
                raise XinyeError(f"{self.name(name)}: {what}", 1) from None
            except self._error as error:
                if type(error).__name__ in ("PermissionDeniedError", "UnauthenticatedError"):
                    raise XinyeError(
                        f"{self.name(name)}: access is denied; check the credentials, such as "
                        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
                        exit_code=1,
                    ) from None
                problem = _reason(error)
                if METADATA in problem and self.address.startswith("s3:"):
                    raise XinyeError(
                        f"{self.name(name)}: there are no credentials; set AWS_ACCESS_KEY_ID and "
                        "AWS_SECRET_ACCESS_KEY",
                        exit_code=1,
                    ) from None
        raise XinyeError(
            f"{self.name(name)}: cannot be fetched, tried {ATTEMPTS} times ({problem})", 1
        )

    def _make_room(self, folder: Path, size: int) -> None:
        """Remove files of the cache that nobody uses until `size` more bytes stay within the
        limit. Without locks nobody knows which are used, so then nothing is removed."""
        with alone(folder / "lock") as has_locks:
            if not has_locks:
                return
            found = []
            for path in folder.iterdir():
                with contextlib.suppress(FileNotFoundError):
                    about = path.lstat()
                    if OWN.fullmatch(path.name) and stat.S_ISREG(about.st_mode):
                        found.append((about.st_mtime, about.st_size, path))
            total = sum(each for _, each, _ in found)
            for _, each, path in sorted(found):
                if total + size <= self.limit:
                    break
                if _remove_unused(path):
                    total -= each


def _reason(error: Exception) -> str:
    """What obstore says, without the insides of its error."""
    return reason_of(error, 400).partition(" Debug ")[0]


def _check_folder(folder: Path) -> None:
    """Raise `XinyeError` if the folder of shards is a link, or no folder: files are removed
    there."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise XinyeError(
            f"{folder}: this is a link or a file, and must be a folder for shards alone; "
            "remove it, or set XINYE_CACHE to another folder",
            exit_code=1,
        )


def _is_there(path: Path) -> bool:
    """Whether there is a file of the cache. Raises `XinyeError` if something else has its name."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise XinyeError(f"{path}: this is not a file of the cache of shards; remove it", 1)
    return True


def _remove_unused(path: Path) -> bool:
    """Remove a file of the cache unless somebody holds a lock on it; returns whether it is gone."""
    try:
        with path.open("rb") as file:
            _lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _lock(file: IO[bytes], how: int) -> None:
    """Lock an open file. Raises `BlockingIOError` if it must not wait and another has the lock;
    does nothing if the file system has no locks."""
    try:
        fcntl.flock(file, how)
    except BlockingIOError:
        raise
    except OSError:
        pass
