"""`xinye recommend` by a small recommender."""

import json

import pytest

from jobs.test_recommending import folder  # noqa: F401


def test_a_table_with_reasons(xinye, folder):  # noqa: F811
    outcome = xinye("recommend", str(folder), "--history", "tea1，tea2", "-k", "3")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["item", "title", "score", "reason"] and len(lines) == 4
    assert "Often chosen with “green tea" in outcome.out


def test_json_and_chinese(xinye, folder, monkeypatch):  # noqa: F811
    found = json.loads(xinye("recommend", str(folder), "--user", "nobody", "-k", "2", "--json").out)
    assert found["cold"] and found["user"] == "nobody" and len(found["items"]) == 2
    assert found["items"][0] | {"score": 0} == {
        "id": "tea0", "title": "green tea 0", "score": 0, "reason": {"kind": "popular"},
    }  # fmt: skip
    found = json.loads(xinye("recommend", str(folder), "--user", "user3", "--json").out)
    assert not found["cold"] and {each["reason"]["kind"] for each in found["items"]} > {"similar"}
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    outcome = xinye("recommend", str(folder), "--user", "nobody")
    assert "热门" in outcome.out and "不认识用户 'nobody'" in outcome.err


def test_wishes(xinye, folder, tmp_path):  # noqa: F811
    leave_out = tmp_path / "out.txt"
    leave_out.write_text("\ufefftea1\n\ntea2\n", "utf-8")
    given = ["recommend", str(folder), "--history", "tea0", "--json", "--diversity", "0.5"]
    outcome = xinye(*given, "--filter", "tag=茶", "--exclude", str(leave_out))
    assert {each["id"] for each in json.loads(outcome.out)["items"]} == {"tea3", "tea4", "tea5"}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [
        ([], "say for whom: either --user USER or --history a,b,c"),
        (["--user", "a", "--history", "b"], "say for whom"),
        (["--user", "a", "-k", "0"], "--count: use at least 1"),
        (["--user", "a", "--diversity", "3"], "--diversity 3: use 0 to 1"),
        (["--user", "a", "--filter", "comedy"], "--filter comedy: write it as tag=NAME"),
        (["--user", "a", "--exclude", "no.txt"], "no.txt: No such file"),
        (["--history", "tee0"], "the item 'tee0' is unknown; the nearest is 'tea0'"),
    ],
)
def test_wrong_use(xinye, folder, flags, wanted):  # noqa: F811
    outcome = xinye("recommend", str(folder), *flags)
    assert outcome.code == 2 and wanted in outcome.complaint
