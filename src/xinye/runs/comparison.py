"""Compares runs: the settings and results in which they differ, and their curves."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Literal

import numpy as np

from xinye.evaluation.plots import Line, line
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import Values
from xinye.runs.saved import SavedRun


def differences(runs: Sequence[SavedRun]) -> dict[str, list[Any]]:
    """The settings, derived values and results that differ between the runs, by name, with the
    value of each run."""
    asked = {name for run in runs for name in run.settings.as_read()}
    settings = [usual(run, asked) | run.settings.as_read() for run in runs]
    plans = [run.plan.as_read() for run in runs]
    results = [
        {
            "state": run.state,
            "steps_taken": run.done,
            "trained_tokens": run.tokens,
            "seconds": round(run.seconds, 2),
            "tokens_per_second": run.result.tokens_per_second,
            "bits_per_byte": run.bits_per_byte,
            **measured(run),
        }
        for run in runs
    ]
    values = [
        {**one, **plan, **result}
        for one, plan, result in zip(settings, plans, results, strict=True)
    ]
    names = dict.fromkeys(name for part in (*settings, *plans, *results) for name in part)
    each = {name: [one.get(name) for one in values] for name in names}
    return {name: ones for name, ones in each.items() if any(one != ones[0] for one in ones)}


def measured(run: SavedRun) -> dict[str, float]:
    """The figures of a task, such as the accuracy, without its tables."""
    figures = run.result.measured or {}
    return {name: round(value, 4) for name, value in figures.items() if isinstance(value, float)}


def usual(run: SavedRun, names: Collection[str]) -> Values:
    """The defaults of the settings with these names, which a run's folder does not keep."""
    kind = FinetuneSettings if run.about.recipe == FinetuneSettings.recipe else PretrainSettings
    fields = {each.alias or name: each.default for name, each in kind.model_fields.items()}
    return {name: fields[name] for name in names if fields.get(name)}


def curves(
    runs: Sequence[SavedRun], over: Literal["steps", "tokens", "seconds"]
) -> dict[str, Line]:
    """Bits per byte on validation text over steps, tokens or seconds, for each run by its
    folder."""
    return {str(run.folder): _curve(run, over) for run in runs}


def _curve(run: SavedRun, over: str) -> Line:
    # a classifier has no bits per byte
    points = [record for record in run.curve if "bits_per_byte" in record]
    where, bits = line(points, "seconds" if over == "seconds" else "step", "bits_per_byte")
    if over == "tokens" and run.steps:
        taken, tokens = line(run.steps, "step", "tokens")
        where = np.interp(where, taken, np.cumsum(tokens)).tolist()
    return where, bits


def at(line: Line, x: float) -> float | None:
    """The height of a curve at x, interpolated linearly; None outside the curve."""
    if not line[0] or not line[0][0] <= x <= line[0][-1] * (1 + 1e-9):
        return None
    return float(np.interp(x, *line))


def matching_points(lines: Iterable[Line]) -> list[float]:
    """Five to twelve round numbers up to the end of the longest curve, at which to compare them."""
    end = max((line[0][-1] for line in lines if line[0]), default=0.0)
    if not end:
        return []
    decade = 10.0 ** math.floor(math.log10(end))
    step = next(step for step in (decade / 10, decade / 5, decade / 2, decade) if end / step <= 12)
    return [step * number for number in range(1, int(end / step) + 1)]


def remarks(runs: Sequence[SavedRun]) -> list[str]:
    """Warnings that the figures of these runs are hard to compare."""
    said = []
    if len({run.about.text or str(run.files[:1]) for run in runs}) > 1:
        said.append(
            "the runs have different texts, so they were evaluated on different validation texts"
        )
    elif len({run.curve[-1].get("bytes") for run in runs if run.curve}) > 1:
        said.append(
            "during training, the runs were evaluated on different amounts of validation text; "
            "compare the final figures instead"
        )
    return said
