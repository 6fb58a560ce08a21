"""`--folds`: every token is held out exactly once, the figures are those of the folds, and a stop
loses nothing."""

import json
import statistics
from pathlib import Path

import numpy as np
import pytest

from conftest import TINY, contents
from xinye.cli.main import main
from xinye.data.corpus import Documents, split

pytestmark = pytest.mark.usefixtures("no_measuring")


def corpus_of(lengths: list[int]) -> Documents:
    borders = np.concatenate(([0], np.cumsum(lengths)))
    return Documents(np.zeros(borders[-1], np.uint16), borders)


def tokens_of(spans: np.ndarray) -> list[int]:
    return [token for start, end in spans for token in range(start, end)]


@pytest.mark.parametrize(
    "lengths", [[100, 7, 0, 33], [2], list(range(1, 60)), [5] * 20, [1] * 19 + [10_000]]
)
@pytest.mark.parametrize("folds", [2, 5, 20])
def test_every_token_is_held_out_once_and_never_learned_from_then(lengths, folds):
    corpus = corpus_of(lengths)
    held_out: list[int] = []
    for part in range(1, folds + 1):
        training, validation = split(corpus, 0.1, 10, fold=(part, folds))
        assert sorted(tokens_of(training) + tokens_of(validation)) == list(range(sum(lengths)))
        held_out += tokens_of(validation)
    assert sorted(held_out) == list(range(sum(lengths)))


def test_many_documents_stay_whole_and_make_even_folds():
    corpus = corpus_of([10 + i % 30 for i in range(200)])
    starts = set(corpus.documents.tolist())
    sizes = []
    for part in range(1, 6):
        validation = split(corpus, 0.1, 10, fold=(part, 5))[1]
        assert all(start in starts and end in starts for start, end in validation)
        sizes.append(len(tokens_of(validation)))
    assert max(sizes) <= 1.05 * min(sizes)


@pytest.fixture(scope="module")
def validated(tmp_path_factory, story_text):
    """A cross-validation in three folds of a few steps, and what it printed last. Tests must not
    change it."""
    folder = tmp_path_factory.mktemp("folds")
    for language, text in story_text.items():
        (folder / f"{language}.txt").write_text(text, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert (
            main(
                ["pretrain", "zh.txt", "en.txt", "-o", "run", "--folds", "3", "--steps", "4", *TINY]
            )
            == 0
        )
    return folder


def test_mean_and_spread_are_those_of_the_folds(validated):
    result = json.loads((validated / "run" / "folds.json").read_text("utf-8"))
    figures = [fold["validation"]["bits_per_byte"] for fold in result["folds"]]
    assert [fold["fold"] for fold in result["folds"]] == [1, 2, 3]
    assert len(set(figures)) == 3 and {fold["steps"] for fold in result["folds"]} == {4}
    assert result["bits_per_byte"]["mean"] == pytest.approx(statistics.mean(figures), abs=1e-5)
    assert result["bits_per_byte"]["standard_deviation"] == pytest.approx(
        statistics.stdev(figures), abs=1e-5
    )
    plan = json.loads((validated / "run" / "fold-2" / "training" / "plan.json").read_text("utf-8"))
    assert plan["reasons"]["validation_tokens"] == "a block of each document, those of fold 2/3"


def test_resuming_takes_only_what_is_missing(validated, xinye, monkeypatch):
    monkeypatch.chdir(validated)
    before = contents(Path("run/fold-1"))
    first = json.loads(Path("run/folds.json").read_text("utf-8"))
    Path("run/fold-3/training/result.json").unlink()  # as if it had been stopped
    outcome = xinye("pretrain", "-o", "run", "--folds", "3", "--resume", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert (
        result["bits_per_byte"] == first["bits_per_byte"] and contents(Path("run/fold-1")) == before
    )
    assert (
        "fold 3 of 3: 4 steps" in outcome.err
        and "mean and standard deviation of 3 folds" in outcome.err
    )


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["zh.txt", "--folds", "1"], "--folds 1: give 2 to 20"),
        (["zh.txt", "--folds", "3", "--fold", "1/3"], "give one of the two"),
        (["zh.txt", "--fold", "4/3"], "'4/3' is not one part of 2 to 20, such as 2/5"),
        (["zh.txt", "--folds", "3", "--dry-run"], "give --fold 1/3 instead"),
        (["zh.txt", "--folds", "3", "-o", "run"], "continue it with --resume"),
        (["zh.txt", "--folds", "3", "-o", "."], "exists and is not a cross-validation"),
        (["--folds", "3", "--resume", "-o", "other"], "there is no cross-validation to resume"),
        (["--folds", "4", "--resume", "-o", "run"], "was begun with --folds 3"),
        (["none.txt", "--folds", "3", "-o", "run", "--overwrite"], "none.txt"),
    ],
)
def test_wrong_use_is_one_line_and_changes_nothing(validated, xinye, monkeypatch, arguments, says):
    monkeypatch.chdir(validated)
    before = contents(validated)
    outcome = xinye("pretrain", *arguments)
    assert outcome.code == 2 and says in outcome.complaint
    assert contents(validated) == before
