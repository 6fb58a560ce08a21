"""Tune a run's settings: many short trainings on one text, each with other settings, chosen by what came before.

Here is what tuning is, and what it is for pretraining; `tune_task.py` says what differs for fine-tuning.

Optuna chooses (TPE, Bergstra et al. 2011) and keeps the study in `study.db`, so that the same command goes on where it
stopped. Every trial has the same seed and reads the same number of tokens; one that is behind the median of the others
at the same point ends early. The first trial is the plan's own settings. The best of many is best partly by luck, so at
the end it and the plan's settings are trained once more with another seed, and the gain is told from those two.
"""

import math
import shlex
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.checkpoints.folders import discard_weights
from xinye.checkpoints.huggingface import write_json
from xinye.data.sources import find_files, fingerprint
from xinye.errors import XinyeError
from xinye.evaluation.plots import bar_chart, line_chart, save_chart
from xinye.libraries import need
from xinye.planning import plan as planning
from xinye.planning.settings import PretrainSettings, parse_count, parse_time
from xinye.runs.leftovers import remove_run
from xinye.studies.rehearsal import NO_BUDGET, Passing, folder_for, is_new, rehearse, write_config
from xinye.training.loop import Step
from xinye.training.pretrain import Run, pretrain
from xinye.watcher import Watcher

if TYPE_CHECKING:
    import optuna

EVALUATIONS = 6  # of a trial; from the second on it may end early
STARTUP = 5  # trials drawn at random and never ended early, before there is something to learn from
OF_A_STUDY = (  # what it has in its folder
    *("trials/*", "tokenizer", "best", "defaults"),
    *("best.yaml", "tuning.json", "importance.svg", "history.svg", "study.db"),
)
AGAIN = 2  # trainings at the end: the best settings and the plan's, with another seed


def search_space(settings: PretrainSettings, plan: dict[str, Any]) -> dict[str, Any]:
    """What is searched, around the plan's own values, as Optuna's distributions. What the settings give is left out."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    batch, layers, rate = plan["batch_size"], plan["layers"], plan["learning_rate"]
    matrix_rate = plan.get("matrix_learning_rate", rate)
    space = {
        "matrix_learning_rate": FloatDistribution(matrix_rate / 4, matrix_rate * 4, log=True),
        "learning_rate": FloatDistribution(rate / 4, rate * 4, log=True),
        "layers": IntDistribution(
            max(1, layers // 2), 2 * layers
        ),  # the width follows: every network costs the same
        "batch_size": CategoricalDistribution(
            sorted({max(1, batch // 4), max(1, batch // 2), batch, 2 * batch})
        ),
        "weight_decay": FloatDistribution(0.01, 1.0, log=True),
        "dropout": FloatDistribution(0.0, 0.3, step=0.05),
    }
    without = {"layers"} if settings.width or settings.from_ else set()
    without |= set() if settings.optimizer == "muon" else {"matrix_learning_rate"}
    return {
        name: choices
        for name, choices in space.items()
        if name not in without and getattr(settings, name) is None
    }


@dataclass
class Tuning:
    """A study under way."""

    study: "optuna.Study"
    output: Path
    given: Any  # the settings of the person who asked
    settings: Any  # of every trial, without what is searched
    plan: dict[str, Any]  # the values of a trial with nothing changed
    trials: int
    seconds: float  # after which no trial starts
    figure: str = "bits_per_byte"  # that trials are judged by, on validation
    lower_is_better: bool = True

    @property
    def tokens(self) -> int:
        """Tokens that each trial reads."""
        return self.study.user_attrs["tokens"]

    def ask(self) -> "optuna.Trial":
        """The next trial, with its parameters."""
        return self.study.ask(search_space(self.settings, self.plan))

    def settings_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The settings that a trial's parameters stand for: rates to four digits, the width from the depth."""
        chosen: dict[str, Any] = {
            name: float(f"{value:.4g}") if isinstance(value, float) else value
            for name, value in parameters.items()
        }
        if "layers" in chosen:
            chosen["width"] = width_at_equal_cost(self.settings, self.plan, chosen["layers"])
        return chosen

    def train(self, parameters: dict[str, Any], folder: Path, seed: int, watcher: Watcher) -> Run:
        changes = {**self.settings_of(parameters), "output": folder, "seed": seed}
        run = pretrain(self.settings.model_copy(update=changes), watcher, overwrite=True)
        assert run is not None
        return run

    def leave(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Write down the best settings; returns where they are, and the command that trains with them."""
        note = "Found by xinye tune. `tokens` is what a trial read; a budget on the command line stands above it."
        found = {**self.settings_of(parameters), "tokens": str(self.tokens)}
        path = self.output / "best.yaml"
        write_config(path, self.given, found, note)
        command = shlex.join(["xinye", "pretrain", *self.given.files, "--config", str(path)])
        return {
            "tokens_per_trial": self.tokens,
            "config": str(path),
            "command": f"{command} --time …",
        }


def width_at_equal_cost(settings: PretrainSettings, plan: dict[str, Any], layers: int) -> int:
    """The width at which a network of so many layers takes as many operations per token as the plan's."""
    if layers == plan["layers"]:
        return plan["width"]

    def cost(width: int, layers: int) -> float:
        size = parse_count(settings.size, "size")
        network = planning.network(
            settings, size, plan["vocabulary"], plan["context"], width, layers
        )
        return network.flops_per_token(plan["context"])

    widths = [
        width
        for width in range(32, 4 * plan["width"] + 1, 32)
        if width % (settings.heads or 1) == 0
    ]
    same = cost(plan["width"], plan["layers"])
    return min(
        widths or [plan["width"]], key=lambda width: abs(math.log(cost(width, layers) / same))
    )


# -- the study -------------------------------------------------------------------------------------------------------


def begin(
    settings: PretrainSettings, trials: int, watcher: Watcher, overwrite: bool = False
) -> Tuning:
    """Open the study in the folder of the settings, or make one: then the budget of a trial is measured, once for all.

    A budget in time is that of the whole study, others are that of each trial. Raises `XinyeError` where the folder has
    something else, or a study of other settings.
    """
    check_optuna(trials)
    if model := next(
        (file for file in settings.files if (Path(file) / "config.json").is_file()), None
    ):
        raise XinyeError(
            f"{model}: is a model, not text; tune what it learns by xinye tune {model} --task classify --data FILE, "
            f"or by xinye tune TEXT --from {model}"
        )
    if not any(getattr(settings, budget) for budget in NO_BUDGET):
        settings = settings.model_copy(update={"time": "30min"})
    output = folder_for(settings, "tune")
    terms = settings.model_dump(
        mode="json", exclude_defaults=True, exclude={"files", "output", "time"}
    )
    terms["text"] = fingerprint(find_files(settings.files))
    url = f"sqlite:///{output / 'study.db'}"
    if is_new(output, "study.db", "study", overwrite):
        study = make_study(settings, terms, trials, output, url, watcher)
    else:
        study = open_study(terms, output, url)
    of_a_trial = {
        **NO_BUDGET,
        "tokens": str(study.user_attrs["tokens"]),
        "tokenizer": str(output / "tokenizer"),
        "vocab_size": None,
    }
    of_all = settings.model_copy(update={**of_a_trial, **trial_settings(settings)})
    return Tuning(
        study,
        output,
        settings,
        of_all,
        study.user_attrs["plan"],
        trials,
        seconds_of(settings.time, trials),
    )


def check_optuna(trials: int) -> None:
    """Raises `XinyeError` where there is no optuna, or nothing to compare."""
    need("tuning", "optuna")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if trials < 2:
        raise XinyeError(
            f"--trials {trials}: give at least 2; the first one is the plan's own settings"
        )


def seconds_of(time: str | None, trials: int) -> float:
    """The trials' part of the time of a study: the best and the defaults are trained again in the end."""
    return parse_time(time) * trials / (trials + AGAIN) if time else math.inf


def trial_settings(settings: PretrainSettings) -> dict[str, Any]:
    """What differs from a run of its own: few validations, and no compiling, which every new shape would wait for."""
    return {"evaluations": EVALUATIONS, "compile": "yes" if settings.compile == "yes" else "no"}


def make_study(
    settings: PretrainSettings,
    terms: dict[str, Any],
    trials: int,
    output: Path,
    url: str,
    watcher: Watcher,
) -> "optuna.Study":
    import optuna

    budget = (
        {"time": f"{parse_time(settings.time) / (trials + AGAIN):.2f}s"} if settings.time else {}
    )
    planned = rehearse(settings.model_copy(update={**budget, **trial_settings(settings)}), watcher)
    space = search_space(settings, planned.values)
    if not space:
        raise XinyeError("nothing is left to search: every value was given; leave out some of them")
    batches = (
        space["batch_size"].choices if "batch_size" in space else [planned.values["batch_size"]]
    )
    unit = (
        max(batches) * planned.values["context"]
    )  # whole steps for every batch size, so the same text for each
    wanted = planned.values["steps"] * planned.values["batch_size"] * planned.values["context"]
    tokens = unit * max(1, round(wanted / unit))
    remove_run(output, *OF_A_STUDY)  # what it was before, with --overwrite
    planned.text.tokenizer.save(output / "tokenizer")
    study = optuna.create_study(study_name="tune", storage=url)
    for name, value in {"terms": terms, "plan": planned.values, "tokens": tokens}.items():
        study.set_user_attr(name, value)
    study.enqueue_trial(
        {name: planned.values[name] for name in space}, user_attrs={"defaults": True}
    )
    return study


def open_study(terms: dict[str, Any], output: Path, url: str) -> "optuna.Study":
    """A study of the same settings; trials that a kill left running count as failed and are taken again."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    try:
        study = optuna.load_study(study_name="tune", storage=url)
        before = study.user_attrs["terms"]
        trials = study.get_trials(states=(optuna.trial.TrialState.RUNNING,))
    except (SQLAlchemyError, KeyError, optuna.exceptions.OptunaError) as error:
        message = " ".join(str(error).split())[:100]
        raise XinyeError(
            f"{output / 'study.db'}: damaged ({message}); start anew with --overwrite", 1
        ) from None
    for name in sorted(before.keys() | terms.keys()):
        if before.get(name) != terms.get(name):
            what = (
                "text"
                if name == "text"
                else f"{name}: {before.get(name)} there, {terms.get(name)} now"
            )
            raise XinyeError(
                f"{output}: this study was begun with other settings ({what}); "
                "choose another folder with -o, or replace it with --overwrite"
            )
    for trial in trials:
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
    return study


# -- trials ----------------------------------------------------------------------------------------------------------


class Judge(Passing):
    """Tells Optuna how a trial goes, and ends it by an exception where it is poor or diverges."""

    def __init__(
        self, trial: "optuna.Trial", watcher: Watcher, figure: str = "bits_per_byte"
    ) -> None:
        super().__init__(watcher)
        self.trial, self.figure, self.validations = trial, figure, 0

    def step(self, step: Step, steps: int) -> None:
        from optuna import TrialPruned

        if not math.isfinite(step.gradient_norm):
            raise TrialPruned("diverged")
        super().step(step, steps)

    def validated(self, step: int, figures: dict[str, float], sample: str) -> None:
        from optuna import TrialPruned

        self.validations += 1
        self.trial.report(figures[self.figure], self.validations)
        if step < self.values["steps"] and self.trial.should_prune():
            raise TrialPruned("ended early")


def run_trials(tuning: Tuning, watcher: Watcher) -> Iterator[dict[str, Any]]:
    """Trials until there are as many as asked for or the time is used up; each as `told`. Ctrl-C ends with it."""
    import optuna
    from optuna.trial import TrialState

    study = tuning.study
    study.pruner = optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=2)
    while True:
        ended = study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))
        spent = sum(trial.duration.total_seconds() for trial in ended if trial.duration)
        if len(ended) >= tuning.trials or spent >= tuning.seconds:
            return
        seed = tuning.settings.seed + len(
            study.trials
        )  # each trial by a seed of its own, so stopping changes nothing
        study.sampler = optuna.samplers.TPESampler(n_startup_trials=STARTUP, seed=seed)
        trial = tuning.ask()
        folder = tuning.output / "trials" / f"{trial.number:03d}"
        try:
            value = train(
                tuning,
                trial.params,
                folder,
                tuning.settings.seed,
                Judge(trial, watcher, tuning.figure),
            )
            trial.set_user_attr("state", "finished")
            study.tell(trial, value)
        except optuna.TrialPruned as end:
            trial.set_user_attr("state", str(end))
            study.tell(trial, state=TrialState.PRUNED)
        discard_weights(folder)
        yield told(tuning, study.trials[trial.number])


def train(
    tuning: Tuning, parameters: dict[str, Any], folder: Path, seed: int, watcher: Watcher
) -> float:
    """Train with a trial's parameters; returns the figure that trials are judged by."""
    run = tuning.train(parameters, folder, seed, watcher)
    if run.interrupted:
        raise KeyboardInterrupt
    return run.validation[tuning.figure]


def told(tuning: Tuning, trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    """A trial as it is shown: `state` is finished, ended early or diverged."""
    return {
        "trial": trial.number,
        "state": trial.user_attrs["state"],
        tuning.figure: trial.value,  # of one that ended early, the last there was
        "seconds": round(trial.duration.total_seconds(), 1) if trial.duration else None,
        "settings": tuning.settings_of(trial.params),
    }


# -- what came of it -------------------------------------------------------------------------------------------------


def conclude(tuning: Tuning, watcher: Watcher) -> dict[str, Any]:
    """Train the best settings and the plan's with another seed; write `tuning.json`, the charts and what is left."""
    from optuna.trial import TrialState

    study, output = tuning.study, tuning.output
    finished = sorted(
        study.get_trials(states=(TrialState.COMPLETE,)), key=lambda trial: trial.value or 0.0
    )
    if not tuning.lower_is_better:
        finished.reverse()
    if not finished:
        raise XinyeError(
            f"{output}: no trial came to its end; give more --time, or other settings", exit_code=1
        )
    best, defaults = (
        finished[0],
        next((trial for trial in finished if trial.user_attrs.get("defaults")), None),
    )
    again = {}
    for name, trial in {"defaults": defaults, "best": best}.items():
        if trial is None:
            continue
        key = f"again-{trial.number}"
        if key not in study.user_attrs:
            watcher.stage(f"training the {name} once more with another seed")
            folder = output / ("best" if trial is best else "defaults")
            value = train(tuning, trial.params, folder, tuning.settings.seed + 1, Passing(watcher))
            study.set_user_attr(key, value)
            if trial is not best:
                discard_weights(folder)
        again[name] = study.user_attrs[key]
    count = len(study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED)))
    importance = importance_of(study)
    result = {
        "study": str(output),
        "trials": count,
        "asked_for": tuning.trials,
        "finished": len(finished),
        "figure": tuning.figure,
        "lower_is_better": tuning.lower_is_better,
        "top": [told(tuning, trial) for trial in finished[:5]],
        "defaults": told(tuning, defaults) if defaults else None,
        "again": {"seed": tuning.settings.seed + 1, **again},
        "importance": importance,
        **tuning.leave(best.params),
        "model": str(output / "best"),
        "charts": draw(tuning, importance),
    }
    write_json(output / "tuning.json", result)
    return result


def importance_of(study: "optuna.Study") -> dict[str, float]:
    """Each setting's share in being among the best quarter of the finished trials (PED-ANOVA, arXiv:2304.10255)."""
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few trials, which `explain` tells of
        shares = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=0.25)
        )
    return {name: round(share, 4) for name, share in shares.items()}


def draw(tuning: Tuning, importance: dict[str, float]) -> list[str]:
    """The charts as files, where matplotlib is installed."""
    finished = [
        trial for trial in tuning.study.trials if trial.user_attrs.get("state") == "finished"
    ]
    numbers, values = (
        [trial.number for trial in finished],
        [float(trial.value or 0.0) for trial in finished],
    )
    best = min if tuning.lower_is_better else max
    so_far = [best(values[: count + 1]) for count in range(len(values))]
    series = {"finished trials": (numbers, values), "best so far": (numbers, so_far)}
    try:
        charts = {
            "importance.svg": bar_chart(importance, "share in being among the best quarter"),
            "history.svg": line_chart(series, "trial", tuning.figure.replace("_", " ")),
        }
    except XinyeError:
        return []
    for name, svg in charts.items():
        save_chart(svg, tuning.output / name)
    return [str(tuning.output / name) for name in charts]


def explain(result: dict[str, Any]) -> list[str]:
    """What the figures say, in sentences."""
    best, defaults, again = result["top"][0], result["defaults"], result["again"]
    figure, lower = result.get("figure", "bits_per_byte"), result.get("lower_is_better", True)
    name, sign = figure.replace("_", " "), 1 if lower else -1

    def told(value: float) -> str:
        return f"{value:.3f}" if lower else f"{value:.1%}"

    def amount(value: float) -> str:
        return f"{value:.3f}" if lower else f"{100 * value:.1f} points"

    if defaults is None:
        sentences = ["The plan's own settings diverged; there is nothing to measure the gain by."]
    elif best["trial"] == defaults["trial"]:
        sentences = [f"Nothing beat the plan's own settings: {told(best[figure])} {name}."]
    elif sign * (again["defaults"] - again["best"]) <= 0:
        sentences = [
            f"Tuning won nothing: trained once more with seed {again['seed']}, the plan's own settings came to "
            f"{told(again['defaults'])} {name} and the best to {told(again['best'])}. In the study itself it looked "
            f"like {amount(sign * (defaults[figure] - best[figure]))} won."
        ]
    else:
        shown, gain = (
            sign * (defaults[figure] - best[figure]),
            sign * (again["defaults"] - again["best"]),
        )
        noise = abs(again["defaults"] - defaults[figure])
        of = f" {name}" if lower else f" of {name}"
        share = f" ({gain / again['defaults']:.1%})" if lower else ""
        sentences = [
            f"Tuning won {amount(gain)}{of} over the plan's own settings{share}: "
            f"{told(again['defaults'])} → {told(again['best'])}, both trained once more with seed {again['seed']}. "
            f"In the study itself it looked like {amount(shown)}."
        ]
        if gain < 2 * noise:
            sentences.append(
                f"Another seed alone moved the plan's settings by {amount(noise)}: this gain may be no more than luck."
            )
    if result["trials"] < result["asked_for"]:
        sentences.append(
            f"The time was used up after {result['trials']} of {result['asked_for']} trials: "
            "the same command with more --time goes on."
        )
    if result["finished"] < 10:
        sentences.append(
            f"Of {result['finished']} finished trials the importances are only a hint."
        )
    return sentences
