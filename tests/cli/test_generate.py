"""`xinye generate` as a person meets it."""

import io
import json
import shutil
import sys
from pathlib import Path

import pytest


def test_goes_on_from_the_prompt(xinye, trained):
    first = xinye("generate", trained, "小兔豆豆", "--max-tokens", 8, "--seed", 1)
    assert (
        first.code == 0 and first.out.startswith("小兔豆豆") and len(first.out) > len("小兔豆豆\n")
    )
    assert first.err == ""
    assert xinye("generate", trained, "小兔豆豆", "--max-tokens", 8, "--seed", 1).out == first.out
    assert xinye("generate", trained, "小兔豆豆", "--max-tokens", 8, "--seed", 2).out != first.out


def test_json(xinye, trained):
    outcome = xinye("generate", trained, "小兔", "-n", 3, "--max-tokens", 6, "--seed", 1, "--json")
    result = json.loads(outcome.out.splitlines()[-1])
    assert list(result) == ["texts", "finish_reasons", "usage"]
    assert len(set(result["texts"])) == 3 and len(result["finish_reasons"]) == 3
    assert set(result["finish_reasons"]) <= {"stop", "length"}
    assert set(result["usage"]) == {"prompt_tokens", "completion_tokens"}
    assert result["usage"]["completion_tokens"] <= 18


def test_several_texts(xinye, trained):
    out = xinye("generate", trained, "小兔", "-n", 2, "--max-tokens", 4).out
    assert out.index("--- 1 ---\n小兔") < out.index("--- 2 ---\n小兔")


def test_greedy_needs_no_seed(xinye, trained):
    texts = {
        xinye("generate", trained, "小", "--temperature", 0, "--max-tokens", 5).out
        for _ in range(2)
    }
    assert len(texts) == 1


def test_prompt_from_standard_input(xinye, trained, monkeypatch):
    greedy = ("--temperature", 0, "--max-tokens", 4)
    expected = xinye("generate", trained, "小兔豆豆", *greedy).out
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("小兔豆豆\n".encode()), "ascii"))
    outcome = xinye("generate", trained, "-", *greedy)
    assert outcome.code == 0 and outcome.out == expected, "without the line's end"


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "MODEL"),
        (["missing", "新叶"], "missing: there is no such folder"),
        (["RUN", "新叶", "--temprature", "0"], "did you mean '--temperature'?"),
        (["RUN", "新叶", "--temperature", "-1"], "temperature"),
        (["RUN", "新叶", "--temperature", "hot"], "temperature"),
        (["RUN", "新叶", "--top-p", "2"], "--top-p: 2"),
        (["RUN", "新叶", "--max-tokens", "0"], "--max-tokens: 0"),
        (["RUN", "新叶", "--seed", "9" * 30], "seed"),
        (["RUN", "新叶", "-n", "0"], "-n"),
        (["RUN", "新叶", "-n", "many"], "-n"),
        (["RUN", "小兔豆豆" * 20], "the prompt has 81 tokens; this model reads at most 32"),
        (
            ["RUN", "小兔豆豆" * 20, "-n", "2"],
            "the prompt has 81 tokens; this model reads at most 32",
        ),
        (
            ["RUN", "小兔豆豆" * 20, "--json"],
            "the prompt has 81 tokens; this model reads at most 32",
        ),
        (["RUN", "\udcff\udcfe"], "not valid"),
    ],
)
def test_wrong_use_is_one_line(xinye, trained, arguments, says):
    outcome = xinye(
        "generate", *(trained if argument == "RUN" else argument for argument in arguments)
    )
    assert outcome.code == 2 and says in outcome.complaint


@pytest.mark.parametrize(
    "name, content, says",
    [
        ("config.json", None, "not a model's folder (no config.json)"),
        ("config.json", b'{"model_type', "config.json: the file is damaged"),
        ("config.json", b"{}", "config.json: model_type None is not supported"),
        ("model.safetensors", None, "model.safetensors: there is no such file"),
        ("model.safetensors", 1000, "model.safetensors: damaged or cut short"),
        ("tokenizer.json", None, "no tokenizer.json there"),
        ("tokenizer.json", b"[]", "tokenizer.json: not a tokenizer"),
    ],
)
def test_a_damaged_model_is_named(xinye, trained, tmp_path, name, content, says):
    folder = Path(shutil.copytree(trained, tmp_path / "run"))
    if content is None:
        (folder / name).unlink()
    elif isinstance(content, int):
        (folder / name).write_bytes((folder / name).read_bytes()[:content])
    else:
        (folder / name).write_bytes(content)
    outcome = xinye("generate", folder, "新叶")
    assert outcome.code == 2 and says in outcome.complaint and str(folder) in outcome.complaint
