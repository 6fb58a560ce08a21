"""Columns of small whole numbers that may each be the label are asked for; several files of one
flag are read as one."""

import json
from pathlib import Path

import pytest


@pytest.mark.parametrize("step, says", [(3, "which column is the label?"), (37, "")])
def test_a_column_of_levels_beside_one_of_0_and_1_is_asked_for(xinye, workplace, step, says):
    """0, 1, 2 may be the label; 0, 37, 74 … are not."""
    rows = [f"第{i}碗面真好吃啊啊,{i % 2},{i % 3 if step == 3 else i * step}" for i in range(12)]
    Path("a.csv").write_text("\n".join(["text,a,b", *rows]), "utf-8")
    outcome = xinye("data", "check", "a.csv", "--task", "classify")
    assert outcome.code == (2 if says else 0) and says in outcome.err


def test_several_files_are_read(xinye, workplace):
    for name in ("a.csv", "b.csv"):
        rows = [f"第{i}碗{name},{'好坏'[i % 2]}" for i in range(4)]
        Path(name).write_text("\n".join(["text,label", *rows]), "utf-8")
    outcome = xinye("data", "check", "a.csv", "b.csv", "--task", "classify", "--json")
    assert [each["records"] for each in json.loads(outcome.out)["files"]] == [4, 4]
