"""Bytes that fit no encoding: the file, the line and the offset are named, and with `--bad-bytes
replace` work goes on and says how many there were."""

import json
from pathlib import Path

import pytest

TEXT = "春天来了，新的叶子在树上长出来。\n".encode() * 50
ROWS = "".join(f"第{n}碗面,{'好' if n % 2 else '差'}评\n" for n in range(80))
ROWS = f"review,label\n{ROWS}".encode()


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a.txt").write_bytes(TEXT + b"\xff\n" + TEXT + b"\xfe\n")
    Path("a.csv").write_bytes(ROWS + "面条\n".encode()[:2] + ",好评\n".encode())


GOING_ON = [
    ("data", "check", "a.txt"),
    ("data", "check", "a.csv", "--task", "classify"),
    ("data", "collect", "a.txt", "-o", "out.jsonl"),
    ("tokenizer", "train", "a.txt", "-o", "tokenizer"),
    ("pretrain", "a.txt", "--size", "50k", "--steps", 1, "-o", "run"),
    ("evaluate", "{model}", "a.txt"),
    ("finetune", "{model}", "--task", "classify", "--data", "a.csv", "--epochs", 1, "-o", "run"),
]


@pytest.mark.parametrize("command", GOING_ON, ids=lambda command: " ".join(map(str, command[:3])))
def test_refused_or_replaced(xinye, trained, files, command):
    command = [trained if word == "{model}" else word for word in command]
    place = f"{len(TEXT)} (line 51)"
    noted = f"read as UTF-8: 2 bad bytes replaced by �, the first at offset {len(TEXT)} (a.txt, line 51)"
    if "a.csv" in command:
        place = f"{len(ROWS)} (line 82)"
        noted = f"read as UTF-8: 1 bad byte replaced by �, the first at offset {len(ROWS)} (a.csv, line 82)"
    refused = xinye(*command)
    assert refused.code == 2
    assert f"at offset {place} is not UTF-8" in refused.complaint
    assert "--bad-bytes replace" in refused.complaint
    done = xinye(*command, "--bad-bytes", "replace")
    assert done.code == 0, done.err
    assert noted in " ".join((done.out + done.err).split())


def test_a_binary_file_is_refused_all_the_same(xinye, files):
    Path("b.txt").write_bytes(TEXT + b"\xff" + TEXT + b"\0")
    outcome = xinye("data", "check", "b.txt", "--bad-bytes", "replace")
    assert outcome.code == 2 and "zero bytes: it is a binary file" in outcome.complaint


def test_what_was_replaced_is_never_taken_for_what_was_not(xinye, files):
    run = ("pretrain", "a.txt", "--size", "50k", "--steps", 1, "-o", "run", "--overwrite")
    assert xinye(*run, "--bad-bytes", "replace").code == 0
    assert xinye(*run).code == 2


def test_one_command_goes_on_with_the_next(xinye, files):
    report = xinye("data", "check", "a.txt", "--bad-bytes", "replace", "--json").out
    assert json.loads(report)["command"].startswith("xinye pretrain a.txt --bad-bytes replace")


CHINESE = ROWS.decode()
DAMAGED = {
    "GB18030": CHINESE.encode("gb18030"),
    "Big5": CHINESE.replace("面", "麵").replace("评", "評").encode("big5"),
    "Windows-1252": "".join(f"Le café {n} est très bon,{n % 2}\n" for n in range(80)).encode(
        "cp1252"
    ),
    "UTF-16-LE": CHINESE.encode("utf-16-le"),
    "UTF-8": CHINESE.encode(),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_bad_byte_leaves_the_encoding_as_it_is(xinye, files, name):
    wide = name.startswith("UTF-16")
    text = DAMAGED[name]
    at = text.index("\n".encode("utf-16-le" if wide else "utf-8"), len(text) // 2)
    bad = {"UTF-16-LE": b"\0\xd8", "Windows-1252": b"\x81"}.get(name, b"\xff")
    Path("c.csv").write_bytes(text[:at] + bad + text[at:])
    command = ("data", "check", "c.csv", "--task", "classify")
    refused = xinye(*command)
    assert refused.code == 2 and "--bad-bytes replace" in refused.complaint
    done = xinye(*command, "--bad-bytes", "replace", "--json")
    assert done.code == 0, done.err
    note = f"read as {name}: 1 bad byte replaced by �, the first at offset {at} (c.csv, line "
    assert any(said.startswith(note) for said in json.loads(done.out)["findings"])


def test_an_encoding_that_is_sure_is_not_told(xinye, files):
    rows = "".join(f"这是我吃的第{n}碗面，味道不错,{'好差'[n % 2]}评\n" for n in range(20))
    Path("c.csv").write_text(f"内容,类别\n{rows}", "gb18030")
    for flags in ((), ("--bad-bytes", "replace")):
        done = xinye("data", "check", "c.csv", "--task", "classify", *flags)
        assert done.code == 0 and "a guess" not in done.out, done.err


def test_an_encoding_that_a_byte_decides_is_told(xinye, files):
    rows = "".join(f"Place {n} is fine,{n % 2}\n" for n in range(80)).encode()
    Path("c.csv").write_bytes(rows.replace(b"7 is", b"7\xff is", 1))
    done = xinye("data", "check", "c.csv", "--task", "classify")
    note = "read as Windows-1252, a guess: 1 byte is not ASCII (c.csv, line 8)"
    assert note in " ".join(done.out.split())


@pytest.mark.parametrize("bad", "差优")
def test_no_damaged_label_is_a_class(xinye, tmp_path, bad):
    """Two labels whose bytes are bad would be one."""
    rows = "text,label\n" + "".join(f"第{n}碗面很好,{'好坏'[n % 2]}\n" for n in range(20))
    file = tmp_path / "a.csv"
    file.write_bytes(rows.encode() + "面,".encode() + bad.encode("gb18030") + b"\n")
    command = ("data", "check", file, "--task", "classify", "--bad-bytes", "replace")
    assert "line 22: the label '��' contains bytes that could not be read" in xinye(*command).out
    skipped = xinye(*command, "--bad-records", "skip", "--json")
    assert set(json.loads(skipped.out)["counts"]) == {"好", "坏"}


def test_no_damaged_tag_or_speaker_is_learned(xinye, tmp_path):
    tags, chat = tmp_path / "a.conll", tmp_path / "a.csv"
    tags.write_bytes("茶 B-茶\n好 O\n\n".encode() * 20 + b"x B-\xb2\n\n")
    said = "id,role,content\n" + "".join(f"{n},张三,茶好吗\n{n},客服,好\n" for n in range(20))
    chat.write_bytes(said.encode() + b"21,\xb2\xb3,?\n" + "21,客服,好\n".encode())
    replacing = ("--bad-bytes", "replace")
    found = xinye("data", "check", tags, "--task", "tag", *replacing)
    assert "the tag '�' contains bytes that could not be read" in found.out + found.err
    found = xinye("data", "check", chat, "--task", "chat", "--assistant-name", "客服", *replacing)
    assert "the role '��' contains bytes that could not be read" in found.out + found.err
