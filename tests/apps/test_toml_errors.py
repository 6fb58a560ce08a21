"""A file that a person edits says what is wrong in it."""

import pytest

from xinye.apps.models_file import read_toml
from xinye.errors import XinyeError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a = 1\n禾光西点 = []\n", 'line 2: write the name in quotes: "禾光西点"'),
        ("Fenroe Tea = []\n", 'line 1: write the name in quotes: "Fenroe Tea"'),
        ("a.禾光 = 1\n", 'line 1: write the name in quotes: "禾光"'),
        ("“禾光” = []\n", 'line 1: write " instead of “'),
        ('a = ["x"，"y"] # “\n', "line 1: write , instead of ，"),
        ("zone = Asia/Shanghai\n", "line 1: put texts into quotes"),
        ("a = # nothing\n", "line 1: a value is missing behind ="),
        ('a = ["x"\nb = 1\n', "line 2: a quote, a bracket or a comma is missing"),
        ("[a]\n[a]\n", "line 2: a name or a table comes twice"),
    ],
)
def test_what_is_wrong_and_what_to_do(tmp_path, text: str, problem: str) -> None:
    path = tmp_path / "monitor.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(XinyeError) as error:
        read_toml(path, "")
    assert str(error.value).startswith(f"{path}, {problem}")
