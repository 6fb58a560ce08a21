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
from xinye.native.library import THIS, Library, describe, find, levels, prepare_library
from xinye.observer import Observer


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
    monkeypatch.setattr(build, "compile_level", None)  # from here on nothing is compiled
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


def script(folder: Path, text: str) -> str:
    """The path of a compiler that is this shell script."""
    path = folder.parent.parent / "c++"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return str(path)


def test_a_compiler_that_hangs_ends_with_all_its_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = script(folder, f"sleep 60 & echo $! > {folder.parent.parent}/child; wait")
    monkeypatch.setattr(build, "LONGEST", 0.2)
    with pytest.raises(subprocess.TimeoutExpired):
        build.build(hanging, ["avx512", "avx2"], folder)
    child = Path("/proc", (folder.parent.parent / "child").read_text().strip(), "cmdline")
    deadline = time.monotonic() + 10
    while child.exists() and child.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not child.exists() or not child.read_bytes()  # a zombie has none
    why = "c++ has not ended after 0 seconds"
    assert [build.failure(hanging, level, folder) for level in ("avx512", "avx2")] == [why, why]


@pytest.mark.parametrize(
    "output, expected",
    [
        (r"\033[1mx.h:1:\033[m \033[31merror:\033[K no\007\n", "x.h:1: error: no"),
        (r"x: error: \377\n", "x: error: \ufffd"),
        ("", "c++ ended with exit code 1"),
        (r"unexpected\n", "c++ ended with exit code 1"),
        (r"error: ld\nx.o: No space left on device\n", "x.o: No space left on device"),
    ],
)
def test_why_a_compiler_failed_is_a_short_line(folder: Path, output: str, expected: str) -> None:
    failing = script(folder, f"printf '{output}' >&2; exit 1")
    with pytest.raises((OSError, subprocess.CalledProcessError)) as raised:
        build.build(failing, ["avx2"], folder)
    assert build.reason(raised.value) == expected
    assert bool(build.failure(failing, "avx2", folder)) != ("space" in expected)


def test_leftovers_and_libraries_out_of_use_are_deleted(folder: Path) -> None:
    (folder / "tmpkilled").mkdir(parents=True, mode=0o700)
    (folder / "tmpkilled" / "decoder.so").touch()
    old, recent = folder / "decoder-avx2-0-0.so", folder / "decoder-avx2-1-1.so"
    for path, days in (old, 31), (recent, 29):
        path.touch()
        os.utime(path, (0, time.time() - days * build.DAY))
    path = build.build(compiler(), ["avx2"], folder)
    assert sorted(folder.glob("*")) == sorted([recent, path, folder / "lock"])
    os.utime(path, (0, 0))
    assert build.built(compiler(), "avx2", folder) == path
    assert path.stat().st_mtime > time.time() - 60


def test_a_library_that_cannot_be_loaded_is_reported_once_and_not_used_again(folder: Path) -> None:
    path = build.build(compiler(), levels(), folder)
    path.unlink()
    damaged = path.with_name(f"{path.name.rpartition('-')[0]}-.so")
    damaged.write_bytes(b"no library")
    damaged = damaged.rename(damaged.with_name(damaged.name[:-3] + f"{build._hash(damaged)}.so"))
    warnings: list[str] = []
    observer = Observer()
    observer.warn = warnings.append  # type: ignore[method-assign]
    library = Library()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xinye.native.library.THIS", library)
        for _ in range(2):
            assert prepare_library(torch.device("cpu"), observer) == 0
    assert len(warnings) == 1 and "cannot be loaded" in warnings[0]
    assert "invalid ELF header" in library.words or "too short" in library.words
    assert not damaged.exists()
    later = Library()
    assert later.get() is None and later.compiling is None and "cannot be loaded" in later.words


def test_the_doctor_tells_the_level_and_where_it_was_compiled(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build.build(compiler(), levels(), folder)
    level = levels()[0].partition("-")[0]
    monkeypatch.setattr("xinye.native.library.THIS", Library())
    assert describe() == f"{level}, compiled on this machine"
    path.rename(build.HERE / f"decoder-{levels()[0]}.so")
    monkeypatch.setattr("xinye.native.library.THIS", Library())
    assert describe() == f"{level}, from the package"
