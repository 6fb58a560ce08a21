"""`xinye data check` as a person meets it."""

import json
import sys
from pathlib import Path

import pytest

from conftest import Outcome, contents
from xinye import machine
from xinye.check import check_data, reading
from xinye.demo.stories import stories
from xinye.libraries import install_command

MAIL, MOBILE, CARD = "hanmeimei@example.com", "13812345678", "11010519491231002X"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second of measuring is left out."""
    monkeypatch.setattr(machine, "matrix_flops_per_second", lambda *_, **__: 1e11)


def report(outcome: Outcome) -> dict:
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out.splitlines()[-1])


def places(found: dict) -> list[tuple[str, int]]:
    return [(Path(each["file"]).name, each["line"]) for each in found["examples"]]


def test_good_text_in_both_languages(xinye, workplace):
    before = contents(workplace)
    found = report(xinye("data", "check", "zh.txt", "en.txt", "--json"))
    text = {language: Path(f"{language}.txt").read_text("utf-8") for language in ("zh", "en")}
    assert contents(workplace) == before
    assert (found["problems"], found["problems_total"], found["findings"]) == ([], 0, [])
    assert [(each["format"], each["encoding"], each["documents"]) for each in found["files"]] == [
        ("txt", "utf-8", 1)
    ] * 2
    assert found["characters"] == sum(map(len, text.values())) == sum(found["scripts"].values())
    assert set(found["scripts"]) >= {"Chinese", "Latin", "punctuation", "white space"}
    assert [each["text"][:50] for each in found["preview"]] == [each[:50] for each in text.values()]
    assert 0.1 < found["estimate"]["tokens_per_character"] < 1
    assert found["estimate"]["tokens"] > found["estimate"]["training_tokens"] > 0
    assert found["command"] == "xinye pretrain zh.txt en.txt --size 5M --time 10min"


def test_all_that_is_bad_is_listed_by_file_and_line(xinye, workplace):
    good = json.dumps({"text": "新叶"}, ensure_ascii=False)
    Path("a.jsonl").write_text(
        f'{good}\n{{oops\n{good}\n{{"title": "x"}}\n{{"text": 5}}\n', "utf-8"
    )
    Path("b.csv").write_text('text,label\n很好,1\n差,2,3\n不错,1\n"没有完,0\n还行,1\n', "utf-8")
    Path("c.json").write_text('[\n  {"text": "一"},\n  {"text": 二},\n  {"text": "三"}\n]', "utf-8")
    Path("d.txt").write_bytes("新叶".encode() * 20 + b"\xff" + "新叶".encode() * 20)
    Path("e.txt").write_bytes(b"%PDF-1.7")
    found = report(
        xinye("data", "check", "a.jsonl", "b.csv", "c.json", "d.txt", "e.txt", "zh.txt", "--json")
    )
    lines = [(each["file"], each["line"]) for each in found["problems"]]
    assert lines == [
        ("d.txt", None), ("e.txt", None), ("a.jsonl", 2), ("a.jsonl", 4), ("a.jsonl", 5), ("b.csv", 3), ("b.csv", 5),
        ("c.json", 3),
    ]  # fmt: skip
    assert found["problems_total"] == 8
    assert "byte 0xFF at offset 120 (line 1) is not UTF-8" in found["problems"][0]["problem"]
    assert "this is a PDF document" in found["problems"][1]["problem"]
    assert [each["documents"] for each in found["files"]] == [2, 3, 2, 0, 0, 1]
    assert found["findings"][0]["finding"] == "2 files and 6 records cannot be read"


def test_lists_are_capped_and_the_rest_is_counted(xinye, workplace, monkeypatch):
    monkeypatch.setattr(reading, "LISTED", 3)
    Path("a.jsonl").write_text('{"text": "叶"}\n' + "{\n" * 10, "utf-8")
    found = report(xinye("data", "check", "a.jsonl", "--json"))
    assert len(found["problems"]) == 3 and found["problems_total"] == 10


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.txt"], "missing.txt: no such file"),
        (["empty.txt"], "empty.txt: there is no text that can be read"),
        (
            ["bad.jsonl"],
            "bad.jsonl: there is no text that can be read in these files: not valid JSON",
        ),
        (["a.docx"], "a.docx: files of this kind cannot be read"),
        (["zh.txt", "--document-separator", ""], "the document separator is empty"),
        (["--json"], "FILES"),
        (["zh.txt", "--feild", "text"], "did you mean '--field'?"),
    ],
)
def test_nothing_to_read_is_one_line(xinye, workplace, arguments, says):
    for name, text in {"empty.txt": "", "bad.jsonl": "{\n", "a.docx": "x"}.items():
        Path(name).write_text(text, "utf-8")
    outcome = xinye("data", "check", *arguments)
    assert outcome.code == 2 and says in outcome.complaint


def test_personal_data_is_never_shown_whole(xinye, workplace):
    records = ["新叶", f"我的电话是{MOBILE}，邮箱 {MAIL}。", f"身份证{CARD}"]
    # the last is a bad record
    lines = [json.dumps({"text": text}) for text in [*records, {"phone": MOBILE}]]
    Path("a.jsonl").write_text("\n".join(lines), "utf-8")
    for flags in (["--json"], []):
        outcome = xinye("data", "check", "a.jsonl", *flags)
        assert outcome.code == 0
        assert not any(value in outcome.out + outcome.err for value in (MAIL, MOBILE, CARD))
        assert "138******78" in outcome.out and "h***@e***.com" in outcome.out
    found = report(xinye("data", "check", "a.jsonl", "--json"))["personal_data"]
    assert {kind: (each["count"], places(each)) for kind, each in found.items()} == {
        "mail": (1, [("a.jsonl", 2)]),
        "mobile": (1, [("a.jsonl", 2)]),
        "identity_card": (1, [("a.jsonl", 3)]),
    }


@pytest.mark.parametrize("flags", [[], ["--document-separator", "\\n\\n"]])
def test_lines_of_plain_text_are_counted(xinye, workplace, flags):
    lines = [*["新叶"] * 3, "", "", "", f"电话{MOBILE}", "", "我们æ\x98¥å¤©来", "x" * 10_001]
    Path("a.txt").write_text("\n".join(lines), "utf-8")
    found = report(xinye("data", "check", "a.txt", "--json", *flags))
    assert places(found["personal_data"]["mobile"]) == [("a.txt", 7)]
    assert [(each["line"], each["problem"]) for each in found["problems"]] == [
        (9, "decoded wrongly: æ·¥å¤© should read 春天"),
        (10, "a line of 10,001 characters"),
    ]


def test_an_endless_line_is_one_problem(xinye, workplace):
    Path("a.txt").write_text("叶" * 2_500_000, "utf-8")
    found = report(xinye("data", "check", "a.txt", "--json"))
    assert found["problems"] == [
        {"file": "a.txt", "line": 1, "problem": "a line of 1,000,000 characters or more"}
    ]


def test_encodings_and_line_ends(xinye, workplace):
    Path("a.txt").write_bytes("春天来了，新的叶子长出来。\r\n".encode("gb18030") * 3)
    Path("b.txt").write_bytes("春天\n来了\r\n叶子\r".encode("utf-16"))
    found = report(xinye("data", "check", "a.txt", "b.txt", "--json"))["files"]
    assert [(each["encoding"], each["line_ends"]) for each in found] == [
        ("gb18030", {"CRLF": 3}),
        ("utf-16", {"CRLF": 1, "LF": 1, "CR": 1}),
    ]


def test_duplicates_lead_to_flags(xinye, workplace):
    pytest.importorskip("datasketch")
    texts = stories(30, "zh")
    texts = [*texts, texts[0], texts[0], *(text + "完" for text in texts[:5]), "短", "這個時候們"]
    lines = [json.dumps({"review": text, "label": 1}, ensure_ascii=False) for text in texts]
    Path("a.jsonl").write_text("\n".join(lines), "utf-8")
    found = report(xinye("data", "check", "a.jsonl", "--json", "--field", "review"))
    assert found["files"][0]["field"] == "review"
    assert (
        found["duplicates"]["documents"] == 2 and found["duplicates"]["examples"][0]["times"] == 3
    )
    assert places(found["duplicates"]) == [("a.jsonl", 1)]
    assert found["near_duplicates"]["documents"] == 5
    assert places(found["near_duplicates"])[0] == ("a.jsonl", 33)
    assert found["command"].startswith(
        "xinye pretrain a.jsonl --field review --near-duplicates 0.8 "
    )
    assert found["document_characters"]["count"] == len(texts)


def test_a_separator_in_the_text_is_noticed(xinye, workplace):
    Path("a.txt").write_text("<|endoftext|>".join(stories(5, "en")), "utf-8")
    found = report(xinye("data", "check", "a.txt", "--json"))
    assert "--document-separator '<|endoftext|>'" in found["command"]


def test_without_datasketch_the_rest_is_checked(xinye, workplace, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    found = report(xinye("data", "check", "zh.txt", "--json"))
    assert install_command() in found["findings"][-1]["advice"]


def test_the_report_is_short_readable_and_safe(xinye, workplace):
    for number in range(40):
        Path(f"章{number}.txt").write_text(f"第{number}章\x1b[31m {MAIL} 春天来了", "utf-8")
    outcome = xinye("data", "check", *sorted(path.name for path in Path().glob("章*")))
    assert outcome.code == 0 and len(outcome.out.splitlines()) < 60
    assert "40 files" in outcome.out and "\x1b" not in outcome.out
    assert "xinye pretrain ./*.txt" not in outcome.out  # there are others in this folder
    assert outcome.out.splitlines()[-1].startswith("next: xinye pretrain 章0.txt")


def test_in_python(workplace):
    found = check_data.check(["zh.txt"], None, "\n\n")
    assert found.documents == 30
    assert found.document_characters.longest == max(map(len, stories(30, "zh")))
