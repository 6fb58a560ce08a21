"""`--bad-records skip` leaves out what no model can learn from, and `--sheet` names what is read of a
workbook: in every verb that reads records the same."""

import json

import openpyxl
import pytest

from xinye.language import chinese


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Two sheets of reviews, each with a row of totals at its end."""
    monkeypatch.chdir(tmp_path)
    book = openpyxl.Workbook()
    book.active.title = "cover"
    for name in ("learned", "judged"):
        sheet = book.create_sheet(name)
        sheet.append(["text", "label"])
        for number in range(20):
            sheet.append([f"{name} place {number} is fine", "ab"[number % 2]])
        sheet.append(["合计", None])
    book.save("book.xlsx")
    return "book.xlsx"


LEFT_OUT = "1 bad record left out: line 22, field 'label': expected a label, found nothing"
SKIP = ("--bad-records", "skip")


def test_every_verb_leaves_bad_records_out(xinye, trained, book):
    finetune = ("finetune", trained, "--task", "classify", "--epochs", 1, "-o", "run")
    commands = [
        ("data", "check", book, "--task", "classify"),
        ("data", "show", book, "--task", "classify"),
        (*finetune, "--data", book),
        ("evaluate", "run", "--data", book),
        ("evaluate", trained, "--data", book, "--labels", "a,b"),
    ]
    for command in commands:
        if command[1] != "check" and command[1] != "run":  # which goes on; the run's settings hold
            refused = xinye(*command, "--sheet", "judged")
            assert refused.code == 2, command
            assert "line 22" in refused.complaint and "--bad-records skip" in refused.complaint
        done = xinye(*command, "--sheet", "judged", *SKIP)
        assert done.code == 0, done.err
        assert LEFT_OUT in " ".join((done.out + done.err).split()), command


def test_the_sheet_that_is_named(xinye, book):
    command = ("data", "check", book, "--task", "classify", "--json")
    report = json.loads(xinye(*command, "--sheet", "judged").out)
    assert "judged place 0" in str(report["shown"])
    assert "--sheet judged" in report["command"]
    told = json.loads(xinye(*command).out)["findings"]
    assert any("--sheet NAME reads another: 'judged'" in said for said in told), told
    wrong = xinye(*command, "--sheet", "juged")
    assert wrong.code == 2
    assert "its sheets are 'cover', 'learned', 'judged'; did you mean 'judged'?" in wrong.complaint


def test_a_file_without_sheets(xinye, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood place,a\nbad place,b\n")
    done = xinye("data", "check", path, "--task", "classify", "--sheet", "x")
    assert "--sheet has no effect: the file is not a workbook" in done.out


def test_more_bad_records_than_good_ones(xinye, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\ngood place,a\nbad place,\nodd place,\n")
    done = xinye("data", "check", path, "--task", "classify", *SKIP)
    assert done.code == 2 and "2 of 3 records are bad. That is more than half" in done.complaint
    assert "line 3, field 'label'" in done.complaint


@pytest.mark.parametrize(
    ("labels", "hint"),
    [
        (("fast#good", "fast", "good#slow", "slow"), "--label-separator '#'"),
        (("fast, good", "fast", "good, slow", "slow"), "--label-separator ,"),
        (("Paris, France", "Lyon, France", "Rome", "Rome"), ""),
        (("C#", "C", "F#", "F"), ""),
    ],
)
def test_labels_that_were_joined(xinye, tmp_path, labels, hint):
    path = tmp_path / "a.jsonl"
    rows = [{"text": f"place {n} is fine", "label": labels[n % 4]} for n in range(12)]
    path.write_text("\n".join(map(json.dumps, rows)))
    report = json.loads(xinye("data", "check", path, "--task", "classify", "--json").out)
    said = " ".join(report["findings"])
    assert ("whose parts are labels too" in said) == bool(hint) and hint in said


def test_the_notes_in_chinese():
    assert chinese("the column is hidden in the workbook, but is read (a.xlsx, column B)") == (
        "有的列在工作簿中是隐藏的：照样读取（a.xlsx B 列）"
    )
    assert chinese("read as Windows-1252, a guess: 1 byte is not ASCII (a.csv, line 3)") == (
        "按 Windows-1252 读取，这只是推测：有 1 个字节不是 ASCII 字符（a.csv 第 3 行）"
    )
