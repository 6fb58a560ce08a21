"""Cross-validation: one run for each of k parts of the data, which alone it does not learn from and is judged on.

Every document, or record, is held out exactly once; of fewer than twenty documents every part of each is. A tokenizer
is learned once from all of the text, as for any run: what it knows of a held-out part is which strings are frequent.
Figures are told as their mean with a 95 % interval by Student's t; as any two of the runs learned largely from the same
data, it is rather too narrow than too wide.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xinye.checkpoints.huggingface import write_json
from xinye.data.files import read_json
from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.leftovers import remove_run
from xinye.runs.run_folder import default_output
from xinye.studies.rehearsal import NO_BUDGET, Passing, finished_run, is_new, rehearse
from xinye.training.finetune import plan_of
from xinye.watcher import Watcher

Settings = PretrainSettings | FinetuneSettings
OF_FOLDS = ("fold-*", "tokenizer", "folds.json")  # what a cross-validation has in its folder
STUDENT_T = (  # the 97.5 % point for 2 … 20 values
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093,
)  # fmt: skip


def cross_validate(
    settings: Settings,
    folds: int,
    watcher: Watcher,
    on_fold: Callable[[dict[str, Any]], None],
    overwrite: bool,
    resume: bool,
) -> dict[str, Any] | None:
    """Train and judge each fold in a folder of its own; the figures lie in `folds.json`. None when interrupted.

    The budget is that of each fold; in pretraining it is turned into steps once, for all.
    """
    if not 2 <= folds <= 20:
        raise XinyeError(f"--folds {folds}: give 2 to 20")
    if settings.fold:
        raise XinyeError("--folds trains every part, --fold one of them: give one of the two")
    if isinstance(settings, FinetuneSettings):
        if settings.validation:
            raise XinyeError(
                "--folds judges on each part of the data in turn: leave --validation out"
            )
        output = settings.output or Path("runs") / settings.task
    else:
        output = settings.output or default_output(settings)
    record = output / "folds.json"
    if resume:
        if odd := {name for name in settings.model_fields_set if getattr(settings, name)} - {
            "output"
        }:
            raise XinyeError(
                f"--resume goes on with the settings of the cross-validation: leave {min(odd)} out"
            )
        settings = saved(output, folds, type(settings))
    else:
        if not is_new(output, "folds.json", "cross-validation", overwrite):
            raise XinyeError(
                f"{output}: exists already; go on with it with --resume, or replace it with --overwrite"
            )
        settings = prepare(settings, folds, output, watcher)
        write_json(
            record,
            {
                "count": folds,
                "settings": settings.model_dump(
                    mode="json", exclude_defaults=True, exclude={"output"}
                ),
            },
        )
    figures: list[dict[str, Any]] = []
    for number in range(1, folds + 1):
        watcher.stage(f"fold {number} of {folds}")
        own: dict[str, Any] = {"fold": f"{number}/{folds}", "output": output / f"fold-{number}"}
        if isinstance(settings, PretrainSettings):
            own["tokenizer"] = str(output / "tokenizer")
        figure = train_fold(settings.model_copy(update=own), watcher)
        if figure is None:
            return None
        figures.append({"fold": number, **figure})
        on_fold(figures[-1])
    result = {
        "run": str(output),
        "folds": figures,
        **summary(figures, isinstance(settings, FinetuneSettings)),
    }
    write_json(record, read_json(record) | result)
    return result


def prepare(settings: Settings, folds: int, output: Path, watcher: Watcher) -> Settings:
    """Make the folder, once it is known that every fold can be trained; returns the settings of all."""
    if isinstance(settings, FinetuneSettings):
        plan_of(settings.model_copy(update={"fold": f"1/{folds}"}), watcher)
        remove_run(output, *OF_FOLDS)
        output.mkdir(parents=True, exist_ok=True)
        return settings
    planned = rehearse(settings.model_copy(update={"fold": f"1/{folds}"}), watcher)
    remove_run(output, *OF_FOLDS)
    planned.text.tokenizer.save(output / "tokenizer")
    return settings.model_copy(
        update={**NO_BUDGET, "steps": planned.values["steps"], "vocab_size": None}
    )


def train_fold(settings: Settings, watcher: Watcher) -> dict[str, Any] | None:
    """The figures of one fold; of a task also those of its baseline and of the control. None when interrupted."""
    result = finished_run(settings, Passing(watcher))
    if result is None:
        return None
    figures = {name: result[name] for name in ("run", "steps", "seconds", "validation")}
    for other in ("baseline", "control"):
        if result.get(other):
            known = ("name", *result["validation"])
            figures[other] = {name: value for name, value in result[other].items() if name in known}
    return figures


def summary(figures: Sequence[dict[str, Any]], of_a_task: bool) -> dict[str, Any]:
    """The spread of every figure; of a task that of the model, its baseline and the control, and of what the model has
    more than each of them, fold by fold."""
    keys = [
        key for key in ("validation", "baseline", "control") if all(key in fold for fold in figures)
    ]
    rows = {key: [fold[key] for fold in figures] for key in keys}
    told: dict[str, Any] = {}
    for key, folds in rows.items():
        names = [name for name in folds[0] if name != "name"]
        told[key] = {name: spread([fold[name] for fold in folds]) for name in names}
        if key != "validation":
            told[key]["name"] = folds[0]["name"]
            pairs = list(zip(rows["validation"], folds, strict=True))
            told[f"more_than_{key}"] = {
                name: spread([ours[name] - its[name] for ours, its in pairs]) for name in names
            }
    return told if of_a_task else told["validation"]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation, and half the width of the 95 % interval of the mean."""
    deviation, count = statistics.stdev(values), len(values)
    interval = STUDENT_T[count - 2] * deviation / math.sqrt(count)
    told = {"mean": statistics.mean(values), "standard_deviation": deviation, "interval": interval}
    return {name: round(value, 5) for name, value in told.items()}


def saved(output: Path, folds: int, kind: type[Settings]) -> Settings:
    path = output / "folds.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no cross-validation to resume")
    try:
        begun = read_json(path)
        count, values = int(begun["count"]), {**begun["settings"], "output": output}
    except (KeyError, TypeError, ValueError, XinyeError) as error:
        raise XinyeError(
            f"{path}: damaged ({error}); start anew with --overwrite", exit_code=1
        ) from None
    if count != folds:
        raise XinyeError(f"{output}: was begun with --folds {count}; go on with that")
    return checked(kind, values, str(path))
