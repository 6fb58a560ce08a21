"""`xinye tune --task`: judged on validation, told from another seed, and left as a command that can
be typed."""

import json
import shlex
from pathlib import Path

import optuna
import pytest

from xinye.cli.arguments import Fields, Parser, flag
from xinye.errors import checked
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.studies import tune
from xinye.studies.search_space import TaskSearch

ROWS = [("很好吃", "正面"), ("不错，好", "正面"), ("太慢", "负面"), ("难吃，太差", "负面")] * 8
PLAN = {
    "epochs": 4,
    "dropout": 0.1,
    "attention": "both",
    "learning_rate": 0.001,
    "matrix_learning_rate": 0.004,
}


pytestmark = pytest.mark.usefixtures("no_measuring")


@pytest.fixture
def study(trained, tmp_path, monkeypatch):
    """The arguments of a study in an own folder, with `reviews.csv`."""
    monkeypatch.chdir(tmp_path)
    lines = [f"{text}{number},{label}" for number, (text, label) in enumerate(ROWS)]
    Path("reviews.csv").write_text("\n".join(["review,label", *lines]).replace("，", ""), "utf-8")
    return (
        "tune",
        trained,
        "--task",
        "classify",
        "--data",
        "reviews.csv",
        "--epochs",
        "1",
        "-o",
        "study",
    )


def settings_of(typed: list[str]) -> FinetuneSettings:
    rows = (flag("model", "MODEL", ""), Fields(FinetuneSettings, without=("model",)))
    given = Parser("finetune", "", "", *rows).read(typed)
    return checked(FinetuneSettings, given.settings, "finetune")


def test_a_study_of_a_task(xinye, study):
    outcome = xinye(*study, "--trials", "2", "--json")
    assert outcome.code == 0, outcome.err
    told = json.loads(outcome.out)
    assert told["figure"] == "accuracy" and told["trials"] == 2 and told["again"]["seed"] == 1
    assert told["top"][0]["accuracy"] == max(trial["accuracy"] for trial in told["top"])
    first = json.loads(Path("study/trials/000/training/plan.json").read_text("utf-8"))["values"]
    ours = told["defaults"]["settings"]
    assert ours.pop("method") == "full" and ours.pop("attention") == first["attention"] == "both"
    assert ours == pytest.approx({name: first[name] for name in ours}, rel=1e-3)
    verb, action, *typed = shlex.split(told["command"])
    best = settings_of(typed)
    assert (
        (verb, action) == ("xinye", "finetune")
        and best.epochs == 1
        and best.data == ("reviews.csv",)
    )
    assert best.learning_rate == told["top"][0]["settings"]["learning_rate"]
    assert {path.parent.name for path in Path("study").glob("*/*model.safetensors")} == {"best"}
    assert (
        "accuracy" in outcome.err
        and "train with the settings of the best trial: xinye finetune" in outcome.err
    )
    again = xinye(*study, "--trials", "3", "--json")
    assert (
        json.loads(again.out)["trials"] == 3
        and again.err.count("  finished  ") + again.err.count("ended early") == 1
    )
    assert "begun with other settings (seed" in xinye(*study, "--seed", "7").complaint


def test_of_equal_trials_the_later_one_is_the_best(xinye, study, monkeypatch):
    """The plan's own settings, which come first, are no finding."""
    monkeypatch.setattr(tune.Tuning, "train", lambda *_: 0.5)
    outcome = xinye(*study, "--trials", "3", "--json")
    told = json.loads(outcome.out)
    assert [trial["trial"] for trial in told["top"]] == [2, 1, 0]


def searched(settings: FinetuneSettings, plan: dict, trial: dict) -> set[str]:
    """The parameters that a trial is asked for."""
    search = TaskSearch(settings, "30min")
    search.plan = plan
    asked = optuna.trial.FixedTrial(trial)
    search.suggest(asked)
    return set(asked.params)


def test_what_is_given_is_not_searched():
    everything = {"method": "lora", "rate": 2.0, "epochs": 4, "dropout": 0.1, "mask_tokens": 0.0,
                  "attention": "both", "r": 4}  # fmt: skip
    plans = {"full": PLAN, "lora": PLAN}
    assert searched(FinetuneSettings(model="base"), plans, everything) == set(everything)
    given = FinetuneSettings(
        model="base", method="full", learning_rate=0.1, dropout=0.0, augment=("crop",), epochs=2
    )
    assert searched(given, {"full": PLAN}, {"attention": "causal"}) == {"attention"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--trials", "1"], "--trials 1: give at least 2"),
        (["--data", "none.csv"], "none.csv: no such file"),
        (["--task", "clasify"], "did you mean 'classify'?"),
        (["--methd", "lora"], "did you mean '--method'?"),
        (["--method", "head", "--learning-rate", "1", "--dropout", "0", "--augment", "mask", "--attention", "both"],
         "nothing is left to search"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_line(xinye, study, more, says):
    outcome = xinye(*study, *more)
    assert outcome.code == 2 and says in outcome.complaint and not Path("study").exists()
