"""The compiled code is built once for a level of instructions, kept safely, and awaited by nobody."""

import ctypes
import os
import subprocess
import threading
import time
from pathlib import Path

import pytest
import torch

from xinye import machine
from xinye.data.tokenizer import Tokenizer
from xinye.generation.engine import Engine, start
from xinye.generation.sampling import Sampling
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.native import build
from xinye.native.library import THIS, Library, find, levels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache's, and a source that is compiled in no time."""
    source = tmp_path / "source" / "decoder.cpp"
    source.parent.mkdir()
    source.write_text('extern "C" void xinye_step() {}\n')
    monkeypatch.setattr(build, "HERE", source.parent)
    monkeypatch.setattr(build, "SOURCES", (source,))
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "native"


def compiler() -> str:
    found = machine.cpp_compiler()
    assert found is not None
    return found


def test_the_library_is_built_once_and_again_when_damaged(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build.build(compiler(), ["avx2"], folder)
    content = path.read_bytes()
    assert [*folder.glob("*.so")] == [path]
    path.write_bytes(content[: len(content) // 2])
    again = build.build(compiler(), ["avx2"], folder)
    assert again.read_bytes()[:4] == content[:4] and again.stat().st_size == len(content)
    monkeypatch.setattr(subprocess, "run", None)  # from here on nothing is compiled
    assert build.build(compiler(), ["avx2"], folder) == again


def test_what_others_could_have_written_is_not_loaded(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    library = Library()
    assert library.get() is None
    assert library.words == f"other users can write to {folder}"


def test_a_source_that_cannot_be_compiled_is_told_in_a_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = folder.parent / "build.py"
    broken.parent.mkdir()
    broken.write_text(Path(build.__file__).read_text("utf-8"), "utf-8")
    for source in build.SOURCES:
        (broken.parent / source.name).write_text("int main( {")
    monkeypatch.setattr(build, "__file__", str(broken))
    library = Library()
    assert library.get(wait=True) is None
    assert "failed" in library.words and "error" in library.words and "\n" not in library.words
    assert not [*folder.glob("*.so")]


@pytest.mark.parametrize(
    "sets, limit, expected",
    [
        ("avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16", None, "avx512_bf16"),
        ("avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16", "avx512", "avx512"),
        ("avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl avx512_vnni avx512_bf16", "avx2", "avx2"),
        ("avx2 fma f16c bmi2 avx512f avx512bw avx512dq avx512vl", None, "avx2"),  # before VNNI
        ("avx2 fma f16c bmi2 avx_vnni", None, "avx_vnni"),
        ("sse4_2", None, "native-"),
        ("", None, "native-"),  # another kind of processor
    ],
)  # fmt: skip
def test_the_level_is_the_best_that_the_processor_and_the_environment_allow(
    sets: str, limit: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "instruction_sets", lambda: sets)
    monkeypatch.setattr(machine, "instruction_limit", lambda: limit)
    assert levels()[0] == expected or (expected == "native-" and levels()[0].startswith(expected))


@pytest.fixture
def refusing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that does not know the flags of a word's lines in the file `refused` beside it; it
    notes its calls there in `calls`."""
    path = folder.parent.parent / "compiler"
    path.write_text(
        f"""#!/bin/sh
        cd {path.parent}; echo >> calls
        for flag in $(cat refused); do case "$*" in *$flag*) echo "error: $flag" >&2; exit 1; esac; done
        exec {compiler()} "$@"
        """
    )
    path.chmod(0o700)
    monkeypatch.setattr(machine, "cpp_compiler", lambda: str(path))
    sets = {name for level in build.LEVELS.values() for name in level}
    monkeypatch.setattr(machine, "instruction_sets", lambda: " ".join(sets))
    monkeypatch.setattr(machine, "instruction_limit", lambda: None)
    return path


def calls(refusing: Path) -> int:
    return len((refusing.parent / "calls").read_text())


def test_a_compiler_that_lacks_the_best_level_builds_the_next(refusing: Path, folder: Path) -> None:
    (refusing.parent / "refused").write_text("-mavx512bf16")
    path = build.build(str(refusing), levels(), folder)
    assert path.name.startswith("decoder-avx512-") and calls(refusing) == 2
    assert find() == (path, "") and build.build(str(refusing), levels(), folder) == path
    assert calls(refusing) == 2


def test_a_failure_is_remembered_until_the_compiler_changes(refusing: Path, folder: Path) -> None:
    (refusing.parent / "refused").write_text("-mavx2")
    assert find() == (None, "")
    for _ in range(2):
        with pytest.raises(OSError, match="error: -mavx2"):
            build.build(str(refusing), levels(), folder)
        library = Library()
        assert library.get() is None and library.compiling is None
        assert library.words == f"{refusing} failed: error: -mavx2"
    assert calls(refusing) == len(build.LEVELS)
    os.utime(refusing, (0, 0))
    assert find() == (None, "")


def test_two_threads_start_one_compiler(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def find_late() -> tuple[None, str]:
        begun.set()
        time.sleep(0.05)
        return None, "the end"

    monkeypatch.setattr("xinye.native.library.find", find_late)
    library = Library()
    other = threading.Thread(target=library.get)
    other.start()
    begun.wait()
    assert library.get() is None and library.words == ""  # it does not wait for the other one
    assert library.get(wait=True) is None and library.words == "the end"
    other.join()
    with library._looking:
        library.forget_others()  # as in a fork
    assert library._looking.acquire(blocking=False)


def test_pytorch_writes_until_the_code_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    assert THIS.get(wait=True) is not None
    compiling = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for name, value in {"functions": None, "words": "", "compiling": compiling}.items():
        monkeypatch.setattr(THIS, name, value)
    tokenizer = Tokenizer.train([], kind="bytes")
    torch.manual_seed(0)
    model = GPT(GPTConfig("modern", tokenizer.vocab_size, 32, 1, 2, 1, 16, 64, 32)).eval()
    engine = Engine(model, tokenizer, 64)
    engine.add(start(tokenizer, "新叶", 32, Sampling(temperature=0, max_tokens=20)))
    engine.step()
    engine.step()
    assert engine.runner.decoder is None
    compiling.communicate("")  # ends it
    engine.step()
    assert engine.runner.decoder is not None and isinstance(THIS.functions, ctypes.CDLL)
