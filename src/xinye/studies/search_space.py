"""The search spaces of `tune`: settings of pretraining or of a task, around the values of the plan.

All trials of pretraining read the same number of tokens, and all networks cost the same: the width
follows from the depth. Trials of a task are complete fine-tunings on the same records. They are
evaluated on validation records, never on a test set, and their learning rates are searched as a
factor of the plan's rate for each method.
"""

import math
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import BaseTrial

from xinye.data.sources import fingerprint
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, quoted
from xinye.observer import Observer
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.models import fingerprint as fingerprint_of_model
from xinye.planning.network import network
from xinye.planning.settings import PretrainSettings
from xinye.planning.units import parse_count
from xinye.runs.folder import Values
from xinye.runs.words import Figure
from xinye.studies.shared import (
    NO_BUDGET,
    Settings,
    config_command,
    folder_for,
    plan_once,
    saved_tokenizer,
    write_config,
)
from xinye.tasks.prepared import fingerprint_of
from xinye.tasks.registry import find_task
from xinye.tasks.settings import task_settings
from xinye.tasks.task_data import data_files
from xinye.training.record_job import base_of

EVALUATIONS = 6  # evaluations of a trial; it may be pruned from the second on
RATES = ("matrix_learning_rate", "learning_rate")
METHODS = ("full", "lora")  # methods to try for a task if none is given


class PretrainSearch:
    """The search for settings of pretraining. `plan` holds the values of a trial with the plan's
    settings.
    """

    # The metric on validation text that compares trials.
    figure = Figure("bits_per_byte", "bits per byte", lower_replaced=True)
    tokenizer: Tokenizer | None = None  # used by all trials
    tokens: int | None = None  # the tokens that each trial reads

    def __init__(self, settings: PretrainSettings) -> None:
        is_model = (file for file in settings.files if (Path(file) / "config.json").is_file())
        if model := next(is_model, None):
            raise XinyeError(
                f"{model}: this is a model, not text. Tune its fine-tuning with xinye tune "
                f"{quoted(model)} --task classify --data FILE, or its further training with xinye "
                f"tune TEXT --from {quoted(model)}"
            )
        if not any(getattr(settings, budget) for budget in NO_BUDGET):
            settings = settings.model_copy(update={"time": "30min"})
        self.settings = settings
        self.output = folder_for(settings, "tune")
        self.time = settings.time  # the time of the whole study
        self.plan: Values = {}
        self.of_trials = {  # without compiling, because every new shape would be compiled again
            "evaluations": EVALUATIONS,
            "compile": "yes" if settings.compile == "yes" else "no",
        }

    def terms(self) -> Values:
        """The settings and the text, which must be the same when a study is resumed."""
        terms = self.settings.model_dump(
            mode="json", exclude_defaults=True, exclude={"files", "output", "time"}
        )
        return terms | {"text": fingerprint_of(self.settings)}

    def measure(self, seconds: float | None, observer: Observer) -> Values:
        """Plan a trial of this many seconds. Returns the parameters of a trial with the plan's
        settings.
        """
        budget = {"time": f"{seconds:.2f}s"} if seconds else {}
        planned = plan_once(self.settings.model_copy(update=budget | self.of_trials), observer)
        assert planned.text is not None
        self.plan = planned.values
        batch, context = self.plan["batch_size"], self.plan["context"]
        sizes = batch_sizes(batch) if self.settings.batch_size is None else [batch]
        # a multiple of every batch size, so that all trials read the same text
        unit = max(sizes) * context
        self.tokens = unit * max(1, round(self.plan["steps"] * batch * context / unit))
        self.tokenizer = planned.text.tokenizer
        return self.plan

    def suggest(self, trial: BaseTrial) -> None:
        """Let Optuna choose each parameter of a trial that was not given."""
        plan, floats = self.plan, trial.suggest_float
        layers = plan["layers"]
        suggestions: dict[str, Callable[[str], Any]] = {
            name: partial(floats, low=plan[name] / 4, high=4 * plan[name], log=True)
            for name in RATES
            if name in plan
        }
        suggestions |= {
            "layers": partial(trial.suggest_int, low=max(1, layers // 2), high=2 * layers),
            "batch_size": partial(
                trial.suggest_categorical, choices=batch_sizes(plan["batch_size"])
            ),
            "weight_decay": partial(floats, low=0.01, high=1.0, log=True),
            "dropout": partial(floats, low=0.0, high=0.3, step=0.05),
        }
        if self.settings.width or self.settings.from_:
            del suggestions["layers"]
        for name, suggest in suggestions.items():
            if getattr(self.settings, name) is None:
                suggest(name)

    def chosen(self, parameters: Values) -> Values:
        """The settings of a trial's parameters, by the names of the flags."""
        chosen = rounded(parameters)
        if "layers" in chosen:
            chosen["width"] = width_at_equal_cost(self.settings, self.plan, chosen["layers"])
        return chosen

    def settings_of(self, parameters: Values, folder: Path, seed: int) -> Settings:
        """All settings of a trial."""
        changes = NO_BUDGET | self.of_trials | saved_tokenizer(self.output)
        changes |= self.chosen(parameters)
        changes |= {"tokens": str(self.tokens), "output": folder, "seed": seed}
        return self.settings.model_copy(update=changes)

    def leave(self, parameters: Values) -> Values:
        """Write the best settings to `best.yaml`. Returns its path, and the command that trains
        with them.
        """
        note = (
            "Found by xinye tune. `tokens` is the budget of a trial; a budget on the command line "
            "replaces it."
        )
        path = self.output / "best.yaml"
        found = {**self.chosen(parameters), "tokens": str(self.tokens)}
        write_config(path, self.settings, found, note)
        command = f"{config_command(path, self.settings)} --time …"
        return {"tokens_per_trial": self.tokens, "config": str(path), "command": command}

    def words(self) -> str:
        """A description of a trial for messages."""
        assert self.tokens is not None
        batch = self.plan["batch_size"]
        steps = self.tokens // (batch * self.plan["context"])
        return f"each of {self.tokens:,} tokens, {steps:,} steps with the plan's batch of {batch}"


class TaskSearch:
    """The search for settings of a task, with the same methods. `plan` holds the plan's values for
    each method.
    """

    tokenizer: Tokenizer | None = None  # the base model's is used
    tokens: int | None = None  # depends on the records

    def __init__(self, settings: FinetuneSettings, time: str) -> None:
        self.task = find_task(settings.task)
        self.settings = settings
        self.output = settings.output or Path("runs") / f"tune-{settings.task}"
        self.time: str | None = time
        self.figure = self.task.deciding()
        self.plan: Values = {}

    def terms(self) -> Values:
        files = data_files(self.settings, (*self.settings.data, *self.settings.validation))
        terms = self.settings.model_dump(
            mode="json", exclude_unset=True, exclude={"data", "validation", "output"}
        )
        base = base_of(self.settings, None)[0]
        return terms | {"text": fingerprint(files), "base": fingerprint_of_model(base)}

    def measure(self, seconds: float | None, observer: Observer) -> Values:
        given = "method" in self.settings.model_fields_set or self.settings.optimizer == "muon"
        for method in [self.settings.method] if given else METHODS:
            own = self.settings.model_copy(update={"method": method})
            self.plan[method] = plan_once(own, observer).values
        method, plan = next(iter(self.plan.items()))
        usual = {"method": method, "rate": 1.0, "mask_tokens": 0.0, "r": 8}
        usual |= {name: plan[name] for name in ("dropout", "attention")}
        return usual | {"epochs": max(1, round(plan["epochs"]))}

    def suggest(self, trial: BaseTrial) -> None:
        method, plan = next(iter(self.plan.items()))
        if len(self.plan) > 1:
            method = trial.suggest_categorical("method", list(self.plan))
        floats, choices = trial.suggest_float, trial.suggest_categorical
        epochs = plan["epochs"]
        fewest, most = max(1, round(epochs / 2)), round(2 * epochs)
        # by the setting that turns the search of this parameter off
        suggestions: dict[str, Callable[[], Any]] = {
            "learning_rate": partial(floats, "rate", 0.25, 4.0, log=True),
            "epochs": partial(trial.suggest_int, "epochs", fewest, most),
            "dropout": partial(floats, "dropout", 0.0, 0.3, step=0.05),
            "augment": partial(floats, "mask_tokens", 0.0, 0.3, step=0.05),
            "attention": partial(choices, "attention", ["both", "causal"]),
            "r": partial(choices, "r", [4, 8, 16, 32]),
        }
        given = self.settings.model_fields_set | self.settings.adapter.model_fields_set
        if self.task.writes or not self.task.augmentations:
            given |= {"augment", "attention"}
        if "matrix_learning_rate" in given:
            given.add("learning_rate")
        if method != "lora":
            given.add("r")
        for name, suggest in suggestions.items():
            if name not in given:
                suggest()

    def chosen(self, parameters: Values) -> Values:
        chosen = dict(parameters)
        plan = self.plan[chosen.get("method", self.settings.method)]
        if rate := chosen.pop("rate", None):
            chosen |= {name: rate * plan[name] for name in RATES if name in plan}
        if chosen.get("mask_tokens"):
            chosen["augment"] = "mask"
        else:
            chosen.pop("mask_tokens", None)
        return rounded(chosen)

    def settings_of(self, parameters: Values, folder: Path, seed: int) -> FinetuneSettings:
        settings = self._with(parameters, output=folder, seed=seed, evaluations=EVALUATIONS)
        if settings.augment:  # trials are compared with each other, so they need no control run
            return settings.model_copy(update={"control": False})
        return settings

    def _with(self, parameters: Values, **more: Any) -> FinetuneSettings:
        """The given settings, changed to those of a trial."""
        chosen = self.chosen(parameters)
        given = self.settings.model_dump(exclude_unset=True)
        if "r" in chosen:
            chosen["adapter"] = given.get("adapter", {}) | {"r": chosen.pop("r")}
        return task_settings(given | chosen | more, "tune")

    def leave(self, parameters: Values) -> Values:
        best = self._with(parameters, output=Path("runs/tuned"), seed=self.settings.seed)
        values = {"task": best.task} | best.model_dump(mode="json", exclude_defaults=True)
        return {"command": shlex.join(command_line("finetune", values))}

    def words(self) -> str:
        return f"compared by {self.figure.name.replace('_', ' ')} on validation"


Search = PretrainSearch | TaskSearch


def rounded(values: Values) -> Values:
    """The values with numbers rounded to four digits."""
    return {
        name: float(f"{value:.4g}") if isinstance(value, float) else value
        for name, value in values.items()
    }


def batch_sizes(planned: int) -> list[int]:
    """The batch sizes to try around the plan's."""
    return sorted({max(1, planned // 4), max(1, planned // 2), planned, 2 * planned})


def width_at_equal_cost(settings: PretrainSettings, plan: Values, layers: int) -> int:
    """The width at which this many layers need as many operations per token as the plan's
    network.
    """
    if layers == plan["layers"]:
        return plan["width"]

    def cost(width: int, layers: int) -> float:
        size = parse_count(settings.size)
        shape = network(settings, size, plan["vocabulary"], plan["context"], width, layers)
        return shape.flops_per_token(plan["context"])

    widths = range(32, 4 * plan["width"] + 1, 32)
    fitting = [width for width in widths if width % (settings.heads or 1) == 0]
    same = cost(plan["width"], plan["layers"])
    nearest = fitting or [plan["width"]]
    return min(nearest, key=lambda width: abs(math.log(cost(width, layers) / same)))
