"""Cross-validation: k runs, each evaluated on its own part of the data, which it does not train on.

Every document or record is held out exactly once; with fewer than twenty documents, every part of
each document is. The tokenizer is trained once on all of the text, so it knows which strings are
frequent in a held-out part, but nothing else. Each metric is given as its mean with a 95 % interval
by Student's t. The interval is rather too narrow, because any two runs share most of their training
data.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

from scipy.special import stdtrit

from xinye.data.files import read_json, write_json
from xinye.errors import XinyeError, checked
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.cleanup import remove_run
from xinye.runs.folder import Figures
from xinye.runs.saved import Result
from xinye.runs.start import default_output
from xinye.studies.shared import (
    NO_BUDGET,
    QuietObserver,
    Settings,
    finished_run,
    is_new,
    plan_once,
    saved_tokenizer,
)
from xinye.tasks.settings import task_settings

OF_FOLDS = ("fold-*", "tokenizer", "folds.json")  # the files of a cross-validation


def cross_validate(
    settings: Settings,
    folds: int,
    observer: Observer,
    on_fold: Callable[[Figures], None],
    overwrite: bool,
    resume: bool,
) -> Figures:
    """Train and evaluate each fold in its own folder, and save the metrics to `folds.json`.
    `on_fold` is called with the metrics of each finished fold.

    The budget is that of one fold; in pretraining it is turned into steps once, for all folds.
    Raises `XinyeError` for options that do not suit, and `KeyboardInterrupt` if it is interrupted.
    """
    if not 2 <= folds <= 20:
        raise XinyeError(f"--folds {folds}: give 2 to 20")
    if settings.fold:
        raise XinyeError("--folds trains every part, --fold one of them: give one of the two")
    of_a_task = isinstance(settings, FinetuneSettings)
    if of_a_task and settings.validation:
        raise XinyeError(
            "--folds evaluates on each part of the data in turn: leave --validation out"
        )
    output = settings.output or default_output(settings)
    record = output / "folds.json"
    if resume:
        given = {name for name in settings.model_fields_set if getattr(settings, name)}
        if odd := given - {"output"}:
            raise XinyeError(f"--resume continues with the saved settings: leave {min(odd)} out")
        settings = saved(output, folds, type(settings))
    elif is_new(output, "folds.json", "cross-validation", overwrite):
        settings = prepare(settings, folds, output, observer)
        kept = settings.model_dump(mode="json", exclude_defaults=True, exclude={"output"})
        write_json(record, {"count": folds, "settings": kept})
    else:
        raise XinyeError(
            f"{output}: there is a cross-validation already; continue it with --resume, or "
            "replace it with --overwrite"
        )
    tokenizer = saved_tokenizer(output) if (output / "tokenizer").is_dir() else {}
    figures: list[Figures] = []
    for number in range(1, folds + 1):
        observer.stage(f"fold {number} of {folds}")
        own = {"fold": f"{number}/{folds}", "output": output / f"fold-{number}", **tokenizer}
        run = finished_run(settings.model_copy(update=own), QuietObserver(observer))
        figures.append({"fold": number, **figures_of(run)})
        on_fold(figures[-1])
    spreads = summary(figures)
    result = {"run": str(output), "folds": figures}
    result |= spreads if of_a_task else spreads["validation"]
    write_json(record, read_json(record) | result)
    return result


def prepare(settings: Settings, folds: int, output: Path, observer: Observer) -> Settings:
    """Create the folder after checking that every fold can be trained. Returns the settings of all
    folds.
    """
    planned = plan_once(settings.model_copy(update={"fold": f"1/{folds}"}), observer)
    remove_run(output, *OF_FOLDS)
    output.mkdir(parents=True, exist_ok=True)
    if planned.text is None:
        return settings
    planned.text.tokenizer.save(output / "tokenizer")
    changes = {**NO_BUDGET, "steps": planned.values["steps"], "vocab_size": None}
    return settings.model_copy(update=changes)


def figures_of(run: Result) -> Figures:
    """The metrics of one fold; for a task also those of its baseline and of the control run."""
    result = run.as_read()
    figures = {name: result[name] for name in ("run", "steps", "seconds", "validation")}
    known = ("name", *figures["validation"])
    for other in ("baseline", "control"):
        if theirs := result.get(other):
            figures[other] = {name: theirs[name] for name in known if name in theirs}
    return figures


def summary(folds: Sequence[Figures]) -> Figures:
    """The spread of every metric of the model, its baseline and the control run, and of the
    differences between the model and each of them, fold by fold.
    """
    ours = [fold["validation"] for fold in folds]
    spreads: Figures = {"validation": spreads_of(ours)}
    for key in ("baseline", "control"):
        if all(key in fold for fold in folds):
            theirs = [fold[key] for fold in folds]
            more = [
                {name: our[name] - row[name] for name in row if name != "name"}
                for our, row in zip(ours, theirs, strict=True)
            ]
            spreads[key] = {**spreads_of(theirs), "name": theirs[0]["name"]}
            spreads[f"more_than_{key}"] = spreads_of(more)
    return spreads


def spreads_of(rows: Sequence[Figures]) -> Figures:
    """The spread of every metric in these rows."""
    names = [name for name in rows[0] if name != "name"]
    return {name: spread([row[name] for row in rows]) for name in names}


def spread(values: Sequence[float]) -> dict[str, float]:
    """Mean, standard deviation, and half the width of the 95 % interval of the mean."""
    deviation, count = statistics.stdev(values), len(values)
    interval = float(stdtrit(count - 1, 0.975)) * deviation / math.sqrt(count)
    found = {"mean": statistics.mean(values), "standard_deviation": deviation, "interval": interval}
    return {name: round(value, 5) for name, value in found.items()}


def saved(output: Path, folds: int, kind: type[Settings]) -> Settings:
    """The settings of the cross-validation in a folder. Raises `XinyeError` if there is none, if it
    is damaged, or if it has another number of folds.
    """
    path = output / "folds.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no cross-validation to resume")
    try:
        begun = read_json(path)
        count, values = int(begun["count"]), {**begun["settings"], "output": output}
    except (KeyError, TypeError, ValueError, XinyeError) as error:
        raise XinyeError(f"{path}: damaged ({error}); start again with --overwrite") from None
    if count != folds:
        raise XinyeError(
            f"{output}: this cross-validation was begun with --folds {count}; give the same number"
        )
    if kind is FinetuneSettings:
        return task_settings(values, str(path))
    return checked(kind, values, str(path))
