"""Runs that version 0.1 left, one of text and one of a task: they load, are evaluated, and go on as
they would have.

Both were interrupted; `expected.json` has the losses of the same runs when they were not.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import Command

FOLDER = Path(__file__).with_name("of-version-0.1")
EXPECTED: dict[str, Any] = json.loads((FOLDER / "expected.json").read_text("utf-8"))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(FOLDER, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def losses(run: Path) -> list[float]:
    lines = (run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [record["loss"] for record in map(json.loads, lines) if record["kind"] == "step"]


@pytest.mark.parametrize(("run", "verb"), [("base", "pretrain"), ("classify", "finetune")])
def test_a_run_goes_on(xinye: Command, place: Path, run: str, verb: str) -> None:
    assert len(losses(place / run)) < len(EXPECTED[run])
    outcome = xinye(verb, "-o", run, "--resume")
    assert outcome.code == 0, outcome.err
    assert losses(place / run) == pytest.approx(EXPECTED[run], abs=1e-4)


def test_runs_are_told_of(xinye: Command, place: Path) -> None:
    told = json.loads(xinye("runs", ".", "--json").out.splitlines()[-1])
    assert {(run["run"], run["state"], run["steps"]) for run in told["runs"]} == {
        ("base", "interrupted", 5),
        ("base-whole", "finished", 8),
        ("classify", "interrupted", 4),
    }
    shown = xinye("runs", "show", "classify").out
    assert (
        "xinye finetune base-whole -o runs/again" in shown and "--epochs 2.0 --dropout 0.1" in shown
    )


def test_models_are_used_and_evaluated(xinye: Command, place: Path) -> None:
    assert (
        xinye("generate", "base-whole", "从前", "--max-tokens", "5", "--temperature", "0").code == 0
    )
    judged = json.loads(xinye("evaluate", "base-whole", "--json").out.splitlines()[-1])
    assert judged["text"]["source"] == "validation" and judged["baselines"]["five_gram"]
    assert xinye("finetune", "-o", "classify", "--resume").code == 0
    judged = json.loads(
        xinye("evaluate", "classify", "--data", "reviews.jsonl", "--json").out.splitlines()[-1]
    )
    assert (
        judged["task"] == "classify"
        and judged["baseline"]["name"] == "TF-IDF + linear SVM + naive Bayes"
    )
    result = json.loads((place / "classify" / "training" / "result.json").read_text("utf-8"))
    [alone] = result["mixes"]
    assert alone["loss"] == pytest.approx(EXPECTED["measured"]["loss"], abs=1e-4)
