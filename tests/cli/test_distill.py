"""`xinye distill`: teacher, student and the student without it, side by side."""

import json
import shutil
from pathlib import Path

import pytest

from conftest import contents
from xinye.checkpoints.huggingface import load_model
from xinye.studies.compare import explain_distillation

STUDENT = (
    "--width",
    "32",
    "--layers",
    "1",
    "--batch-size",
    "4",
    "--dtype",
    "float32",
    "--compile",
    "no",
)


@pytest.fixture
def teacher(trained: Path, workplace: Path) -> Path:
    return Path(shutil.copytree(trained, workplace / "large"))


def test_all_three_are_compared(xinye, teacher):
    outcome = xinye("distill", "large", "zh.txt", *STUDENT, "--steps", "6", "-o", "small", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert [model["role"] for model in result["models"]] == ["teacher", "student", "student alone"]
    large, small, alone = result["models"]
    assert large["parameters"] > small["parameters"] == alone["parameters"]
    assert (small["run"], alone["run"]) == ("small", "small/without-teacher")
    assert all(
        model["bits_per_byte"] > 0 and model["tokens_per_second"] > 0 for model in result["models"]
    )
    assert json.loads(Path("small/distillation.json").read_text("utf-8")) == result
    assert "In the same time the teacher" in outcome.err and "student alone" in outcome.err
    settings = json.loads(Path("small/without-teacher/training/settings.json").read_text("utf-8"))[
        "settings"
    ]
    assert "teacher" not in settings and settings["time"].endswith("s")
    assert xinye("generate", "small", "小兔", "--max-tokens", "3").code == 0
    before = [load_model(model["run"])[0].state_dict() for model in (small, alone)]
    again = xinye("distill", "-o", "small", "--resume", "--json")
    assert again.code == 0, again.err
    figures = [model["bits_per_byte"] for model in json.loads(again.out)["models"]]
    assert figures == [model["bits_per_byte"] for model in result["models"]]
    for state, model in zip(before, (small, alone), strict=True):
        assert all(
            state[name].equal(tensor)
            for name, tensor in load_model(model["run"])[0].state_dict().items()
        )


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([], "give the teacher, then the text"),
        (["large"], "give the text to train on"),
        (["nowhere", "zh.txt"], "nowhere: there is no such folder"),
        (["large", "zh.txt", "--tokenizer", "bpe"], "tokenizer is taken from the teacher large"),
        (["large", "zh.txt", "--alfa", "0.5"], "did you mean '--alpha'?"),
        (["-o", "large", "--resume"], "large: there is no distillation to resume"),
    ],
)
def test_wrong_use_is_one_line(xinye, teacher, arguments, says):
    before = contents(Path())
    outcome = xinye("distill", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(Path()) == before


def test_it_says_so_where_the_teacher_does_not_help():
    def model(bits_per_byte: float, steps: int = 0) -> dict[str, float]:
        return {
            "bits_per_byte": bits_per_byte,
            "steps": steps,
            "parameters": 10,
            "tokens_per_second": 5.0,
        }

    helps, costs = (
        explain_distillation([model(1.0), model(1.2, 50), model(other, 90)]) for other in (1.3, 1.1)
    )
    assert (
        "gains 0.100 bits per byte: 50 steps with it, 90 without it" in helps[0] and len(helps) == 2
    )
    assert "costs 0.100" in costs[0] and "plain training is better" in costs[1]
