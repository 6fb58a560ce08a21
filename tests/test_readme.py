"""The README's commands and Python lines work, in miniature; both languages show the same ones.

What needs no more than seconds is run here; `make walk` runs all of it, with the package as others
install it.
"""

import re
import shlex
from pathlib import Path

import pytest

from readme import NAMES, make_world, shortened, shown
from xinye.cli.main import main


def commands(name: str) -> list[str]:
    found = [text for kind, text in shown(name, inline=False) if kind == "command"]
    return [
        text
        for text in found
        if re.match("xinye (pretrain|generate|tokenizer|support prepare) ", text)
    ]


def python(name: str) -> list[str]:
    return [text for kind, text in shown(name) if kind == "python"]


@pytest.fixture
def small_world(tmp_path, monkeypatch):
    """A folder with the files that the README's lines name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XINYE_CACHE", str(tmp_path / "cache"))
    make_world(tmp_path)
    return tmp_path


def test_both_languages_show_the_same_commands():
    english, chinese = NAMES
    assert commands(english) and commands(english) == commands(chinese)
    assert python(english) == python(chinese)
    heads = [
        re.findall(r"^xinye (?:data |tokenizer |runs |support )?\w+", text, re.MULTILINE)
        for text in map(said, NAMES)
    ]
    assert heads[0] == heads[1]  # the same verbs in the same order, also inside sentences


def said(name: str) -> str:
    return "\n".join(text for kind, text in shown(name) if kind == "command")


def test_the_commands_of_the_readme_work(small_world, capsys):
    for command in dict.fromkeys(commands("README.md")):
        words = shortened(shlex.split(command)[1:])
        if "--from" in words:  # the model that is gone on with: here a small one of our own
            main(["export", "runs/novel", "--to", "gguf", "-o", words[words.index("--from") + 1]])
        assert main(words) == 0, command
    assert "--- 3 ---" in capsys.readouterr().out


def test_the_python_of_the_readme_works(small_world, capsys):
    (lines,) = (text for text in python("README.md") if text.startswith("import xinye\n"))
    lines = lines.replace(
        'size="5M", time="10min"', 'size="1M", layers=1, width=64, context=32, steps=2'
    )
    exec(compile(lines.replace("max_tokens=200", "max_tokens=8"), "README.md", "exec"), {})
    assert Path("runs/novel/config.json").is_file()
