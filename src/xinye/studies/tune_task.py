"""Tune fine-tuning: what `tune.py` does, for the settings that a task is learned with.

Trials are whole fine-tunings on the same records, judged on those that are kept from them, never on a test. The
learning rates are searched as a factor on what the plan would take for each method. With another seed, as in the end,
other records are kept to judge on, unless a file has them.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.data.files import check_file
from xinye.data.sources import fingerprint
from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import fingerprint as fingerprint_of_model
from xinye.runs.leftovers import remove_run
from xinye.runs.run_folder import flat
from xinye.studies.rehearsal import is_new
from xinye.studies.tune import EVALUATIONS, OF_A_STUDY, Tuning, check_optuna, open_study, seconds_of
from xinye.tasks.task_data import TASKS
from xinye.training.finetune import base_of, finetune, plan_of
from xinye.training.training_run import Run
from xinye.watcher import Watcher

if TYPE_CHECKING:
    import optuna

METHODS = ("full", "lora")  # to choose from, where none is given
RATES = ("learning_rate", "matrix_learning_rate")


@dataclass
class TaskTuning(Tuning):
    """A study of a task. Its `plan` holds the values of a trial with nothing changed for each method."""

    def ask(self) -> "optuna.Trial":
        """The next trial, with its parameters."""
        trial = self.study.ask()
        suggest(trial, self.settings, self.plan)
        return trial

    def settings_of(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """What a trial's parameters stand for, by the names of the flags; numbers to four digits."""
        chosen = dict(parameters)
        rate, plan = chosen.pop("rate", None), self.plan[chosen.get("method", self.settings.method)]
        if rate is not None:
            chosen |= {name: rate * plan[name] for name in RATES if name in plan}
        if "mask_tokens" in chosen:
            chosen |= {"augment": "mask"} if chosen["mask_tokens"] else {}
            chosen["mask_tokens"] = chosen["mask_tokens"] or None
        rounded = {
            name: float(f"{v:.4g}") if isinstance(v, float) else v for name, v in chosen.items()
        }
        return {name: value for name, value in rounded.items() if value is not None}

    def whole(self, parameters: dict[str, Any], **more: Any) -> FinetuneSettings:
        """The settings given, with those of a trial."""
        chosen, given = self.settings_of(parameters), self.settings.model_dump(exclude_unset=True)
        if "r" in chosen:
            chosen["adapter"] = given.get("adapter", {}) | {"r": chosen.pop("r")}
        return checked(FinetuneSettings, given | chosen | more, "tune")

    def train(self, parameters: dict[str, Any], folder: Path, seed: int, watcher: Watcher) -> Run:
        settings = self.whole(parameters, output=folder, seed=seed, evaluations=EVALUATIONS)
        alone = (
            {"control": False} if settings.augment else {}
        )  # a trial is compared with other trials
        return finetune(settings.model_copy(update=alone), watcher, overwrite=True)

    def leave(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """The command that trains with the best settings."""
        typed = command_line(
            self.whole(parameters, output=Path("runs/tuned"), seed=self.settings.seed)
        )
        return {"command": shlex.join(["xinye", "finetune", *typed])}


def suggest(trial: Any, settings: FinetuneSettings, plans: dict[str, Any]) -> None:
    """Ask a trial for each parameter that is searched, around the plan's own values; what is given is left out."""
    given, plan = settings.model_fields_set, next(iter(plans.values()))
    method = (
        trial.suggest_categorical("method", list(plans)) if len(plans) > 1 else next(iter(plans))
    )
    if not given & set(RATES):
        trial.suggest_float("rate", 0.25, 4.0, log=True)
    if "epochs" not in given:
        trial.suggest_int("epochs", max(1, round(plan["epochs"] / 2)), round(2 * plan["epochs"]))
    if "dropout" not in given:
        trial.suggest_float("dropout", 0.0, 0.3, step=0.05)
    if not TASKS[settings.task].writes:
        if "augment" not in given:
            trial.suggest_float("mask_tokens", 0.0, 0.3, step=0.05)
        if "attention" not in given:
            trial.suggest_categorical("attention", ["both", "causal"])
    if method == "lora" and "r" not in settings.adapter.model_fields_set:
        trial.suggest_categorical("r", [4, 8, 16, 32])


def begin(
    settings: FinetuneSettings,
    trials: int,
    time: str | None,
    watcher: Watcher,
    overwrite: bool = False,
) -> TaskTuning:
    """Open the study in the folder of the settings, or make one; after `time` no trial starts.

    Raises `XinyeError` where the folder has something else, or a study of other settings.
    """
    check_optuna(trials)
    output, task = settings.output or Path("runs") / f"tune-{settings.task}", TASKS[settings.task]
    files = [Path(file) for file in (*settings.data, *settings.validation)]
    for file in files:
        check_file(file)
    terms = settings.model_dump(
        mode="json", exclude_unset=True, exclude={"data", "validation", "output"}
    )
    terms |= {"text": fingerprint(files), "base": fingerprint_of_model(base_of(settings, None)[0])}
    url = f"sqlite:///{output / 'study.db'}"
    if is_new(output, "study.db", "study", overwrite):
        study = make_study(settings, terms, output, url, watcher)
    else:
        study = open_study(terms, output, url)
    plans, seconds = study.user_attrs["plan"], seconds_of(time, trials)
    return TaskTuning(
        study, output, settings, settings, plans, trials, seconds, task.better, task.writes
    )


def make_study(
    settings: FinetuneSettings, terms: dict[str, Any], output: Path, url: str, watcher: Watcher
) -> "optuna.Study":
    import optuna

    methods = (
        (settings.method,)
        if "method" in settings.model_fields_set or settings.optimizer == "muon"
        else METHODS
    )
    plans = {
        method: plan_of(settings.model_copy(update={"method": method}), watcher)
        for method in methods
    }
    plan = next(iter(plans.values()))
    usual = {name: plan[name] for name in ("epochs", "dropout", "attention")}
    usual |= {"method": methods[0], "rate": 1.0, "mask_tokens": 0.0, "r": 8}
    usual["epochs"] = max(1, round(usual["epochs"]))
    first = optuna.trial.FixedTrial(usual)
    suggest(first, settings, plans)
    if not first.params:
        raise XinyeError("nothing is left to search: every value was given; leave out some of them")
    remove_run(output, *OF_A_STUDY)  # what it was before, with --overwrite
    output.mkdir(parents=True, exist_ok=True)
    direction: Any = "minimize" if TASKS[settings.task].writes else "maximize"
    study = optuna.create_study(study_name="tune", storage=url, direction=direction)
    for name, value in {"terms": terms, "plan": plans}.items():
        study.set_user_attr(name, value)
    study.enqueue_trial(first.params, user_attrs={"defaults": True})
    return study


def command_line(settings: FinetuneSettings) -> list[str]:
    """What is typed behind `xinye finetune` for settings."""
    dumped = settings.model_dump(
        mode="json", exclude_defaults=True, exclude={"model", "task", "data"}
    )
    given = {"task": settings.task, "data": list(settings.data)} | flat(dumped)
    typed = [settings.model]
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        if isinstance(value, bool):
            typed.append(flag if value else f"--no-{flag[2:]}")
            continue
        for each in value if isinstance(value, list) else [value]:
            typed += ["-o" if name == "output" else flag, str(each).removesuffix(".0")]
    return typed
