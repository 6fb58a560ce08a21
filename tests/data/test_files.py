"""What is no regular file is never read: a pipe would be waited for, a device never ends."""

import os
import shutil
import socket
from pathlib import Path

import pytest

from conftest import contents
from xinye.data.files import written_beside

KINDS = {
    "pipe": "this is a named pipe",
    "socket": "this is a Unix socket",
    "device": "this is a device",
}


@pytest.fixture(params=KINDS)
def odd(request, workplace):
    """Makes a file of a kind that must not be read, and tells what has to be said of it."""

    def make(name: str) -> tuple[Path, str]:
        path = Path(name)
        path.unlink(missing_ok=True)
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "socket":
            socket.socket(socket.AF_UNIX).bind(name)
        else:
            path.symlink_to("/dev/zero")
        return path, KINDS[request.param]

    return make


@pytest.mark.parametrize(
    "command",
    [
        ("data", "collect", "odd.txt", "-o", "out.jsonl"),
        ("data", "collect", "odd.html", "-o", "out.jsonl"),
        ("data", "collect", "odd.xml", "-o", "out.jsonl"),
        ("data", "check", "odd.txt"),
        ("data", "check", "odd.jsonl", "--task", "chat"),
        ("data", "check", "odd.parquet"),
        ("tokenizer", "train", "odd.txt", "-o", "out"),
        ("pretrain", "odd.txt", "-o", "out"),
        ("pretrain", "zh.txt", "--config", "odd.yaml", "-o", "out"),
        ("generate", "{model}", "--prompts", "odd.jsonl", "-o", "out.jsonl"),
        ("finetune", "{model}", "--task", "classify", "--data", "odd.csv", "-o", "out"),
        ("finetune", "{model}", "--task", "chat", "--data", "odd.jsonl", "-o", "out"),
        ("evaluate", "{model}", "odd.txt"),
    ],
    ids=lambda command: " ".join(command[:-1])[:40],
)
def test_only_files_are_read(xinye, odd, trained, command):
    name = next(word for word in command if word.startswith("odd"))
    _, says = odd(name)
    outcome = xinye(*(word.replace("{model}", str(trained)) for word in command))
    assert outcome.code == 2 and f"{name}: {says}" in outcome.complaint
    assert not Path("out").exists() and not Path("out.jsonl").exists()


def test_a_folder_is_searched_past_them(xinye, odd, workplace):
    odd("odd.txt")
    assert xinye("data", "collect", workplace, "-o", "all.jsonl").code == 0
    assert xinye("data", "check", workplace).code == 0


@pytest.mark.parametrize(
    "name", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"]
)
def test_a_model_is_not_read_from_them(xinye, odd, trained, workplace, name):
    shutil.copytree(trained, workplace / "model")
    odd(f"model/{name}")
    outcome = xinye("generate", "model", "从前", "--max-tokens", "1")
    if name == "chat_template.jinja":  # it is as good as missing
        assert outcome.code == 0
    else:
        assert name in outcome.complaint


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path):
    (tmp_path / "chart.svg").write_text("old", "utf-8")
    with pytest.raises(OSError, match="full"), written_beside(tmp_path / "chart.svg") as beside:
        beside.write_text("half", "utf-8")
        raise OSError("the disk is full")
    assert contents(tmp_path) == {"chart.svg": b"old"}
