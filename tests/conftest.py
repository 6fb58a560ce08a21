"""What tests share: text of the story world, a runner for the command line, and one tiny trained
run."""

import codecs
import gc
import json
import logging
import os
import pty
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Of several processes that share the tests each computes with one thread, which must be said before PyTorch starts
# its own; and a terminal's size that was only guessed would be taken for the width of every table.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.pop("COLUMNS", None)
    os.environ.pop("LINES", None)

# What is expected was computed on a processor; test_gpu.py alone asks a GPU.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Messages are English here, whatever the locale; tests of the Chinese ask for it.
os.environ["XINYE_LANGUAGE"] = "en"

from xinye import machine
from xinye.cli.main import main
from xinye.console import answer
from xinye.demo.stories import stories
from xinye.native.library import THIS

# A network that trains in milliseconds. Float32 and no compiling: the same on every machine.
TINY = (
    *("--size", "1M", "--layers", "1", "--width", "64", "--context", "32", "--batch-size", "4"),
    *("--tokenizer", "char", "--dtype", "float32", "--compile", "no"),
)


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong; fails the test where there is not exactly one."""
        assert "Traceback" not in self.err and "Error:" not in self.err, self.err
        lines = [line for line in self.err.splitlines() if line.startswith("xinye")]
        assert len(lines) == 1 and self.err.splitlines()[-1] == lines[0], self.err
        assert self.out == ""
        return lines[0]


Command = Callable[..., Outcome]


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Prepared text goes to a folder of the tests, never to the user's cache. The code is
    compiled before anything is computed, by one of the processes that share the tests."""
    folder, shared = tmp_path_factory.mktemp("cache"), tmp_path_factory.getbasetemp() / "native"
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent.parent / "native"
    shared.mkdir(mode=0o700, exist_ok=True)
    (folder / "native").symlink_to(shared)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINYE_CACHE", str(folder))
        THIS.get(wait=True)
        yield folder


@pytest.fixture(scope="module")
def no_measuring() -> Iterator[None]:
    """For tests of what does not depend on the machine's speed, which takes half a second to measure
    in each run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
        yield


@pytest.fixture
def xinye(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: `xinye("generate", run, "从前")`."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        log = logging.getLogger("xinye")
        level = log.level  # a command sets it for its process
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        finally:
            log.setLevel(level)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process, its two outputs a pseudo-terminal; returns all that was shown
    as `out`."""

    assert answer  # imported by now: made while COLUMNS is set, it would keep that width

    def run(*arguments: object, columns: int = 300) -> Outcome:
        master, slave = pty.openpty()
        shown: list[bytes] = []

        def read() -> None:
            try:
                while block := os.read(master, 65536):
                    shown.append(block)
            except OSError:  # the other end is closed
                pass

        reader = threading.Thread(target=read)
        reader.start()
        with monkeypatch.context() as patch, open(slave, "w", encoding="utf-8") as file:
            patch.setattr(sys, "stdout", file)
            patch.setattr(sys, "stderr", file)
            patch.setenv("COLUMNS", str(columns))
            try:
                code = main([str(argument) for argument in arguments])
            except SystemExit as end:
                code = int(end.code or 0)
        reader.join()
        os.close(master)
        return Outcome(code, codecs.decode(b"".join(shown), "utf-8").replace("\r\n", "\n"), "")

    return run


@pytest.fixture(scope="session")
def story_text() -> dict[str, str]:
    """Some ten thousand characters of each language, thirty documents apart by an empty line."""
    return {language: "\n\n".join(stories(30, language)) for language in ("zh", "en")}


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, story_text: dict[str, str]) -> Path:
    """An own folder to be in, with `zh.txt` and `en.txt`."""
    for language, text in story_text.items():
        (tmp_path / f"{language}.txt").write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch, story_text: dict[str, str]) -> Iterator[Path]:
    """An own folder to be in, with `zh.txt`, as a user for whom read-only is read-only: for root
    nothing is."""
    user = os.geteuid() or 65534
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if os.geteuid() != user:
            os.chown(folder, user, user)
            # Python and this checkout may lie where the other user may not look: what is needed is
            # loaded before.
            (folder / "loaded.txt").write_text(story_text["zh"], "utf-8")
            main(
                [
                    "pretrain",
                    str(folder / "loaded.txt"),
                    "-o",
                    str(folder / "loaded"),
                    "--steps",
                    "2",
                    *TINY,
                ]
            )
        os.seteuid(user)
        try:
            monkeypatch.setenv("XINYE_CACHE", str(folder / "cache"))
            monkeypatch.chdir(folder)
            (folder / "zh.txt").write_text(story_text["zh"], "utf-8")
            yield folder
        finally:
            os.seteuid(os.getuid())
            monkeypatch.undo()  # which goes back to where the other user may not


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, cache: Path, story_text: dict[str, str]
) -> Path:
    """The folder of a run of six steps on Chinese stories. Tests must not change it: copy it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "zh.txt").write_text(story_text["zh"], "utf-8")
    run = folder / "run"
    assert (
        main(
            [
                "pretrain",
                str(folder / "zh.txt"),
                "-o",
                str(run),
                "--steps",
                "6",
                "--evaluations",
                "2",
                *TINY,
            ]
        )
        == 0
    )
    return run


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run's folder: `losses` of its steps, `validations` as (step, loss), and whatever
    else it should hold."""

    def make(
        name: str = "run",
        losses: Sequence[float] = (),
        validations: Sequence[tuple[int, float]] = (),
        sample: str = "从前有一片新叶。",
        finished: bool = True,
        settings: dict[str, Any] | None = None,
        plan: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
        about: dict[str, Any] | None = None,
    ) -> Path:
        training = tmp_path / name / "training"
        training.mkdir(parents=True)
        records: list[dict[str, Any]] = []
        for step, loss in enumerate(losses, start=1):
            records.append(
                {
                    "kind": "step",
                    "step": step,
                    "loss": loss,
                    "gradient_norm": 1.0,
                    "tokens": 64,
                    "seconds": 0.5,
                }
            )
            for at, judged in validations:
                if at == step:
                    figures = {
                        "loss": judged,
                        "bits_per_byte": judged / 2,
                        "tokens": 9000,
                        "bytes": 27000,
                    }
                    records.append(
                        {
                            "kind": "validation",
                            "step": at,
                            "seconds": at / 2,
                            "sample": f"{sample}{at}",
                            **figures,
                        }
                    )
        (training / "metrics.jsonl").write_text(
            "\n".join(json.dumps(record) for record in records) + "\n", "utf-8"
        )
        values = {
            "vocabulary": 1000,
            "training_tokens": 64 * 1000,
            "validation_tokens": 9000,
            "steps": len(losses),
        }
        reasons = dict.fromkeys(values, "as the test wants it")
        files = {"files": ["书/novel.txt"], **(settings or {})}
        begun = {
            "format": 1,
            "settings": files,
            "started": "2026-11-22T08:00:00+08:00",
            **(about or {}),
        }
        write(training / "settings.json", begun)
        write(training / "plan.json", {"values": {**values, **(plan or {})}, "reasons": reasons})
        if finished:
            write(
                training / "result.json",
                {"steps": len(losses), "interrupted": False, **(result or {})},
            )
        return training.parent

    return make


def write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(json.dumps(data), "utf-8")


def open_files() -> "Counter[str]":
    """What this process has open; a socket or pipe is named by its inode."""
    gc.collect()
    names: Counter[str] = Counter()
    for each in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the folder itself was open
            names[os.readlink(f"/proc/self/fd/{each}")] += 1
    return names


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, to see that nothing was touched."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
