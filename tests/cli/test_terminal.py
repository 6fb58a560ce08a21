"""Nothing that data, a model or a file name holds drives the terminal: it is shown by signs."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import xinye as package
from cli.test_chat import ANSWER, speaker
from conftest import Command, Outcome
from training.test_finetune import FAST, TEXTS
from xinye import machine
from xinye.errors import XinyeError

# A title, colours by an 8-bit control character, text backwards, a deletion, and rich's markup.
EVIL = "a\x1b]0;b\x07\x9b31m\u202ec\x7f[red][bold]"
SHOWN = "a␛]0;b␇�31m�c�[red][bold]"


def safe(text: str) -> bool:
    """Whether a terminal only shows it; rich's own colours and cursor are `ESC [`."""
    return not any(bad in text for bad in ("\x1b]", "\x07", "\x9b", "\u202e", "\x7f"))


@pytest.fixture(params=["terminal", "xinye"])
def both(request: pytest.FixtureRequest) -> Command:
    """On a terminal, and through a pipe."""
    run: Callable[..., Outcome] = request.getfixturevalue(request.param)
    return run


def test_runs_and_their_files(both, make_run, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # a table has room for short names only
    losses = {"losses": [5.0, 4.0], "validations": [(1, 4.5), (2, 4.0)]}
    run = make_run(
        f"runs/{EVIL}",
        **losses,
        sample=EVIL,
        settings={"files": [f"{EVIL}.txt"]},
        result={"texts": [EVIL]},
    )
    other = make_run("runs/other", **losses)
    for arguments in (["runs", "runs"], ["runs", "show", run], ["runs", "compare", run, other]):
        outcome = both(*arguments)
        assert outcome.code == 0 and safe(outcome.out + outcome.err), outcome
        assert SHOWN in outcome.out
    outcome = both("runs", run.parent, "--json")
    assert safe(outcome.out) and str(run) in [
        each["run"] for each in json.loads(outcome.out)["runs"]
    ]


def test_what_is_wrong(both, workplace):
    Path("keys.jsonl").write_text(json.dumps({EVIL: "x", "b": 1}) + "\n", "utf-8")
    Path(f"{EVIL}\n.csv").write_text('text,label\n"x\n', "utf-8")
    for arguments in (
        ["generate", EVIL], ["generate", ".", f"--{EVIL}"], ["runs", EVIL], [EVIL], ["data", EVIL],
        ["data", "check", "keys.jsonl", "--task", "chat"], ["data", "check", f"{EVIL}\n.csv", "--task", "classify"],
        ["chat", EVIL, "-p", "x"], ["pretrain", f"{EVIL}.txt"], ["pretrain", "zh.txt", "--size", EVIL],
        ["classify", ".", "x", "--labels", EVIL],
    ):  # fmt: skip
        outcome = both(*arguments)
        text = outcome.out + outcome.err
        assert outcome.code == 2 and safe(text) and "Traceback" not in text, (arguments, text)
        assert "xinye" in text.splitlines()[-1]


def test_records_and_their_labels(both, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(machine, "matrix_flops_per_second", lambda *arguments, **named: 1e11)
    rows = [
        {"text": f"{text}{EVIL}", "label": EVIL if at % 2 else "好"}
        for at, text in enumerate(TEXTS)
    ]
    Path("rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    fast = [f"--{name.replace('_', '-')}={value}" for name, value in (FAST | {"epochs": 1}).items()]
    data = ("--data", "rows.jsonl")
    for arguments in (
        ["data", "check", "rows.jsonl"],
        ["data", "check", "rows.jsonl", "--task", "classify"],
        ["data", "show", "rows.jsonl", "--task", "classify"],
        [
            "finetune",
            trained,
            "--task",
            "classify",
            *data,
            "--validation",
            "rows.jsonl",
            "-o",
            EVIL,
            *fast,
        ],
        ["evaluate", EVIL, *data],
        ["classify", EVIL, "x"],
        ["classify", EVIL, rows[0]["text"], "--json"],
        [
            "classify",
            trained,
            f"{EVIL}!",
            "--labels",
            "\x1b]0;,\u202e",
            "--prompt",
            "{text}{label}",
        ],
        ["runs", "show", EVIL],
    ):
        outcome = both(*arguments)
        assert outcome.code == 0 and safe(outcome.out + outcome.err), (arguments, outcome)
    assert "␛]0;b␇" in both("classify", EVIL, "x").out
    line = both("classify", EVIL, f"{EVIL}!", "--json").out
    assert json.loads(line[line.index("{") :])["results"][0]["text"] == f"{EVIL}!"


def test_what_a_model_writes_is_exact_in_a_pipe_and_harmless_on_a_terminal(
    xinye, terminal, tmp_path
):
    model = speaker(tmp_path / "model", ANSWER)
    arguments = ("generate", model, "\n", "--temperature", 0)
    assert ANSWER in xinye(*arguments).out and ANSWER in xinye(*arguments, "-n", 2).out
    for outcome in (
        terminal(*arguments),
        terminal(*arguments, "-n", 2),
        terminal("chat", model, "-p", "x"),
    ):
        assert "␛[3m!" in outcome.out and "\x1b[3m" not in outcome.out


def test_an_error_is_one_harmless_line_in_python_too():
    with pytest.raises(XinyeError) as caught:
        package.load(f"{EVIL}\nb")
    assert safe(str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("columns, left_out", [(200, 0), (80, 3), (60, 5)])
def test_a_list_of_runs_breaks_neither_names_nor_dates(
    terminal, make_run, monkeypatch, tmp_path, columns, left_out
):
    monkeypatch.chdir(tmp_path)
    names = ("runs/hongloumeng-5M", "runs/reviews-classify")
    for name in names:
        make_run(name, losses=[5.0], validations=[(1, 4.5)], finished=False)
    shown = terminal("runs", columns=columns).out
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= columns
    assert len(lines[0].split()) == 8 - left_out
    for name in names:
        assert any(re.search(rf"{name} .*\d{{4}}-\d\d-\d\d \d\d:\d\d", line) for line in lines)
