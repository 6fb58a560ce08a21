"""`xinye demo`: stories or a text of one's own, and nothing of one's own replaced."""

import json
import shutil
from pathlib import Path

import pytest

from conftest import contents
from xinye.cli import demo as verb
from xinye.recipes import demo as recipe


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--language", "fr"], "'fr' is neither zh nor en"),
        (["missing.txt"], "missing.txt: no such file"),
        (["zh.txt", "--time", "soon"], "'soon' is not a duration"),
    ],
)
def test_wrong_use_is_one_line(xinye, workplace, arguments, says):
    before = contents(workplace)
    outcome = xinye("demo", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before


def test_a_run_of_ones_own_is_kept(xinye, workplace, trained):
    run = Path(shutil.copytree(trained, workplace / "novel"))
    before = contents(run)
    outcome = xinye("demo", "zh.txt", "--time", "1s", "-o", "novel")
    assert outcome.code == 2 and "novel: this run exists" in outcome.complaint
    assert contents(run) == before


@pytest.mark.parametrize("language", ["zh", "en"])
def test_in_miniature(xinye, workplace, monkeypatch, language):
    monkeypatch.setattr(recipe, "STORIES", 200)
    monkeypatch.setattr(verb, "TOLD", 3)
    outcome = xinye("demo", "--language", language, "--time", "1s", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out.splitlines()[-1])
    assert result["run"] == str(Path("runs") / f"demo-{language}")
    assert result["stories"] == {"told": 3, "consistent_and_new": 0}  # after a second it cannot tell one yet
    assert len(result["texts"]) == 3
    assert f"xinye generate {result['run']}" in outcome.err


@pytest.mark.parametrize("name, language", [("zh_CN.UTF-8", "zh"), ("en_GB.UTF-8", "en"), ("C", "en"), ("de_DE", "en")])
def test_the_language_comes_from_the_locale(monkeypatch, name, language):
    monkeypatch.setenv("LC_ALL", name)
    assert verb.locale_language() == language
