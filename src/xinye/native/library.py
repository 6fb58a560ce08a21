"""Finds, compiles and loads the compiled code, at the best level that this processor has.

A wheel brings the libraries of all levels. In a checkout a process of its own compiles the best
level that the compiler can, once, into the user's cache. Until then PyTorch does the work.
"""

import ctypes
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from xinye import machine
from xinye.cache import cache_folder
from xinye.native import build
from xinye.observer import Observer

# the levels that each value of `machine.instruction_limit` leaves
LIMITED = {"avx2": ("avx2",), "avx512": ("avx512", "avx_vnni", "avx2")}
log = logging.getLogger(__name__)


def levels() -> list[str]:
    """The names of the levels in `build.LEVELS` that this processor and the environment allow, the
    best first; one other name if there is none."""
    has, limit = machine.instruction_sets(), machine.instruction_limit()
    allowed = build.LEVELS if limit is None else LIMITED[limit]
    digest = hashlib.blake2b((machine.processor() + has).encode(), digest_size=4)
    return [name for name in allowed if set(build.LEVELS[name]) <= set(has.split())] or [
        f"native-{digest.hexdigest()}"
    ]


class Library:
    """The compiled code of this process."""

    def __init__(self) -> None:
        self.functions: Any = None  # the library, as ctypes loads it
        self.words = ""  # its path, or the reason why there is none; empty until that is known
        self.refused = False  # whether the library cannot be loaded, until that is reported
        self.forget_others()

    def forget_others(self) -> None:
        """Forget the compiler and the lock of the process that this one was forked from: it finds
        the library or starts to wait itself."""
        self.compiling: subprocess.Popen[str] | None = None
        self._looking = threading.Lock()

    def get(self, wait: bool = False) -> Any:
        """The library, or None if there is none (`words` says why) or, without `wait`, while it is
        being compiled. The first call finds it or starts to compile it."""
        if not self.words and self._looking.acquire(blocking=wait):  # or another thread looks
            try:
                self._look(wait)
            except OSError as error:
                self.words = build.reason(error)
            finally:
                self._looking.release()
        return self.functions

    def settled(self) -> bool:
        """Whether it is known by now if there is a library; False while it is being compiled."""
        self.get()
        return bool(self.words)

    def outcome(self) -> str:
        """What has come of compiling, in a sentence."""
        if self.functions is None:
            return f"there is no compiled code, so PyTorch computes, more slowly: {self.words}"
        return "the code is compiled: training and writing are faster from now on"

    def _look(self, wait: bool) -> None:
        if self.words:  # another thread has looked
            return
        if self.compiling is None:
            self._settle(*find())
            if self.words:
                return
            command = [sys.executable, build.__file__, machine.cpp_compiler() or ""]
            # In a session of its own it lives on if this process ends, for the next one.
            self.compiling = subprocess.Popen(
                [*command, cache_folder() / "native", *levels()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        if not wait and self.compiling.poll() is None:
            return
        _, said = self.compiling.communicate()
        found, why = find()
        compiler, reason = machine.cpp_compiler(), said.strip()
        self._settle(found, why or f"{compiler} failed: {reason}")
        log.info("%s", self.outcome())

    def _settle(self, path: Path | None, why: str) -> None:
        if path is not None:
            try:
                self.functions = ctypes.CDLL(str(path))
            except OSError as error:  # such as for a cache on a disk without permission to execute
                self._refuse(path, str(error))
                return
        self.words = why if path is None else str(path)

    def _refuse(self, path: Path, why: str) -> None:
        """Remember, also for later processes, that this library cannot be loaded."""
        self.refused = True
        self.words = f"the library cannot be loaded: {why}"
        compiler = machine.cpp_compiler()
        if compiler is not None and path.parent != build.HERE:
            with suppress(OSError):  # such as for a cache that cannot be written
                build.refuse(compiler, levels(), path.parent, self.words)


def find() -> tuple[Path | None, str]:
    """The path of the library of the best level that there can be, in the package or in the cache;
    or None and the reason; or None and no reason if it has to be compiled."""
    compiler, folder = machine.cpp_compiler(), cache_folder() / "native"
    why = "no C++ compiler"
    for level in levels():
        packaged = build.HERE / f"decoder-{level}.so"
        if packaged.exists():
            return packaged, ""
        if compiler is None:
            continue
        found = build.built(compiler, level, folder)
        reason = build.failure(compiler, level, folder)
        if found is not None or not reason:
            return found, ""
        why = f"{compiler} failed: {reason}"
    return None, why


THIS = Library()
os.register_at_fork(after_in_child=THIS.forget_others)


def describe() -> str:
    """What this machine has of the compiled code, in a few words."""
    if THIS.get(wait=True) is None:
        return f"none, so training and generation are slower: {THIS.words}"
    path = Path(THIS.words)
    level = path.stem.split("-")[1]
    if path.parent == build.HERE:
        return f"{level}, from the package"
    return f"{level}, compiled on this machine"


def _settled(device: torch.device, observer: Observer) -> bool:
    """Whether there is nothing to wait for. Reports that the library cannot be loaded, once."""
    if device.type != "cpu":
        return True
    settled = THIS.settled()
    if THIS.refused:
        observer.warn(THIS.outcome())
        THIS.refused = False
    return settled


def prepare_library(device: torch.device, observer: Observer) -> float:
    """Wait until the library is compiled if the device needs it, and report that. Returns the
    seconds that this took, 0 if nothing was to be done."""
    if _settled(device, observer):
        return 0.0
    observer.stage(
        "compiling the fast code for this processor; this happens once and takes about 15 seconds"
    )
    begin = time.monotonic()
    if THIS.get(wait=True) is None:
        observer.warn(THIS.outcome())
        THIS.refused = False
    return time.monotonic() - begin


def prepare_library_beside(device: torch.device, observer: Observer) -> bool:
    """Begin to compile the library if the device needs it, and report that. Returns whether it is
    being compiled."""
    if _settled(device, observer):
        return False
    observer.stage(
        "compiling the fast code for this processor in the background; this happens once; until "
        "then PyTorch writes, more slowly"
    )
    return True
