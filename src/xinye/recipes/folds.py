"""Cross-validation: one run for each of k parts of the text, which alone it does not learn from and is judged on.

Every document is held out exactly once; where there are fewer than twenty, every part of each is. The tokenizer is
learned once from all of the text, as for any run: what it knows of a held-out part is which strings are frequent.
"""

import shutil
import statistics
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from xinye.checkpoints.huggingface import read_json, write_json
from xinye.checkpoints.store import checkpoints
from xinye.errors import XinyeError, checked
from xinye.recipes.pretrain import pretrain
from xinye.recipes.rehearsal import NO_BUDGET, Passing, is_new, rehearse
from xinye.recipes.run_folder import default_output
from xinye.recipes.settings import PretrainSettings
from xinye.recipes.watcher import Watcher


def cross_validate(
    settings: PretrainSettings,
    folds: int,
    watcher: Watcher,
    on_fold: Callable[[dict[str, Any]], None],
    overwrite: bool,
    resume: bool,
) -> dict[str, Any] | None:
    """Train and judge each fold in a folder of its own; the figures lie in `folds.json`. None when interrupted.

    The budget is that of each fold; it is turned into steps once, for all.
    """
    if not 2 <= folds <= 20:
        raise XinyeError(f"--folds {folds}: give 2 to 20")
    if settings.fold:
        raise XinyeError("--folds trains every part, --fold one of them: give one of the two")
    output = settings.output or default_output(settings)
    record = output / "folds.json"
    if resume:
        if odd := settings.model_fields_set - {"output"} - ({"files"} if not settings.files else set()):
            raise XinyeError(f"--resume goes on with the settings of the cross-validation: leave {min(odd)} out")
        settings = saved(output, folds)
    else:
        if not is_new(output, "folds.json", "cross-validation") and not overwrite:
            raise XinyeError(f"{output}: exists already; go on with it with --resume, or replace it with --overwrite")
        planned = rehearse(settings.model_copy(update={"fold": f"1/{folds}"}), watcher)
        shutil.rmtree(output, ignore_errors=True)
        planned.text.tokenizer.save(output / "tokenizer")
        settings = settings.model_copy(update={**NO_BUDGET, "steps": planned.values["steps"], "vocab_size": None})
        write_json(
            record,
            {"count": folds, "settings": settings.model_dump(mode="json", exclude_defaults=True, exclude={"output"})},
        )
    figures: list[dict[str, Any]] = []
    for number in range(1, folds + 1):
        watcher.stage(f"fold {number} of {folds}")
        own = {"fold": f"{number}/{folds}", "output": output / f"fold-{number}", "tokenizer": str(output / "tokenizer")}
        figure = train_fold(settings.model_copy(update=own), watcher)
        if figure is None:
            return None
        figures.append({"fold": number, **figure})
        on_fold(figures[-1])
    result = {
        "run": str(output),
        "folds": figures,
        **{name: spread(figures, name) for name in ("bits_per_byte", "loss")},
    }
    write_json(record, read_json(record) | result)
    return result


def train_fold(settings: PretrainSettings, watcher: Watcher) -> dict[str, Any] | None:
    """The figures of one fold: trained now, gone on with, or finished before. None when interrupted."""
    assert settings.output is not None
    path = settings.output / "training" / "result.json"
    if path.is_file() and not read_json(path)["interrupted"]:
        figures = read_json(path)
    else:
        begun = bool(checkpoints(settings.output))
        run = pretrain(settings, Passing(watcher), overwrite=not begun, resume=begun)
        assert run is not None
        figures = asdict(run)
    return (
        None if figures["interrupted"] else {name: figures[name] for name in ("run", "steps", "seconds", "validation")}
    )


def spread(figures: list[dict[str, Any]], name: str) -> dict[str, float]:
    values = [figure["validation"][name] for figure in figures]
    return {"mean": round(statistics.mean(values), 5), "standard_deviation": round(statistics.stdev(values), 5)}


def saved(output: Path, folds: int) -> PretrainSettings:
    path = output / "folds.json"
    if not path.is_file():
        raise XinyeError(f"{output}: there is no cross-validation to resume")
    try:
        begun = read_json(path)
        count, values = int(begun["count"]), {**begun["settings"], "output": output}
    except (KeyError, TypeError, ValueError, XinyeError) as error:
        raise XinyeError(f"{path}: damaged ({error}); start anew with --overwrite", exit_code=1) from None
    if count != folds:
        raise XinyeError(f"{output}: was begun with --folds {count}; go on with that")
    return checked(PretrainSettings, values, str(path))
