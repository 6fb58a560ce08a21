"""`xinye generate --prompts`: every line is done once, whatever becomes of the others and however
often it is begun."""

import json

import pytest

from xinye import api

LINES = [
    {"prompt": "小兔", "id": "first"},
    {"messages": [{"role": "user", "content": "你好"}], "max_tokens": 3},
    {"prompt": "从前", "n": 2, "temperature": 0},
    {"prompt": "", "logprobs": 1},
]


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in LINES), "utf-8")
    return path


def results(path):
    return {
        record["line"]: record for record in map(json.loads, path.read_text("utf-8").splitlines())
    }


def test_every_line_is_written(xinye, trained, prompts, tmp_path):
    outcome = xinye(
        "generate",
        trained,
        "--prompts",
        prompts,
        "-o",
        tmp_path / "out.jsonl",
        "--max-tokens",
        5,
        "--json",
    )
    assert outcome.code == 0
    summary = json.loads(outcome.out.splitlines()[-1])
    assert (summary["lines"], summary["done"], summary["texts"], summary["errors"]) == (4, 4, 5, [])
    found = results(tmp_path / "out.jsonl")
    assert sorted(found) == [1, 2, 3, 4]
    assert found[1]["id"] == "first" and "id" not in found[2]
    assert found[2]["usage"]["completion_tokens"] <= 3
    assert (
        found[3]["texts"]
        == [api.load(trained).generate("从前", max_tokens=5, temperature=0)[0]] * 2
    )
    assert len(found[4]["logprobs"][0]) == found[4]["usage"]["completion_tokens"]
    assert f"5 texts with {summary['tokens']} tokens" in outcome.err and "tokens/s" in outcome.err


def test_what_is_done_is_not_done_again(xinye, trained, prompts, tmp_path):
    out, command = (
        tmp_path / "out.jsonl",
        ("generate", trained, "--prompts", prompts, "--max-tokens", 5, "--json"),
    )
    xinye(*command, "-o", out)
    whole = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(whole[:2]) + whole[2][:20])  # killed while it wrote the third
    summary = json.loads(xinye(*command, "-o", out).out)
    assert (summary["done"], summary["done_before"]) == (2, 2)
    assert out.read_bytes().startswith(b"".join(whole[:2])) and sorted(results(out)) == [1, 2, 3, 4]
    before = out.read_bytes()
    assert json.loads(xinye(*command, "-o", out).out)["done"] == 0
    assert out.read_bytes() == before


def test_a_bad_line_is_told_by_its_number_and_the_others_are_done(xinye, trained, tmp_path):
    path, out = tmp_path / "prompts.jsonl", tmp_path / "out.jsonl"
    bad = ['{"prompt": "小兔"', '{"text": "小兔"}', '{"prompt": 1}', '{"prompt": "小", "temprature": 1}',
           '{"prompt": "小", "n": 0}', json.dumps({"prompt": "小兔豆豆" * 20}), '{"messages": [{"role": "robot"}]}',
           '{"prompt": "小", "logit_bias": {"999999": 1}}']  # fmt: skip
    path.write_text("\n".join(['{"prompt": "小"}', *bad, '{"prompt": "兔"}']) + "\n", "utf-8")
    outcome = xinye("generate", trained, "--prompts", path, "-o", out, "--max-tokens", 2, "--json")
    errors = json.loads(outcome.out)["errors"]
    assert outcome.code == 1 and sorted(results(out)) == [1, 10]
    assert [error["line"] for error in errors] == [*range(2, 10)]
    says = ["not valid JSON", '{"prompt": "…"}', "must be a text", "did you mean 'temperature'", "n is 0",
            "81 tokens; this model reads at most 32", "message 1 needs a role", "no token 999999"]  # fmt: skip
    for error, expected in zip(errors, says, strict=True):
        assert expected in error["error"]
        assert f", line {error['line']}: " in outcome.err


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--prompts", "PROMPTS"], "go together"),
        (["-o", "out.jsonl"], "go together"),
        (["小兔", "--prompts", "PROMPTS", "-o", "out.jsonl"], "give either a prompt or a file"),
        (["--prompts", "missing.jsonl", "-o", "out.jsonl"], "missing.jsonl: no such file"),
        (["--prompts", "PROMPTS", "-o", "PROMPTS"], "this is the file of prompts"),
        (
            ["--prompts", "PROMPTS", "-o", "mine.txt"],
            "exists and was not written by generate --prompts",
        ),
    ],
)
def test_mistakes_are_one_line(xinye, trained, prompts, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.txt").write_text("holiday\n")
    before = prompts.read_bytes()
    arguments = [str(prompts) if argument == "PROMPTS" else argument for argument in arguments]
    outcome = xinye("generate", trained, *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert (tmp_path / "mine.txt").read_text() == "holiday\n" and prompts.read_bytes() == before


def test_other_settings_want_another_file(xinye, trained, prompts, tmp_path):
    out = tmp_path / "out.jsonl"
    xinye("generate", trained, "--prompts", prompts, "-o", out, "--max-tokens", 2)
    before = out.read_bytes()
    outcome = xinye("generate", trained, "--prompts", prompts, "-o", out, "--max-tokens", 3)
    assert (
        "line 1 was written with another prompt" in outcome.complaint and out.read_bytes() == before
    )


def test_a_table_is_read_by_its_column_of_prompts(xinye, trained, workplace):
    (workplace / "a.csv").write_text("编号,用户问题,客服回答\n1,小兔,好\n2,从前,好\n", "utf-8")
    command = ("generate", trained, "--max-tokens", 2, "-o", "out.jsonl", "--prompts")
    outcome = xinye(*command, "a.csv")
    assert outcome.code == 0 and sorted(results(workplace / "out.jsonl")) == [2, 3]
    assert "'用户问题' is read as the prompts" in outcome.err
    (workplace / "b.csv").write_text("编号,标题\n1,小兔\n2,从前\n", "utf-8")
    outcome = xinye(*command, "b.csv")
    assert outcome.code == 2 and "no column is called prompt" in outcome.complaint
