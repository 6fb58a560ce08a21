"""docs/formats: each example there is read, without a record that is refused."""

import json
import re
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).parents[1] / "docs"
EXAMPLE = re.compile(r"^```\w+ (\S+)((?: \S+)*)\n(.*?)^```", re.M | re.S)  # file, arguments, lines


def examples():
    for name in ("formats.md", "formats_zh.md"):
        for file, arguments, lines in EXAMPLE.findall((DOCUMENTS / name).read_text("utf-8")):
            yield pytest.param(file, arguments.split(), lines, id=f"{name}-{file}")


@pytest.mark.parametrize("file, arguments, lines", examples())
def test_an_example_is_read(xinye, tmp_path, monkeypatch, file, arguments, lines):
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(lines, "utf-8")
    outcome = xinye("data", "check", file, *arguments, "--json")
    assert outcome.code == 0, outcome.err
    said = json.loads(outcome.out)
    if "--task" in arguments:
        assert said["files"][0]["records"] and not said["bad"], outcome.out
    else:
        assert said["documents"] and not said["problems"], outcome.out
