"""What tests share: text of the story world, a runner for the command line, and one tiny trained run."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from xinye.cli.main import main
from xinye.data.stories import stories

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
    """Prepared text goes to a folder of the tests, never to the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINYE_CACHE", str(folder))
        yield folder


@pytest.fixture
def xinye(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs a command in this process: `xinye("generate", run, "从前")`."""

    def run(*arguments: object) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

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


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, cache: Path, story_text: dict[str, str]) -> Path:
    """The folder of a run of six steps on Chinese stories. Tests must not change it: copy it."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "zh.txt").write_text(story_text["zh"], "utf-8")
    run = folder / "run"
    assert main(["pretrain", str(folder / "zh.txt"), "-o", str(run), "--steps", "6", "--evaluations", "2", *TINY]) == 0
    return run


def contents(folder: Path) -> dict[str, bytes]:
    """Every file under a folder, to see that nothing was touched."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
