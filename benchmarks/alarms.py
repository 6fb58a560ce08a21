"""Alarms of the opinion monitor beside the usual z-score, on counts that are simulated.

    OMP_NUM_THREADS=1 python benchmarks/alarms.py

40 subjects with rhythms of day and week, days that are livelier than others, and hours whose counts
are overdispersed (negative binomial): regular ones, ones with 0.02 to 0.5 documents an hour
("sparse"), ones without documents in six of ten hours ("zeros"), and ones whose level jumps every
other week by up to a factor of 2 ("shifts"). All others have 1 to 30 documents an hour.

False alarms are counted in weeks without a burst; an alarm goes on until a day has passed without
one. Then every subject has one burst of six hours, ×3 and ×6, at any quarter of an hour. It counts
if one document an hour or more is usual then; fewer are listed apart as `sparse`. The delay, in
hours, is the median over all bursts, not over those found. Both methods judge four times an hour
and want five documents at least. `z_score` is (count - mean) / standard deviation of the same hour
of the last 28 days: `at_3`, `at_equal_delay` (the largest whole threshold that finds six-fold
bursts as soon as our alarm) and `at_equal_false_alarms` (the smallest with as few). Prints one JSON
object last.
"""

import argparse
import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from common import machine, progress, report

from xinye.apps.monitor.alarms import (
    DAY,
    LONGEST,
    LOOKS,
    WEEK,
    AlarmSettings,
    Array,
    Series,
    forecast,
    judge,
    least_likely,
)

SETTINGS = AlarmSettings()
PAST = SETTINGS.history_days * DAY + LONGEST  # hours that a judgement needs
BURST = 6  # hours
KINDS = ("regular", "sparse", "zeros", "shifts")


@dataclass(frozen=True)
class World:
    """Subjects' rates [subjects, hours], documents [subjects, hours, quarters], their kinds, and
    the quarter in which each one's burst begins."""

    rates: Array
    documents: Array
    kinds: list[str]
    begins: Array


@dataclass(frozen=True)
class Scores:
    """[times, subjects] how surprising each method finds the documents; the larger, the more."""

    ours: Array  # minus the logarithm of the probability
    z: Array


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weeks", type=int, default=80, help="without a burst")
    parser.add_argument("--worlds", type=int, default=8, help="of 40 bursts each, for each factor")
    options = parser.parse_args()
    facts = machine("numpy", "scipy")
    quiet = simulate(0, options.weeks + 5)
    scores = score(quiet.documents, range(PAST, quiet.rates.shape[1]))
    progress("quiet weeks done")
    bursts = {
        factor: [found(simulate(seed, 6, factor)) for seed in range(1, options.worlds + 1)]
        for factor in (3, 6)
    }
    ours = -math.log(SETTINGS.threshold(len(quiet.kinds)))

    def figures(name: str, threshold: float) -> dict[str, Any]:
        values = getattr(scores, name)
        weeks = len(values) / (WEEK * LOOKS)
        alarms = false_alarms(values >= threshold)
        kinds = {kind: int(alarms[np.array(quiet.kinds) == kind].sum()) for kind in KINDS}
        result = {"threshold": round(threshold, 2), "false_alarms_a_week": alarms.sum() / weeks}
        result |= {f"x{f}": delays(each, name, threshold) for f, each in bursts.items()}
        return result | {"false_alarms_by_kind": kinds}

    alarm = figures("ours", ours)
    usual = [figures("z", float(threshold)) for threshold in range(2, 31)]
    delay = alarm["x6"]["median_delay"]
    soon = [each for each in usual if each["x6"]["median_delay"] <= delay]
    rare = [
        each
        for each in usual
        if each["false_alarms_a_week"] <= max(alarm["false_alarms_a_week"], SETTINGS.false_alarms)
    ]
    report(
        benchmark="alarms",
        weeks=options.weeks,
        alarm=alarm,
        z_score={
            "at_3": usual[1],
            "at_equal_delay": soon[-1] if soon else None,
            "at_equal_false_alarms": rare[0] if rare else None,
        },
        subjects_a_second=speed(),
        machine=facts,
    )


# -- the simulation --------------------------------------------------------------------------------


def simulate(seed: int, weeks: int, factor: float = 1.0) -> World:
    draw = np.random.default_rng(seed)
    kinds = [kind for kind, count in zip(KINDS, (22, 6, 6, 6), strict=True) for _ in range(count)]
    kind = np.array(kinds)
    subjects = len(kinds)
    hours = np.arange(weeks * WEEK)
    level = between(draw, 1, 30, subjects)
    level[kind == "sparse"] = between(draw, 0.02, 0.5, int((kind == "sparse").sum()))
    depth = draw.uniform(0.3, 0.9, (subjects, 1))
    peak = draw.normal(6, 2, (subjects, 1))
    rates = level[:, None] * (1 + depth * np.cos((hours % DAY - peak) * 2 * np.pi / DAY))
    weekend = (hours + 8) // DAY % 7 >= 5  # of a place eight hours east
    rates *= np.where(weekend, draw.uniform(0.3, 1, (subjects, 1)), 1)
    rates *= np.repeat(np.exp(livelier(draw, kind, weeks * 7)), DAY, axis=1)
    rates[(kind == "zeros")[:, None] & (draw.random(rates.shape) < 0.6)] = 0
    boost = np.ones((subjects, len(hours) * LOOKS))
    begins = draw.integers((PAST + 1) * LOOKS, (len(hours) - BURST - 1) * LOOKS, subjects)
    for row, begin in enumerate(begins):
        boost[row, begin : begin + BURST * LOOKS] = factor
    size = 1 / between(draw, 0.02, 0.3, subjects)[:, None]
    drawn = rates * draw.gamma(np.broadcast_to(size, rates.shape)) / size
    documents = draw.poisson(drawn[:, :, None] / LOOKS * boost.reshape(*rates.shape, LOOKS))
    return World(rates, documents, kinds, begins)


def between(draw: np.random.Generator, low: float, high: float, count: int) -> Array:
    values: Array = np.exp(draw.uniform(math.log(low), math.log(high), count))
    return values


def livelier(draw: np.random.Generator, kind: Array, days: int) -> Array:
    """[subjects, days] logarithms of each day's level: days that follow one another are alike."""
    sigma = draw.uniform(0.05, 0.25, len(kind))
    jumps = (draw.random((len(kind), days)) < 1 / 14) & (kind == "shifts")[:, None]
    levels = draw.uniform(-math.log(2) / 2, math.log(2) / 2, (len(kind), days))
    result = np.zeros((len(kind), days))
    mood, level = np.zeros(len(kind)), np.zeros(len(kind))
    for day in range(days):
        mood = 0.7 * mood + math.sqrt(1 - 0.7**2) * sigma * draw.normal(size=len(kind))
        level = np.where(jumps[:, day], levels[:, day], level)
        result[:, day] = mood + level
    return result


# -- both methods ----------------------------------------------------------------------------------


def score(documents: Array, hours: range) -> Scores:
    """Scores of the quarters of these hours."""
    counts = documents.sum(2).astype(float)
    ours, z = [], []
    for hour in hours:
        start = hour + 1 - PAST
        past = counts[:, start : hour + 1 - LONGEST]
        means, dispersions = forecast(past, np.ones_like(past, dtype=bool), start)
        same = counts[:, hour - SETTINGS.history_days * DAY : hour : DAY]
        for look in range(1, LOOKS + 1):
            recent = counts[:, hour + 1 - LONGEST : hour + 1].copy()
            recent[:, -1] = documents[:, hour, :look].sum(1)
            share = look / LOOKS
            observed, _, probability, _ = least_likely(recent, means, dispersions, share)
            surprise = -np.log(np.maximum(probability, 1e-300))
            ours.append(np.where(observed >= SETTINGS.least, surprise, -np.inf))
            deviation = np.maximum(same.std(1, ddof=1) * math.sqrt(share), 0.5)
            distance = (recent[:, -1] - same.mean(1) * share) / deviation
            z.append(np.where(recent[:, -1] >= SETTINGS.least, distance, -np.inf))
    return Scores(np.array(ours), np.array(z))


def found(world: World) -> list[tuple[bool, Scores]]:
    """For each burst whether it is sparse, and the scores of the quarters while it lasts."""
    result = []
    for row, begin in enumerate(world.begins):
        hour = int(begin) // LOOKS
        scores = score(world.documents[row : row + 1], range(hour, hour + BURST + 1))
        during = slice(int(begin) % LOOKS, int(begin) % LOOKS + BURST * LOOKS)
        usual = world.rates[row, hour : hour + BURST].mean()
        result.append((usual < 1, Scores(scores.ours[during, 0], scores.z[during, 0])))
    return result


def delays(worlds: list[list[tuple[bool, Scores]]], name: str, threshold: float) -> dict[str, Any]:
    hours: dict[bool, list[float]] = {True: [], False: []}
    for sparse, scores in (burst for world in worlds for burst in world):
        over = np.flatnonzero(getattr(scores, name) >= threshold)
        hours[sparse].append((over[0] + 1) / LOOKS if len(over) else math.inf)
    usual = np.array(hours[False])
    return {
        "bursts": len(usual),
        "found": round(float(np.isfinite(usual).mean()), 3),
        "median_delay": float(np.median(usual)),
        "sparse": f"{int(np.isfinite(hours[True]).sum())} of {len(hours[True])}",
    }


def false_alarms(over: Array) -> Array:
    """[subjects] alarms: one goes on until a day has passed without another."""
    result = np.zeros(over.shape[1])
    for subject in range(over.shape[1]):
        times = np.flatnonzero(over[:, subject])
        if len(times):
            result[subject] = 1 + (np.diff(times) >= DAY * LOOKS).sum()
    return result


def speed(subjects: int = 2000) -> int:
    """How many subjects with 28 full days `judge` judges in a second."""
    draw = np.random.default_rng(0)
    series = [Series(dict(enumerate(draw.poisson(3, PAST).tolist())), 0) for _ in range(subjects)]
    begin = time.perf_counter()
    judge(series, (PAST - 0.5) * 3600, SETTINGS)
    return round(subjects / (time.perf_counter() - begin))


if __name__ == "__main__":
    main()
