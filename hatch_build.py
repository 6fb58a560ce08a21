"""Puts the compiled code of all levels into the wheel (`make wheel`), so that training and
generation are fast without a C++ compiler."""

import importlib.util
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILD = "src/xinye/native/build.py"
# Only the C library is left to the user's system.
FLAGS = ("-static-libstdc++", "-static-libgcc", "-s")


class CompiledCode(BuildHookInterface):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard" or os.environ.get("XINYE_WHEEL") != "compiled":
            return
        compiler, (library, glibc) = shutil.which("g++"), platform.libc_ver()
        if compiler is None or library != "glibc" or platform.machine() != "x86_64":
            raise SystemExit("make wheel needs g++ on an x86-64 Linux with glibc")
        specification = importlib.util.spec_from_file_location("build", Path(self.root, BUILD))
        assert specification is not None and specification.loader is not None
        build = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(build)
        self.folder = tempfile.TemporaryDirectory()  # until the wheel is made
        for level in build.LEVELS:
            path = Path(self.folder.name, f"decoder-{level}.so")
            build.compile_level(compiler, level, path, *FLAGS)
            build_data["force_include"][str(path)] = f"xinye/native/{path.name}"
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-manylinux_{glibc.replace('.', '_')}_x86_64"
