"""How verbs print: whole lines into a pipe, and what fits on a terminal of 80 columns."""

import logging
import re

import pytest
from rich.cells import cell_len

from conftest import TINY
from xinye.cli import output
from xinye.cli.output import LogFormatter
from xinye.errors import XinyeError
from xinye.native import library

PLAN = ("pretrain", "zh.txt", "--steps", "6", "--dry-run", *TINY)


def lines(shown):
    """The lines of a terminal without colours, spaces at the end, and those that were replaced."""
    return [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip() for line in shown.splitlines()]


def test_a_plan_is_in_groups_and_ends_with_its_time(xinye, terminal, workplace, no_measuring):
    piped = xinye(*PLAN).err.splitlines()
    heads = [line for line in piped if line in ("data", "model", "optimization", "machine")]
    assert heads == ["data", "model", "optimization", "machine"]
    assert piped[-1].split()[0] == "total_time" and "a step, and" in piped[-1]
    shown = lines(terminal(*PLAN, columns=80).out)
    assert set(heads) < set(shown) and max(map(cell_len, shown)) <= 80


def test_a_pipe_gets_whole_lines_at_any_width(xinye, trained, workplace, monkeypatch, no_measuring):
    rows = [
        f"这家店的第{at}道菜很好，{'真的很好吃，' * 9}下次再来,{'好坏'[at % 2]}" for at in range(4)
    ]
    (workplace / "r.csv").write_text("\n".join(["text,label", *rows, ",好"]), "utf-8")
    commands = [
        PLAN,
        ("data", "check", "zh.txt"),
        ("data", "check", "r.csv", "--task", "classify"),
        ("runs", "show", trained),
        ("evaluate", trained),
        ("tokenizer", "eval", trained, "zh.txt"),
    ]
    for command in commands:
        whole = xinye(*command)
        monkeypatch.setenv("COLUMNS", "20")
        narrow = xinye(*command)
        monkeypatch.delenv("COLUMNS")
        said = [re.sub(r"[\d.,]+", "0", line) for line in (whole.out + whole.err).splitlines()]
        again = [re.sub(r"[\d.,]+", "0", line) for line in (narrow.out + narrow.err).splitlines()]
        assert len(said) == len(again) > 3 and all(line == line.rstrip() for line in again), command


def test_what_was_noted_of_a_text_is_told_from_the_cache_too(xinye, workplace, no_measuring):
    (workplace / "a.csv").write_text("text\n" + "小鸟飞过山。\n" * 90 + "text\n小鸟。\n", "utf-8")
    told = []
    for _ in range(2):
        outcome = xinye(
            "pretrain", "a.csv", "--steps", "2", "--dry-run", "--no-drop-duplicates", *TINY
        )
        told.append([line for line in outcome.err.splitlines() if line.startswith("note: ")])
    assert told[0] and told[0] == told[1]


def test_data_show_tells_what_was_read_otherwise(xinye, workplace):
    (workplace / "a.csv").write_text("text,label\n好,1\ntext,label\n坏,0\n", "utf-8")
    shown = xinye("data", "show", "a.csv", "--task", "classify")
    assert shown.code == 0 and "note: " in shown.out and "line 3" in shown.out


def test_the_log_speaks_the_language_of_the_screen_and_json_stays(monkeypatch):
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")

    def line(said, *values):
        record = logging.LogRecord("xinye.server", logging.INFO, "", 1, said, values, None)
        return LogFormatter("%(levelname)s %(message)s").format(record)

    assert line("%s", XinyeError("there is no such conversation")) == "INFO 没有这个会话"
    assert line('{"request": "interrupted"}') == 'INFO {"request": "interrupted"}'


@pytest.mark.parametrize(
    "words, said",
    [
        ("", "still being compiled"),
        ("g++ failed: error", "more slowly: g++ failed: error"),
    ],
)
def test_a_command_ends_with_what_came_of_compiling(words, said, monkeypatch, capsys):
    ends = []
    monkeypatch.setattr(output.atexit, "register", ends.append)
    monkeypatch.setattr(library, "prepare_library_beside", lambda *_: True)
    monkeypatch.setattr(library.THIS, "settled", lambda: bool(words))
    monkeypatch.setattr(library.THIS, "functions", None)
    monkeypatch.setattr(library.THIS, "words", words)
    output.prepare_writing()
    ends[0]()
    assert said in capsys.readouterr().err
