"""`--bad-records skip` leaves out what no model can learn from, and `--sheet` names what is read of a
workbook: in every verb that reads records the same."""

import json
from zipfile import ZipFile

import openpyxl
import pytest

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.language import chinese
from xinye.tasks.bad_records import bad_records
from xinye.tasks.registry import find_task


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
        (("服务、口味", "口味", "物流、服务", "口味"), "--label-separator '、'"),
        (("服务/口味", "口味", "物流/服务", "口味"), "--label-separator /"),
        (("服务 口味", "口味", "服务", "口味"), "--label-separator ' '"),
        (("好#快", "差", "差", "差"), "--label-separator '#'"),
        (("and/or", "news/sport", "news/art", "news"), ""),
        (("2024/5/1", "2024/6/2", "very good", "good"), ""),
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
    assert ("which looks like several" in said) == bool(hint) and hint in said


def test_the_notes_in_chinese():
    assert chinese("the column is hidden in the workbook, but is read (a.xlsx, column B)") == (
        "有的列在工作簿中是隐藏的，照样读取（a.xlsx B 列）"
    )
    assert chinese("read as Windows-1252, a guess: 1 byte is not ASCII (a.csv, line 3)") == (
        "按 Windows-1252 读取，这只是推测：有 1 个字节不是 ASCII 字符（a.csv 第 3 行）"
    )


@pytest.mark.parametrize(
    ("task", "name", "text", "left_out", "kept"),
    [
        ("tag", "a.conll", "He O\nlives O\nin O\nNew\nYork B-LOC\n\nTom B-PER\n\nAnn B-PER\n",
         "1 bad record left out: line 4", ["Tom", "Ann"]),
        ("tag", "a.csv", "Sentence #,Word,Tag\n1,He,O\n1,in,O,O\n1,York,B-LOC\n2,Tom,B-PER\n",
         "1 bad record left out: line 3", ["Tom"]),
        ("chat", "a.csv", "conversation_id,role,content\na,user,France?\na,assistant,Paris\na,user,\n"
         "a,assistant,Berlin\nb,user,hi\nb,assistant,hello\n",
         "1 bad record left out: line 4", ["hello"]),
        ("chat", "b.csv", "id,role,content\na,user,hi\na,bot,\na,bot,\nb,user,hi\nb,bot,hello\n",
         "1 bad record left out: line 3", ["hello"]),
        ("chat", "c.csv", "id,role,content\na,user,hi\na,bot,oh\na,user,hm,2\na,bot,no\nb,user,hi\n"
         "b,bot,hello\n", "1 bad record left out: line 4", ["hello"]),
        ("chat", "d.csv", "id,role,content\na,user,hi\na,bot,oh\n,user,hm\na,bot,no\nb,user,hi\n"
         "b,bot,hello\n", "1 bad record left out: line 4", ["hello"]),
    ],
)  # fmt: skip
def test_a_bad_part_leaves_the_whole_record_out(tmp_path, task, name, text, left_out, kept):
    path = tmp_path / name
    path.write_text(text)
    notes = Notes()
    with bad_records("skip"):
        records = find_task(task).read([path], notes=notes)
    texts = [each.messages[-1]["content"] if task == "chat" else each.text for each in records]
    assert texts == kept
    assert any(left_out in said for said in notes.sentences()), notes.sentences()


def test_only_the_sheet_that_is_read_may_not_be_too_wide(xinye, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    book = openpyxl.Workbook()
    for number in range(3):
        book.active.append([f"place {number} is fine", "ab"[number % 2]])
    book.active.merge_cells("D1:E1")
    wide = book.create_sheet("pivot")
    for _ in range(2):
        wide.append([*range(1200)])
    book.save("whole.xlsx")
    with ZipFile("whole.xlsx") as whole, ZipFile("a.xlsx", "w") as archive:
        for name in whole.namelist():
            archive.writestr(name, whole.read(name).replace(b'"D1:E1"', b'"2:3"'))
    command = ("data", "check", "a.xlsx", "--task", "classify", "--json")
    read = xinye(*command, "--text-field", "1", "--label-field", "2")
    assert "--sheet NAME reads another: 'pivot'" in read.out, read.err
    refused = xinye(*command, "--sheet", "pivot")
    assert "line 1: the sheet 'pivot' has 1,200 columns" in refused.complaint
    text = xinye("data", "check", "a.xlsx", "--json").out
    assert "only 'Sheet'" in text and "--sheet" not in text


def test_a_name_that_looks_like_a_flag(xinye, tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "refuse"
    book.active.append(["text", "label"])
    for number in range(4):
        book.active.append([f"place {number} is fine", "ab"[number % 2]])
    book.save(tmp_path / "a.xlsx")
    command = ("data", "check", tmp_path / "a.xlsx", "--task", "classify", "--json")
    said = json.loads(xinye(*command, "--sheet", "refuse").out)["command"]
    assert "--sheet refuse" in said
    path = tmp_path / "my--data.jsonl"
    path.write_text('{"text":"a","label":""}\n')
    refused = xinye("data", "show", path, "--task", "classify")
    assert "--bad-records skip" in refused.complaint


def test_a_label_that_only_validation_has(xinye, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, labels in (("train", "ab"), ("judged", "abababac")):
        rows = [f"{name} {number} is {label},{label}" for number, label in enumerate(labels * 10)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["text,label", *rows]), "utf-8")
    files = ("--data", "train.csv", "--validation", "judged.csv")
    finetune = ("finetune", trained, "--task", "classify", "--steps", 2, "-o", "run", *files)
    problem = "judged.csv, line 9: the model does not know the label 'c'"
    checked = xinye("data", "check", *files[1:], "--task", "classify")
    assert f"finetune would refuse this: {problem}" in " ".join(checked.out.split())
    refused = xinye(*finetune)
    assert refused.code == 2 and problem in refused.complaint
    assert "--bad-records skip" in refused.complaint
    left_out = "left out of the evaluation: the model does not know the label 'c'"
    evaluate = ("evaluate", "run", "--data", "judged.csv")
    check = ("data", "check", *files[1:], "--task", "classify")
    for command in (check, finetune, evaluate):
        done = xinye(*command, *SKIP)
        said = " ".join((done.out + done.err).split())
        assert done.code == 0 and left_out in said and "(10 times, first judged.csv, line 9" in said
    (tmp_path / "judged.csv").write_text("text,label\none,a\ntwo,c\nthree,d\n", "utf-8")
    most = xinye(*evaluate, *SKIP)
    assert most.code == 2 and "2 of 3 records" in most.complaint


def test_a_few_validation_records_prove_little(xinye, trained, tmp_path):
    file = tmp_path / "few.csv"
    rows = [f"text {number},{'ab'[number % 2]}" for number in range(20)]
    file.write_text("\n".join(["text,label", *rows]), "utf-8")
    finetune = ("finetune", trained, "--steps", 2, "-o", tmp_path / "run", "--data", file)
    for command in (("data", "check", file), finetune):
        done = xinye(*command, "--task", "classify")
        said = " ".join((done.out + done.err).split())
        assert "validation has only 2 records, so its figures can be chance" in said
    done = xinye(
        *finetune[:-4], "--data", file, "--task", "classify", "--folds", 2, "-o", tmp_path / "f"
    )
    assert done.code == 0 and "can be chance" not in done.out + done.err


def test_each_of_several_records_counts(tmp_path):
    path = tmp_path / "a.jsonl"
    rows = [{"prompt": "hi", "response": "" if number < 3 else "oh"} for number in range(5)]
    path.write_text("\n".join(map(json.dumps, rows)))
    with bad_records("skip"), pytest.raises(XinyeError, match="3 of 5 records are bad"):
        find_task("chat").read([path])


@pytest.mark.parametrize("label", ["Infinity", "-inf", "1e999", "NaN", "nan"])
def test_a_number_without_a_value_is_no_label(xinye, tmp_path, label):
    file = tmp_path / "a.csv"
    file.write_text(f"text,label\ngood,1\nbad,0\nodd,{label}\n", "utf-8")
    found = xinye("data", "check", file, "--task", "classify")
    assert f"line 4, field 'label': expected a label, found '{label}'" in found.out


def test_zero_is_one_label_however_it_is_written(xinye, tmp_path):
    file = tmp_path / "a.jsonl"
    lines = [f'{{"text": "{text}", "label": {label}}}' for text, label in (("a", 1), ("b", "-0.0"))]
    file.write_text("\n".join([*lines, '{"text": "c", "label": 0}']), "utf-8")
    found = xinye("data", "check", file, "--task", "classify", "--json")
    assert json.loads(found.out)["counts"] == {"0": 2, "1": 1}


@pytest.mark.parametrize("end", ['{"text": "goo', '{"text": "good", "label": "a"},'])
def test_a_file_that_is_cut_off_is_refused_all_the_same(xinye, tmp_path, end):
    rows = "".join(f'{{"text": "{n}", "label": "{n % 2}"}},\n' for n in range(9))
    (tmp_path / "a.json").write_text(f"[{rows}{end}", "utf-8")
    command = ("data", "check", tmp_path / "a.json", "--task", "classify")
    found = xinye(*command, "--bad-records", "skip")
    assert "the file ends inside its array" in found.out
    shown = ("data", "show", tmp_path / "a.json", "--task", "classify", "--bad-records", "skip")
    found = xinye(*shown)
    assert found.code == 2 and "the file ends inside its array" in found.complaint
