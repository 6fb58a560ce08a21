"""Finds, compiles and loads the compiled code, at the best level that this processor has.

A wheel brings the libraries of all levels. In a checkout a process of its own compiles the level
that is needed, once, into the user's cache. Until then PyTorch does the work.
"""

import ctypes
import hashlib
import logging
import os
import subprocess
import sys
import time
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


def level() -> str:
    """The name of the best level in `build.LEVELS` that this processor and the environment allow;
    another name if there is none."""
    has, limit = machine.instruction_sets(), machine.instruction_limit()
    for name, needed in build.LEVELS.items():
        if set(needed) <= set(has.split()) and (limit is None or name in LIMITED[limit]):
            return name
    digest = hashlib.blake2b((machine.processor() + has).encode(), digest_size=4)
    return f"native-{digest.hexdigest()}"


class Library:
    """The compiled code of this process."""

    def __init__(self) -> None:
        self.functions: Any = None  # the library, as ctypes loads it
        self.words = ""  # its path, or the reason why there is none; empty until that is known
        self.compiling: subprocess.Popen[str] | None = None

    def get(self, wait: bool = False) -> Any:
        """The library, or None if there is none (`words` says why) or, without `wait`, while it is
        being compiled. The first call finds it or starts to compile it."""
        if not self.words:
            try:
                self._look(wait)
            except OSError as error:
                self.words = str(error)
        return self.functions

    def settled(self) -> bool:
        """Whether it is known by now if there is a library; False while it is being compiled."""
        self.get()
        return bool(self.words)

    def _look(self, wait: bool) -> None:
        if self.compiling is None:
            found, compiler = find(), machine.cpp_compiler()
            if found is not None:
                return self._load(found)
            if compiler is None:
                self.words = "no C++ compiler"
                return
            # In a session of its own it lives on if this process ends, for the next one.
            self.compiling = subprocess.Popen(
                [sys.executable, build.__file__, compiler, level(), cache_folder() / "native"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        if not wait and self.compiling.poll() is None:
            return
        _, error = self.compiling.communicate()
        found = find()
        if found is None:
            self.words = f"{machine.cpp_compiler()} failed: {error.strip()}"
            log.warning("the compiled decoder cannot be built, so PyTorch writes: %s", self.words)
        else:
            self._load(found)
            log.info("the decoder is compiled: texts are written faster from now on")

    def _load(self, path: Path) -> None:
        self.functions = ctypes.CDLL(str(path))
        self.words = str(path)


def find() -> Path | None:
    """The path of this processor's library, in the package or in the cache; None if there is
    none."""
    name, compiler = level(), machine.cpp_compiler()
    packaged = build.HERE / f"decoder-{name}.so"
    if packaged.exists():
        return packaged
    return None if compiler is None else build.built(compiler, name, cache_folder() / "native")


THIS = Library()
# A fork cannot await the compiler of its parent; it finds the library or starts to wait itself.
os.register_at_fork(after_in_child=lambda: setattr(THIS, "compiling", None))


def describe() -> str:
    """How this machine's CPU generates text, in a few words."""
    if THIS.get(wait=True) is None:
        return f"with PyTorch alone, which is slower: {THIS.words}"
    return "compiled for this processor"


def prepare_library(device: torch.device, observer: Observer) -> float:
    """Wait until the library is compiled if the device needs it, and report that. Returns the
    seconds that this took, 0 if nothing was to be done."""
    if device.type != "cpu" or THIS.settled():
        return 0.0
    observer.stage(
        "compiling the fast code for this processor; this happens once and takes a few seconds"
    )
    begin = time.monotonic()
    THIS.get(wait=True)
    return time.monotonic() - begin


def prepare_library_beside(device: torch.device, observer: Observer) -> bool:
    """Begin to compile the library if the device needs it, and report that. Returns whether it is
    being compiled."""
    if device.type != "cpu" or THIS.settled():
        return False
    observer.stage(
        "compiling the decoder for this processor in the background; this happens once, and until "
        "then PyTorch writes, more slowly"
    )
    return True
