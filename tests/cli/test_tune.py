"""`xinye tune`: a study that goes on where it stopped, tells its gain honestly and leaves settings
to train with."""

import json
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import optuna
import pytest
import yaml

from conftest import TINY, contents
from xinye.cli.main import main
from xinye.libraries import install_command
from xinye.observer import Observer
from xinye.planning.network import network
from xinye.planning.settings import PretrainSettings
from xinye.runs.words import Figure
from xinye.studies.search_space import PretrainSearch, width_at_equal_cost
from xinye.studies.tune import TrialObserver, explain

STUDY = ("zh.txt", "--steps", "4", *TINY, "-o", "study")


pytestmark = pytest.mark.usefixtures("no_measuring")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, story_text):
    """A folder with a study of two trials of a few steps. Tests must not change it: copy it."""
    folder = tmp_path_factory.mktemp("tune")
    (folder / "zh.txt").write_text(story_text["zh"], "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["tune", *STUDY, "--trials", "2"]) == 0
    return folder


@pytest.fixture
def study(finished, tmp_path, monkeypatch):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "study"


def result_of(study: Path) -> dict:
    return json.loads((study / "tuning.json").read_text("utf-8"))


def test_the_first_trial_is_the_plan_and_only_the_best_keeps_weights(study):
    result = result_of(study)
    plan = json.loads((study / "trials" / "000" / "training" / "plan.json").read_text("utf-8"))[
        "values"
    ]
    assert result["trials"] == result["finished"] == 2
    assert result["defaults"]["trial"] == 0
    assert (
        result["defaults"]["settings"]["matrix_learning_rate"]
        == plan["matrix_learning_rate"]
        == 0.02
    )
    assert set(result["defaults"]["settings"]) == {
        "matrix_learning_rate",
        "learning_rate",
        "weight_decay",
        "dropout",
    }
    assert [trial["bits_per_byte"] for trial in result["top"]] == sorted(
        trial["bits_per_byte"] for trial in result["top"]
    )
    assert {
        path.parent.name
        for path in study.rglob("model.safetensors")
        if "checkpoints" not in str(path)
    } == {"best"}
    assert set(result["importance"]) == set(result["defaults"]["settings"])
    for chart in ("importance.svg", "history.svg"):
        assert (study / chart).read_text("utf-8").startswith("<svg")


def test_the_best_settings_are_a_file_for_config(study, xinye):
    result = result_of(study)
    text = (study / "best.yaml").read_text("utf-8")
    assert text.splitlines()[0] == "# xinye pretrain zh.txt --config study/best.yaml"
    outcome = xinye("pretrain", "zh.txt", "--config", "study/best.yaml", "--dry-run", "--json")
    assert outcome.code == 0, outcome.err
    plan = json.loads(outcome.out)["plan"]
    assert {name: plan[name] for name in result["top"][0]["settings"]} == result["top"][0][
        "settings"
    ]
    assert (
        plan["steps"] * plan["batch_size"] * plan["context"]
        == result["tokens_per_trial"]
        == 4 * 4 * 32
    )
    assert yaml.safe_load(text)["tokenizer"] == "char"


def test_the_same_command_goes_on(study, xinye):
    before = result_of(study)
    outcome = xinye("tune", *STUDY, "--trials", "3", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert result["trials"] == 3 and result["defaults"] == before["defaults"]
    assert len([line for line in outcome.err.splitlines() if "  finished  " in line]) == 1
    assert "the best trials" in outcome.err and "plan's own settings" in outcome.err


def test_a_trial_that_was_killed_is_taken_again(study, xinye, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            TrialObserver, "step", lambda *arguments: (_ for _ in ()).throw(SystemExit(9))
        )
        assert xinye("tune", *STUDY, "--trials", "3").code == 9
    outcome = xinye("tune", *STUDY, "--trials", "3", "--json")
    assert outcome.code == 0, outcome.err
    trials = optuna.load_study(study_name="tune", storage="sqlite:///study/study.db").trials
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert trials[2].params == trials[3].params and json.loads(outcome.out)["trials"] == 3


def test_a_poor_trial_ends_early_and_leaves_nothing_open(study, xinye, monkeypatch):
    handler = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(optuna.trial.Trial, "should_prune", lambda trial: True)
    outcome = xinye("tune", *STUDY, "--trials", "3", "--json")
    assert outcome.code == 0, outcome.err
    result = json.loads(outcome.out)
    assert (result["trials"], result["finished"]) == (3, 2) and "ended early" in outcome.err
    assert signal.getsignal(signal.SIGINT) is handler
    assert not list((study / "trials" / "002").rglob("*.safetensors"))


def test_a_trial_that_diverges_ends_at_once():
    observer = TrialObserver(optuna.trial.FixedTrial({}), "bits_per_byte", Observer())
    with pytest.raises(optuna.TrialPruned, match="diverged"):
        observer.step(SimpleNamespace(gradient_norm=float("nan")), 10)


@pytest.mark.parametrize("layers", [1, 2, 3, 4, 8])
def test_depth_against_width_costs_the_same(layers):
    settings = PretrainSettings(size="5M")
    plan = {"layers": 4, "width": 256, "vocabulary": 4096, "context": 256}

    def cost(layers: int, width: int) -> float:
        return network(settings, 5_000_000, 4096, 256, width, layers).flops_per_token(256)

    width = width_at_equal_cost(settings, plan, layers)
    assert cost(layers, width) == pytest.approx(cost(4, 256), rel=0.1)
    assert (width == 256) == (layers == 4)


BITS = PretrainSearch.figure


def test_the_gain_is_told_from_another_seed():
    def trial(number: int, bits: float) -> dict:
        return {"trial": number, "bits_per_byte": bits}

    told = {
        "top": [trial(7, 2.50)],
        "defaults": trial(0, 2.60),
        "trials": 20,
        "asked_for": 20,
        "finished": 20,
    }
    solid = explain({**told, "again": {"seed": 1, "defaults": 2.61, "best": 2.55}}, BITS)
    assert solid == [
        "Tuning improves bits per byte by 0.060 over the plan's own settings (2.3%): 2.610 → "
        "2.550, both trained once more with seed 1. In the study the gain was 0.100."
    ]
    luck = explain({**told, "again": {"seed": 1, "defaults": 2.56, "best": 2.54}}, BITS)
    assert "this gain may be chance" in luck[1]
    short = explain(
        {**told, "trials": 9, "finished": 8, "again": {"seed": 1, "defaults": 2.61, "best": 2.55}},
        BITS,
    )
    assert "The time was used up after 9 of 20 trials" in short[1] and "only a hint" in short[2]
    errors = Figure("bits_per_byte", "errors", digits=1, percent=True, lower_replaced=True)
    told |= {"top": [trial(7, 0.05)], "defaults": trial(0, 0.09)}
    fewer = explain({**told, "again": {"seed": 1, "defaults": 0.08, "best": 0.05}}, errors)
    assert (
        fewer[0].startswith("Tuning improves bits per byte by 3.0 points")
        and "8.0% → 5.0%" in fewer[0]
    )
    assert "No trial beat" in explain({**told, "top": [trial(0, 2.6)], "again": {}}, BITS)[0]


@pytest.mark.parametrize(
    "arguments, says",
    [
        ([*STUDY, "--trials", "1"], "--trials 1: give at least 2"),
        ([*STUDY, "--trails", "9"], "did you mean '--trials'?"),
        ([*STUDY, "--seed", "7"], "begun with other settings (seed was None and is 7 now)"),
        (["other.txt", *STUDY[1:]], "begun with other settings (the text has changed)"),
        (["zh.txt", "--steps", "4", "-o", "."], "exists and is not a study"),
        (["none.txt", *STUDY[1:], "--overwrite"], "none.txt"),
        (
            [
                "zh.txt",
                *TINY,
                *(
                    "--optimizer",
                    "sgd",
                    "--learning-rate",
                    "1",
                    "--weight-decay",
                    "0",
                    "--dropout",
                    "0",
                ),
            ],
            "nothing is left to search",
        ),
    ],
)
def test_wrong_use_is_one_line_and_changes_nothing(study, xinye, arguments, says):
    Path("other.txt").write_text("新叶", "utf-8")
    before = contents(Path())
    outcome = xinye("tune", *arguments)
    assert outcome.code == 2 and says in outcome.complaint.replace("tune: ", "")
    assert contents(Path()) == before


def test_a_damaged_study_is_one_line(study, xinye):
    (study / "study.db").write_bytes(b"no database at all")
    outcome = xinye("tune", *STUDY)
    assert outcome.code == 1 and "study.db: damaged" in outcome.complaint


def test_without_optuna_it_says_what_to_install(study, xinye, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    assert (
        f"tuning needs optuna; to install it: {install_command()}"
        in xinye("tune", *STUDY).complaint
    )
