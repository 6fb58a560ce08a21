"""Tunes settings with many short runs, whose settings depend on the results so far.

Optuna chooses the settings (TPE, Bergstra et al. 2011) and keeps the study in `study.db`, so the
same command resumes it; `search_space.py` defines what is searched. All trials use the same seed,
and a trial is pruned if it is behind the median of the others at the same point. The first trial
uses the plan's own settings. The best of many trials is partly luck. So at the end, the best and
the plan's settings are trained once more with another seed, and these two runs give the gain. For a
task, that seed also chooses other validation records, unless they have their own file.
"""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from xinye.checkpoints.folders import discard_weights
from xinye.data.files import write_json
from xinye.errors import XinyeError, plural, reason_of
from xinye.evaluation.plots import bar_chart, line_chart
from xinye.observer import Evaluated, Observer
from xinye.planning.units import parse_time
from xinye.runs.cleanup import remove_run
from xinye.runs.folder import Figures, Values
from xinye.runs.words import Figure
from xinye.studies.search_space import Search
from xinye.studies.shared import QuietObserver, is_new, save_charts, train
from xinye.training.loop import Step

STARTUP = 5  # random trials at the start, which are never pruned
OF_A_STUDY = (  # the files of a study
    *("trials/*", "tokenizer", "best", "defaults"),
    *("best.yaml", "tuning.json", "importance.svg", "history.svg", "study.db"),
)
AGAIN = 2  # runs at the end: the best settings and the plan's, with another seed


@dataclass(frozen=True)
class Tuning:
    """A study in progress."""

    study: optuna.Study
    search: Search
    trials: int
    seconds: float  # no trial starts after this time

    def train(self, parameters: Values, folder: Path, seed: int, observer: Observer) -> float:
        """Train with a trial's parameters. Returns the metric that compares trials."""
        settings = self.search.settings_of(parameters, folder, seed)
        return train(settings, observer, overwrite=True).validation[self.search.figure.name]

    def shown(self, trial: FrozenTrial) -> Figures:
        """A trial as it is printed. Its `state` is finished, ended early or diverged."""
        return {
            "trial": trial.number,
            "state": trial.user_attrs["state"],
            self.search.figure.name: trial.value,  # the last value, if it ended early
            "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
            "settings": self.search.chosen(trial.params),
        }


# -- the study -------------------------------------------------------------------------------------


def begin(search: Search, trials: int, observer: Observer, overwrite: bool = False) -> Tuning:
    """Open the study in the search's folder, or create one.

    Raises `XinyeError` if the folder holds something else, or a study with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if trials < 2:
        raise XinyeError(
            f"--trials {trials}: give at least 2; the first one is the plan's own settings"
        )
    seconds = parse_time(search.time) / (trials + AGAIN) if search.time else None
    terms = search.terms()
    if is_new(search.output, "study.db", "study", overwrite):
        study = make_study(search, terms, seconds, observer)
    else:
        study = open_study(search, terms)
    return Tuning(study, search, trials, trials * seconds if seconds else math.inf)


def make_study(
    search: Search, terms: Values, seconds: float | None, observer: Observer
) -> optuna.Study:
    """A new study, whose first trial has the plan's own settings."""
    first = optuna.trial.FixedTrial(search.measure(seconds, observer))
    search.suggest(first)
    if not first.params:
        raise XinyeError("nothing is left to search, because every value was given; leave some out")
    remove_run(search.output, *OF_A_STUDY)  # with --overwrite, delete the old study
    search.output.mkdir(parents=True, exist_ok=True)
    if search.tokenizer:
        search.tokenizer.save(search.output / "tokenizer")
    direction: Any = "minimize" if search.figure.lower_replaced else "maximize"
    study = optuna.create_study(
        study_name="tune", storage=f"sqlite:///{search.output}/study.db", direction=direction
    )
    for name, value in {"terms": terms, "plan": search.plan, "tokens": search.tokens}.items():
        study.set_user_attr(name, value)
    study.enqueue_trial(first.params, user_attrs={"defaults": True})
    return study


def open_study(search: Search, terms: Values) -> optuna.Study:
    """The existing study, if its settings are the same. Trials that were interrupted are
    repeated.
    """
    try:
        study = optuna.load_study(study_name="tune", storage=f"sqlite:///{search.output}/study.db")
        before = study.user_attrs["terms"]
        trials = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
        search.plan = study.user_attrs["plan"]
        search.tokens = study.user_attrs.get("tokens")
    except (SQLAlchemyError, KeyError, optuna.exceptions.OptunaError) as error:
        message = reason_of(error, 100)
        raise XinyeError(
            f"{search.output / 'study.db'}: damaged ({message}); start again with --overwrite", 1
        ) from None
    for name in sorted(before.keys() | terms.keys()):
        if before.get(name) != terms.get(name):
            what = f"{name} was {before.get(name)} and is {terms.get(name)} now"
            if name == "text":
                what = "the text has changed"
            raise XinyeError(
                f"{search.output}: this study was begun with other settings ({what}); "
                "choose another folder with -o, or replace it with --overwrite"
            )
    for trial in trials:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
    return study


# -- trials ----------------------------------------------------------------------------------------


class TrialObserver(QuietObserver):
    """Reports the progress of a trial to Optuna, and raises `TrialPruned` if it is poor or
    diverges.
    """

    def __init__(self, trial: optuna.trial.BaseTrial, figure: str, observer: Observer) -> None:
        super().__init__(observer)
        self.trial = trial
        self.figure = figure
        self.validations = 0

    def step(self, step: Step, steps: int) -> None:
        if not math.isfinite(step.gradient_norm):
            raise optuna.TrialPruned("diverged")
        super().step(step, steps)

    def evaluated(self, evaluated: Evaluated) -> None:
        self.validations += 1
        self.trial.report(evaluated.figures[self.figure], self.validations)
        if evaluated.step < self.values["steps"] and self.trial.should_prune():
            raise optuna.TrialPruned("ended early")


def run_trials(tuning: Tuning, observer: Observer) -> Iterator[Figures]:
    """Run trials until there are enough or the time is used up. Yields each trial as it is
    printed.
    """
    study, search = tuning.study, tuning.search
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=2)
    while True:
        ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        spent = sum(trial.duration.total_seconds() for trial in ended if trial.duration)
        if len(ended) >= tuning.trials or spent >= tuning.seconds:
            return
        seed = search.settings.seed
        # a seed for each trial, so that stopping and resuming change nothing
        own = seed + len(study.trials)
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=own)
        trial = study.ask()
        search.suggest(trial)
        folder = tuning.search.output / "trials" / f"{trial.number:03d}"
        listening = TrialObserver(trial, search.figure.name, observer)
        try:
            value = tuning.train(trial.params, folder, seed, listening)
            trial.set_user_attr("state", "finished")
            study.tell(trial, value)
        except optuna.TrialPruned as end:
            trial.set_user_attr("state", str(end))
            study.tell(trial, state=TrialState.PRUNED)
        discard_weights(folder)
        yield tuning.shown(study.trials[trial.number])


# -- results ---------------------------------------------------------------------------------------


def conclude(tuning: Tuning, observer: Observer) -> Figures:
    """Train the best and the plan's settings with another seed. Returns the results, and writes
    `tuning.json` and charts.
    """
    study, search, output = tuning.study, tuning.search, tuning.search.output
    finished = sorted(
        study.get_trials(states=(TrialState.COMPLETE,)),
        key=lambda trial: trial.value or 0.0,
    )
    if not search.figure.lower_replaced:
        finished.reverse()
    if not finished:
        raise XinyeError(
            f"{output}: no trial finished; give more --time, or other settings", exit_code=1
        )
    best = finished[0]
    defaults = next((trial for trial in finished if trial.user_attrs.get("defaults")), None)
    pair = {"best": best} | ({"defaults": defaults} if defaults else {})
    again = {name: train_again(tuning, trial, name, observer) for name, trial in pair.items()}
    importance = importance_of(study)
    result = {
        "study": str(output),
        "trials": len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))),
        "asked_for": tuning.trials,
        "finished": len(finished),
        "figure": search.figure.name,
        "lower_replaced": search.figure.lower_replaced,
        "top": [tuning.shown(trial) for trial in finished[:5]],
        "defaults": tuning.shown(defaults) if defaults else None,
        "again": {"seed": search.settings.seed + 1, **again},
        "importance": importance,
        **search.leave(best.params),
        "model": str(output / "best"),
        "charts": save_charts(output, lambda: charts(tuning, importance)),
    }
    write_json(output / "tuning.json", result)
    return result


def train_again(tuning: Tuning, trial: FrozenTrial, name: str, observer: Observer) -> float:
    """The metric of a trial's settings with another seed. Only the best run keeps its weights."""
    key = f"again-{trial.number}"
    if key not in tuning.study.user_attrs:
        settings = "the best settings" if name == "best" else "the plan's own settings"
        observer.stage(f"training once more with another seed: {settings}")
        folder = tuning.search.output / name
        seed = tuning.search.settings.seed + 1
        value = tuning.train(trial.params, folder, seed, QuietObserver(observer))
        tuning.study.set_user_attr(key, value)
        if name != "best":
            discard_weights(folder)
    return tuning.study.user_attrs[key]


def importance_of(study: optuna.Study) -> dict[str, float]:
    """The share of each setting in reaching the best quarter of the finished trials (PED-ANOVA,
    Watanabe et al. 2023, arXiv:2304.10255).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about few trials, which `explain` reports
        evaluator = PedAnovaImportanceEvaluator(target_quantile=0.25)
        shares = get_param_importances(study, evaluator=evaluator)
    return {name: round(share, 4) for name, share in shares.items()}


def charts(tuning: Tuning, importance: dict[str, float]) -> dict[str, str]:
    """Charts of the settings' importance and of the study's history, as SVG by file name."""
    finished = [t for t in tuning.study.trials if t.user_attrs.get("state") == "finished"]
    numbers = [trial.number for trial in finished]
    values = [float(trial.value or 0.0) for trial in finished]
    best = min if tuning.search.figure.lower_replaced else max
    so_far = [best(values[: count + 1]) for count in range(len(values))]
    series = {"finished trials": (numbers, values), "best so far": (numbers, so_far)}
    return {
        "importance.svg": bar_chart(importance, "importance for being in the best quarter"),
        "history.svg": line_chart(series, "trial", tuning.search.figure.name.replace("_", " ")),
    }


def explain(result: Figures, figure: Figure) -> list[str]:
    """The results in sentences. `figure` is the metric that compares trials."""
    sentences = explain_gain(result, figure)
    if result["trials"] < result["asked_for"]:
        sentences.append(
            f"The time was used up after {result['trials']} of "
            f"{plural(result['asked_for'], 'trial')}: run the same command with more "
            "--time to continue."
        )
    if result["finished"] < 10:
        sentences.append(
            f"With {plural(result['finished'], 'finished trial')} the importances are only a hint."
        )
    return sentences


def explain_gain(result: Figures, figure: Figure) -> list[str]:
    """How much better the best settings are than the plan's, measured with another seed."""
    best, defaults, again = result["top"][0], result["defaults"], result["again"]
    name = figure.name.replace("_", " ")
    if defaults is None:
        return ["The plan's own settings diverged, so the gain cannot be measured."]
    if best["trial"] == defaults["trial"]:
        same = figure.written(best[figure.name])
        return [f"No trial beat the plan's own settings: {same} {name}."]
    before, after = figure.written(again["defaults"]), figure.written(again["best"])
    gain = figure.gain(again["best"], again["defaults"])
    looked = figure.amount(figure.gain(best[figure.name], defaults[figure.name]))
    if gain <= 0:
        return [
            f"Tuning gained nothing: trained once more with seed {again['seed']}, the plan's own "
            f"settings reach {before} {name} and the best {after}. In the study the best "
            f"settings were {looked} better."
        ]
    share = "" if figure.percent else f" ({gain / again['defaults']:.1%})"
    sentences = [
        f"Tuning improves {name} by {figure.amount(gain)} over the plan's own settings{share}: "
        f"{before} → {after}, both trained once more with seed {again['seed']}. In the study "
        f"the gain was {looked}."
    ]
    noise = abs(again["defaults"] - defaults[figure.name])
    if gain < 2 * noise:
        sentences.append(
            f"Another seed alone changes the plan's own figure by {figure.amount(noise)}, so this "
            "gain may be chance."
        )
    return sentences
