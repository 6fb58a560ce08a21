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
    noted = f"2 bad bytes became �, the first at offset {len(TEXT)} (a.txt, line 51)"
    if "a.csv" in command:
        place = f"{len(ROWS)} (line 82)"
        noted = f"a bad byte became �, the first at offset {len(ROWS)} (a.csv, line 82)"
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
    assert outcome.code == 2 and "zero bytes: a binary file" in outcome.complaint


def test_what_was_replaced_is_never_taken_for_what_was_not(xinye, files):
    run = ("pretrain", "a.txt", "--size", "50k", "--steps", 1, "-o", "run", "--overwrite")
    assert xinye(*run, "--bad-bytes", "replace").code == 0
    assert xinye(*run).code == 2


def test_one_command_goes_on_with_the_next(xinye, files):
    report = xinye("data", "check", "a.txt", "--bad-bytes", "replace", "--json").out
    assert json.loads(report)["command"].startswith("xinye pretrain a.txt --bad-bytes replace")
