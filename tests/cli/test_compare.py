"""`xinye compare`: architectures side by side, and the recurrent one as a model like any other."""

import json
from pathlib import Path

import pytest

from conftest import TINY, contents
from xinye.data.tokenizer import Tokenizer


@pytest.fixture
def compared(xinye, workplace):
    outcome = xinye(
        "compare",
        "zh.txt",
        "--architectures",
        "modern,lstm",
        "--steps",
        "4",
        *TINY,
        "-o",
        "both",
        "--json",
    )
    assert outcome.code == 0, outcome.err
    return outcome


def test_each_is_trained_and_judged_alike(compared, workplace):
    result = json.loads(compared.out.splitlines()[-1])
    modern, lstm = result["runs"]
    assert (modern["architecture"], lstm["architecture"]) == ("modern", "lstm")
    assert modern["tokens"] == lstm["tokens"] and modern["validation"]["bits_per_byte"] > 0
    assert Tokenizer.load(modern["run"]).fingerprint == Tokenizer.load(lstm["run"]).fingerprint
    for key in ("context", "tokens"):
        assert [row[key] for row in modern["by_position"]] == [
            row[key] for row in lstm["by_position"]
        ]
    assert [row["context"] for row in lstm["by_position"]] == [8, 16, 32]
    assert (
        "predicts this text best" in compared.err
        and "A context of 32 tokens instead of 8 gains" in compared.err
    )
    for chart in result["charts"]:
        assert Path(chart).read_text("utf-8").startswith("<svg")
    assert len(result["charts"]) == 2
    assert json.loads(Path("both/comparison.json").read_text("utf-8")) == result


def test_the_recurrent_one_writes_and_is_known_by_its_own_type(compared, workplace, xinye):
    assert (
        json.loads(Path("both/lstm/config.json").read_text("utf-8"))["model_type"] == "xinye_lstm"
    )
    texts = [
        json.loads(
            xinye(
                "generate",
                "both/lstm",
                prompt,
                "--temperature",
                "0",
                "--max-tokens",
                "40",
                "--json",
            ).out
        )
        for prompt in ("小兔", "小兔")
    ]
    assert texts[0] == texts[1] and texts[0]["usage"]["completion_tokens"] == 40


@pytest.mark.parametrize(
    "arguments, says",
    [
        (
            ["--architectures", "modern,lstn"],
            "unknown architecture 'lstn'; choose from modern, llama, gpt2, lstm; did you mean 'lstm'?",
        ),
        (["--architectures", "modern"], "name at least two"),
        (["--architectures", "lstm,lstm"], "each once"),
        (["--architectures", "modern,lstm", "--heads", "2"], "heads has no effect on an lstm"),
        (["--architecture", "lstm"], "did you mean '--architectures'?"),
    ],
)
def test_wrong_use_is_one_line(xinye, workplace, arguments, says):
    before = contents(workplace)
    outcome = xinye("compare", "zh.txt", *arguments, "--steps", "2")
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(workplace) == before


def test_a_comparison_that_exists_is_kept(compared, workplace, xinye):
    before = contents(workplace)
    outcome = xinye(
        "compare", "zh.txt", "--architectures", "modern,lstm", "--steps", "4", *TINY, "-o", "both"
    )
    assert outcome.code == 2 and "there is a comparison already" in outcome.complaint
    assert contents(workplace) == before
