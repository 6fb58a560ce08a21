"""The README's commands and Python lines work, in miniature; both languages show the same ones."""

import re
import shlex
from pathlib import Path

import pytest

from xinye.cli.main import main
from xinye.data.stories import stories

ROOT = Path(__file__).parents[1]
SMALL = ["--size", "1M", "--layers", "1", "--width", "64", "--vocab-size", "400", "--context", "32", "--compile", "no"]


def commands(name: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    return [line.strip() for line in text.splitlines() if re.match(r"    xinye (pretrain|generate|tokenizer) ", line)]


def python(name: str) -> str:
    return re.search(r"```python\nimport xinye\n(.*?)```", (ROOT / name).read_text("utf-8"), re.S)[1]


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    """A folder with the files that the README's lines name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    for name in ("novels/one.txt", "novels/two.txt", "novel.txt", "notes.txt", "shakespeare.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("\n".join(stories(60, "zh", seed=len(name))), "utf-8")
    rows = [f'{number % 2},"{story}"' for number, story in enumerate(stories(60, "zh", seed=1))]
    (tmp_path / "reviews.csv").write_text("\n".join(["label,review", *rows]), "utf-8")
    return tmp_path


def miniature(command: str) -> list[str]:
    verb, *rest = shlex.split(command)[1:]
    words = [str(path) for word in rest for path in (sorted(Path().glob(word)) if "*" in word else [word])]
    if verb == "generate":
        return [verb, *re.sub(r"--max-tokens \d+", "--max-tokens 8", " ".join(words)).split()]
    for flag in ("--time", "--size"):
        if flag in words:
            del words[words.index(flag) : words.index(flag) + 2]
    if "--from" in words:  # the model that is gone on with: here a small one of our own
        main(["export", "runs/novel", "--to", "gguf", "-o", words[words.index("--from") + 1]])
        words[words.index("--context") + 1] = "16"
        return [verb, *words, "--steps", "2"]
    return [verb, *words, *SMALL, "--steps", "2"] if verb == "pretrain" else [verb, *words]


def test_both_languages_show_the_same_commands():
    assert commands("README.md") and commands("README.md") == commands("README_zh.md")
    assert python("README.md") == python("README_zh.md")


def test_the_commands_of_the_readme_work(small_world, capsys):
    for command in dict.fromkeys(commands("README.md")):
        assert main(miniature(command)) == 0, command
    assert "--- 3 ---" in capsys.readouterr().out


def test_the_python_of_the_readme_works(small_world, capsys):
    lines = python("README.md").replace('size="5M", time="10min"', 'size="1M", layers=1, width=64, context=32, steps=2')
    exec(compile("import xinye\n" + lines.replace("max_tokens=200", "max_tokens=8"), "README.md", "exec"), {})
    assert Path("runs/novel/config.json").is_file()
