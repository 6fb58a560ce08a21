"""`xinye data mask`: a copy has the form of its file, and no personal data."""

import json
import os
from pathlib import Path

import pytest

FILES = {
    "a.csv": (
        'id;内容;订单号\r\n1;"你好；电话138-1234-5678";13812345678\r\n2;\'新叶\' 13812345678, "x";7\r\n',
        'id;内容;订单号\r\n1;"你好；电话[电话1]";13812345678\r\n2;\'新叶\' [电话1], "x";7\r\n',
    ),
    "a.tsv": ('text\tlabel\na "b@c.cn\tgood\n', 'text\tlabel\na "[mail 1]\tgood\n'),
    "a.jsonl": (
        '{"role": "user",  "content":"\\u6211 13812345678\\n"}\n\n{"id": 13812345678, "a@b.cn": ["x"]}\n',
        '{"role": "user",  "content":"\\u6211 [\\u7535\\u8bdd1]\\n"}\n\n{"id": 13812345678, "a@b.cn": ["x"]}\n',
    ),
    "a.json": (
        '[\n  {"问": "找谁？", "答": ["13812345678", "a@b.cn"]},\n  "13987654321"\n]\n',
        '[\n  {"问": "找谁？", "答": ["[电话1]", "[邮箱1]"]},\n  "[phone 1]"\n]\n',
    ),
    "a.txt": ("call 13812345678\r\nor 13987654321\n", "call [phone 1]\r\nor [phone 2]\n"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_the_copy_keeps_its_form(xinye, workplace, name, encoding):
    before, after = FILES[name]
    Path(name).write_text(before, encoding, newline="")
    outcome = xinye("data", "mask", name, "-o", "copy", "--json")
    assert outcome.code == 0
    assert Path("copy").read_bytes().decode(encoding) == after
    again = xinye("data", "mask", name, "-o", "copy")
    assert again.code == 2 and "--overwrite" in again.complaint


def test_what_was_masked_is_counted(xinye, workplace):
    Path("a.jsonl").write_text(FILES["a.jsonl"][0], "utf-8")
    outcome = xinye("data", "mask", "a.jsonl", "-o", "b.jsonl", "--json")
    assert json.loads(outcome.out) == {
        "output": "b.jsonl", "records": 2, "masked_records": 1, "values": {"mobile": 1},
        "numbers": {"id": 1},
    }  # fmt: skip
    said = xinye("data", "mask", "a.jsonl", "-o", "b.jsonl", "--overwrite").out
    assert "masked 1 value in 1 of 2 records" in said and "id (1)" in said


def test_only_the_fields_that_are_named(xinye, workplace):
    Path("a.csv").write_text("text,phone\n13812345678,13812345678\n", "utf-8")
    assert xinye("data", "mask", "a.csv", "--field", "phone", "-o", "b.csv").code == 0
    assert Path("b.csv").read_text("utf-8") == "text,phone\n13812345678,[phone 1]\n"
    outcome = xinye("data", "mask", "a.csv", "--field", "电话", "-o", "c.csv")
    assert outcome.code == 2 and "text" in outcome.complaint and not Path("c.csv").exists()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jsonl", '{"text": "a"}\n{"text": \n', "a.jsonl, line 2: not valid JSON"),
        ("a.csv", 'a,b\n1,"x\n', "a.csv, line 2: not a valid row"),
        ("a.docx", "x", "data mask reads"),
    ],
)
def test_what_cannot_be_masked_is_one_line(xinye, workplace, name, text, says):
    Path(name).write_text(text, "utf-8")
    outcome = xinye("data", "mask", name, "-o", "copy")
    assert outcome.code == 2 and says in outcome.complaint and not Path("copy").exists()


def test_records_of_a_task_are_checked_for_it(xinye, workplace):
    Path("a.csv").write_text("text,label\n电话13812345678,好\n新叶,差\n", "utf-8")
    outcome = xinye("data", "check", "a.csv", "--task", "classify")
    assert "personal data: Chinese mobile number" in outcome.out and "a.csv, line 2" in outcome.out


def test_a_link_or_a_device_is_not_replaced(xinye, workplace):
    Path("in.txt").write_text("13812345678\n", "utf-8")
    Path("target.txt").write_text("old", "utf-8")
    Path("link.txt").symlink_to("target.txt")
    os.mkfifo("pipe.txt")
    for name in ("link.txt", "pipe.txt"):
        found = xinye("data", "mask", "in.txt", "-o", name, "--overwrite")
        assert (found.code, "a link, a device or a folder" in found.complaint) == (2, True)
    assert Path("link.txt").is_symlink() and Path("target.txt").read_text() == "old"
    assert Path("pipe.txt").is_fifo()
