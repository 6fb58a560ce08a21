"""Compiles the C++ of this folder for one of several levels of instruction sets.

It needs nothing but Python, so that the build of a wheel can load it, and a process of its own can
run it: `python build.py COMPILER FOLDER LEVEL …`.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = HERE / "decoder.cpp", HERE / "training.cpp"
FLAGS = ("-std=c++20", "-O3", "-ffp-contract=off", "-shared", "-fPIC", "-pthread", "-w")
# For x86-64 processors, the best first: the instruction sets that a level needs, in Linux's words.
AVX2 = ("avx2", "fma", "f16c", "bmi2")
AVX512 = (*AVX2, "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni")
LEVELS = {
    "avx512_bf16": (*AVX512, "avx512_bf16"),
    "avx512": AVX512,
    "avx_vnni": (*AVX2, "avx_vnni"),
    "avx2": AVX2,
}
DAY = 86_400  # seconds for which a failure is remembered
UNUSED = 30 * DAY  # seconds after which a library that nobody has used is deleted
LONGEST = 300  # seconds that a compiler may take
LONG = 300  # characters of a reason
_FULL = os.strerror(errno.ENOSPC)
_CODES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x1f\x7f-\x9f]"
)


def compile_level(compiler: str, level: str, path: Path, *flags: str) -> None:
    """Compile the library of a level, with more flags, to `path`.

    Raises `OSError` or `subprocess.SubprocessError` if it cannot be built.
    """
    command = [compiler, *FLAGS, *_flags(level), *flags, "-o", str(path), *map(str, SOURCES)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env=os.environ | {"LC_ALL": "C"},  # `reason` looks for English words
        start_new_session=True,  # it starts processes itself, which have to end with it
    )
    try:
        _, said = process.communicate(timeout=LONGEST)
    except BaseException:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, stderr=said)


def build(compiler: str, levels: Sequence[str], folder: Path) -> Path:
    """The path of the library of the first of these levels that can be built, compiled now if it is
    not in the folder. What the compiler refuses is remembered.

    Raises `OSError` or `subprocess.SubprocessError` if none can be built.
    """
    _make_own(folder)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes that begin together compile it once
        _clean(folder)
        with tempfile.TemporaryDirectory(dir=folder) as beside:
            return _build(compiler, levels, folder, Path(beside) / "decoder.so")


def _build(compiler: str, levels: Sequence[str], folder: Path, path: Path) -> Path:
    why = ""
    for level in levels:
        found, why = built(compiler, level, folder), failure(compiler, level, folder)
        if found is not None:
            return found
        if why:
            continue
        try:
            compile_level(compiler, level, path)
        except subprocess.TimeoutExpired as error:  # the other levels would take as long
            refuse(compiler, levels, folder, reason(error))
            raise
        except subprocess.CalledProcessError as error:
            why = reason(error)
            if _FULL in why:  # which may soon be over
                raise
            refuse(compiler, [level], folder, why)
        else:
            return path.rename(folder / f"{_name(compiler, level)}-{_hash(path)}.so")
    raise OSError(why)


def _clean(folder: Path) -> None:
    """Delete what a killed process has left, and what nobody has used for long. Who holds the lock
    may do so: a library stays readable for the processes that have loaded it."""
    for path in folder.glob("tmp*"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("decoder-*"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - UNUSED:
                path.unlink()


def refuse(compiler: str, levels: Sequence[str], folder: Path, why: str) -> None:
    """Remember that there is no library of these levels, and delete those that are there."""
    for level in levels:
        name = _name(compiler, level)
        for path in folder.glob(f"{name}-*.so"):
            path.unlink(missing_ok=True)
        (folder / f"{name}.failed").write_text(why, "utf-8")


def built(compiler: str, level: str, folder: Path) -> Path | None:
    """The path of a level's library in a folder, or None.

    The name of the library ends with a hash of its content; a file that does not match it is
    removed. A file that another user could have written is removed, too. Raises `PermissionError`
    if other users can write to the folder.
    """
    _make_own(folder)
    name = _name(compiler, level)
    for path in folder.glob(f"{name}-*.so"):
        with suppress(FileNotFoundError):  # another process found it damaged, too
            if _own(path) and path.name == f"{name}-{_hash(path)}.so":
                _note_use(path)
                return path
            path.unlink()
    return None


def failure(compiler: str, level: str, folder: Path) -> str:
    """Why this compiler refused a level less than a day ago, in a line; empty if it did not."""
    path = folder / f"{_name(compiler, level)}.failed"
    with suppress(FileNotFoundError):
        if time.time() < path.stat().st_mtime + DAY:
            return path.read_text("utf-8")
    return ""


def _note_use(path: Path) -> None:
    if path.stat().st_mtime < time.time() - DAY:
        with suppress(OSError):  # such as in a cache that cannot be written
            path.touch()


def reason(error: Exception) -> str:
    """Why a library could not be built, in a line."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"{Path(error.cmd[0]).name} has not ended after {error.timeout:.0f} seconds"
    if isinstance(error, subprocess.CalledProcessError):
        lines = [_CODES.sub("", line).strip() for line in (error.stderr or "").split("\n")]
        for word in (_FULL, "error", "Error"):
            for line in lines:
                if word in line:
                    return line[:LONG]
        return f"{Path(error.cmd[0]).name} ended with exit code {error.returncode}"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error)


def _flags(level: str) -> list[str]:
    if level not in LEVELS:  # another kind of processor
        return ["-march=native"]
    return ["-m" + name.replace("_", "") for name in LEVELS[level]]


def _name(compiler: str, level: str) -> str:
    """The beginning of a library's name, which says what it was made from."""
    sources = [path.read_text("utf-8") for path in sorted(HERE.glob("*.[ch]*"))]
    changed = os.stat(compiler).st_mtime_ns  # by an update of the compiler
    what = [sources, compiler, changed, FLAGS, _flags(level)]
    digest = hashlib.blake2b(repr(what).encode(), digest_size=8).hexdigest()
    return f"decoder-{level}-{digest}"


def _make_own(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _own(folder):
        raise PermissionError(f"other users can write to {folder}")


def _own(path: Path) -> bool:
    status = path.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _hash(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # and with it the compiler
    try:
        build(sys.argv[1], sys.argv[3:], Path(sys.argv[2]))
    except (OSError, subprocess.SubprocessError) as error:
        sys.exit(reason(error))
