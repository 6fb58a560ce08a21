"""What `xinye data check --task recommend` says of events and items."""

import json

import pytest

EVENTS = "用户,商品,时间\n" + "".join(
    f"用户{user},{(user + step) % 7},2026-03-0{step + 1}\n"
    for user in range(9)
    for step in range(5)
)
ITEMS = "编号,标题,标签\n" + "".join(f"{n},茶{n},茶|热\n" for n in range(8))


@pytest.fixture
def files(tmp_path):
    (tmp_path / "events.csv").write_bytes(EVENTS.encode("gb18030"))
    (tmp_path / "items.csv").write_text(ITEMS, "utf-8")
    return (
        str(tmp_path / "events.csv"),
        "--task",
        "recommend",
        "--items",
        str(tmp_path / "items.csv"),
    )


def test_a_report(xinye, files):
    outcome = xinye("data", "check", *files)
    assert outcome.code == 0
    assert "users in '用户', items in '商品', times in '时间' (dates)" in outcome.out
    assert "  known users: 9" in outcome.out and "  rare items: 1" in outcome.out
    assert "用户1: 茶1; 茶2; 茶3; 茶4; 茶5" in outcome.out
    assert "next: xinye finetune --size 1M --task recommend --data" in outcome.out
    report = json.loads(xinye("data", "check", *files, "--json").out)
    assert report["counts"]["events of a user (median)"] == 5 and report["bad_total"] == 0


def test_bad_records_are_listed(xinye, files, tmp_path):
    with (tmp_path / "events.csv").open("ab") as file:
        file.write(",3,2026-03-01\n甲,,2026-03-01\n".encode("gb18030"))
    out = xinye("data", "check", *files).out
    assert "finetune would refuse" in out
    assert "events.csv, line 47, field '用户': the id is empty" in out
    assert "skip them with --bad-records skip" in out
    skipped = xinye("data", "check", *files, "--bad-records", "skip").out
    assert "2 bad records left out, first line 47" in skipped and "would refuse" not in skipped


def test_nothing_to_learn(xinye, tmp_path):
    (tmp_path / "a.csv").write_text("user,item\na,1\n,2\n", "utf-8")
    outcome = xinye("data", "check", str(tmp_path / "a.csv"), "--task", "recommend")
    assert outcome.code == 2 and "all events are equal" in outcome.complaint
    assert "line 3, field 'user': the id is empty" in outcome.complaint
