"""Alarms of the opinion monitor beside the usual z-score, on counts that are simulated.

    OMP_NUM_THREADS=1 python benchmarks/alarms.py

40 subjects with rhythms of day and week, days that are livelier than others, and hours whose counts
are overdispersed (negative binomial): regular ones, ones with 0.02 to 0.5 documents an hour
("sparse"), ones without documents in six of ten hours ("zeros"), and ones whose level jumps every
other week by up to a factor of 2 ("shifts"). All others have 1 to 30 documents an hour.

False alarms are counted in weeks without a burst, four times with other subjects; an alarm goes on until a day has passed without
one. Then every subject has one burst of six hours, ×3 and ×6, at any quarter of an hour. It counts
if one document an hour or more is usual then; fewer are listed apart as `rare`. The delay, in
hours, is the median over all bursts, not over those found; null if fewer than half are. Both methods judge four times an hour
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
    DAY_HOURS,
    LONGEST,
    LOOKS,
    WEEK_HOURS,
    AlarmSettings,
    Array,
    Series,
    forecast,
    judge,
    least_likely,
)

SETTINGS = AlarmSettings()
PAST = SETTINGS.history_days * DAY_HOURS + LONGEST  # hours that a judgement needs
BURST = 6  # hours
KINDS = {"regular": 22, "sparse": 6, "zeros": 6, "shifts": 6}  # subjects
KIND = np.repeat(list(KINDS), list(KINDS.values()))


@dataclass(frozen=True)
class World:
    """Rates [subjects, hours] without the bursts, documents [subjects, hours, quarters], and the
    quarters [subjects] in which the bursts begin."""

    rates: Array
    documents: Array
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
    parser.add_argument("--weeks", type=int, default=40, help="without a burst")
    parser.add_argument("--worlds", type=int, default=8, help="of 40 bursts each, for each factor")
    options = parser.parse_args()
    facts = machine("numpy", "scipy")
    quiet = []
    for seed in range(100, 104):
        world = simulate(seed, options.weeks + PAST // WEEK_HOURS + 1)
        quiet.append(score(world.documents, range(PAST, PAST + options.weeks * WEEK_HOURS)))
        progress(f"quiet world {seed}")
    bursts = {
        factor: [
            burst
            for seed in range(1, options.worlds + 1)
            for burst in score_bursts(simulate(seed, 6, factor))
        ]
        for factor in (3, 6)
    }
    ours = -math.log(SETTINGS.threshold(len(KIND)))

    def figures(name: str, threshold: float) -> dict[str, Any]:
        alarms = sum(false_alarms(getattr(each, name) >= threshold) for each in quiet)
        rate = float(np.sum(alarms)) / options.weeks / len(quiet)
        by_kind = {kind: int(np.sum(alarms * (kind == KIND))) for kind in KINDS}
        return {
            "threshold": round(threshold, 2),
            "false_alarms_a_week": round(rate, 3),
            "false_alarms_by_kind": by_kind,
            **{f"x{factor}": delays(each, name, threshold) for factor, each in bursts.items()},
        }

    alarm = figures("ours", ours)
    usual = [figures("z", float(threshold)) for threshold in range(2, 31)]
    delay = alarm["x6"]["median_delay"]
    soon = [each for each in usual if (each["x6"]["median_delay"] or BURST) <= (delay or BURST)]
    rare = [
        each
        for each in usual
        if each["false_alarms_a_week"] <= max(alarm["false_alarms_a_week"], SETTINGS.false_alarms)
    ]
    report(
        benchmark="alarms",
        weeks=options.weeks * len(quiet),
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
    subjects = len(KIND)
    hours = np.arange(weeks * WEEK_HOURS)
    level = between(draw, 1, 30, subjects)
    level[KIND == "sparse"] = between(draw, 0.02, 0.5, int((KIND == "sparse").sum()))
    depth = draw.uniform(0.3, 0.9, (subjects, 1))
    peak = draw.normal(6, 2, (subjects, 1))
    rates = level[:, None] * (
        1 + depth * np.cos((hours % DAY_HOURS - peak) * 2 * np.pi / DAY_HOURS)
    )
    weekend = (hours + 8) // DAY_HOURS % 7 >= 5  # of a place eight hours east
    rates *= np.where(weekend, draw.uniform(0.3, 1, (subjects, 1)), 1)
    rates *= np.repeat(np.exp(livelier(draw, weeks * 7)), DAY_HOURS, axis=1)
    rates[(KIND == "zeros")[:, None] & (draw.random(rates.shape) < 0.6)] = 0
    boost = np.ones((subjects, len(hours) * LOOKS))
    begins = draw.integers((PAST + 1) * LOOKS, (len(hours) - BURST - 1) * LOOKS, subjects)
    for row, begin in enumerate(begins):
        boost[row, begin : begin + BURST * LOOKS] = factor
    size = 1 / between(draw, 0.02, 0.3, subjects)[:, None]
    drawn = rates * draw.gamma(np.broadcast_to(size, rates.shape)) / size
    documents = draw.poisson(drawn[:, :, None] / LOOKS * boost.reshape(*rates.shape, LOOKS))
    return World(rates, documents, begins)


def between(draw: np.random.Generator, low: float, high: float, count: int) -> Array:
    values: Array = np.exp(draw.uniform(math.log(low), math.log(high), count))
    return values


def livelier(draw: np.random.Generator, days: int) -> Array:
    """[subjects, days] logarithms of each day's level: days that follow one another are alike."""
    sigma = draw.uniform(0.05, 0.25, len(KIND))
    jumps = (draw.random((len(KIND), days)) < 1 / 14) & (KIND == "shifts")[:, None]
    levels = draw.uniform(-math.log(2) / 2, math.log(2) / 2, (len(KIND), days))
    result = np.zeros((len(KIND), days))
    mood, level = np.zeros(len(KIND)), np.zeros(len(KIND))
    for day in range(days):
        mood = 0.7 * mood + math.sqrt(1 - 0.7**2) * sigma * draw.normal(size=len(KIND))
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
        same = counts[:, hour - SETTINGS.history_days * DAY_HOURS : hour : DAY_HOURS]
        for look in range(1, LOOKS + 1):
            recent = counts[:, hour + 1 - LONGEST : hour + 1].copy()
            recent[:, -1] = documents[:, hour, :look].sum(1)
            share = look / LOOKS
            observed, _, probability, _ = least_likely(
                recent, means, dispersions, share, SETTINGS.least
            )
            surprise = -np.log(np.maximum(probability, 1e-300))
            ours.append(np.where(observed >= SETTINGS.least, surprise, -np.inf))
            deviation = np.maximum(same.std(1, ddof=1) * math.sqrt(share), 0.5)
            distance = (recent[:, -1] - same.mean(1) * share) / deviation
            z.append(np.where(recent[:, -1] >= SETTINGS.least, distance, -np.inf))
    return Scores(np.array(ours), np.array(z))


@dataclass(frozen=True)
class Burst:
    """A planted burst: its subject's kind, whether fewer than one document an hour is usual then,
    and the scores of the quarters while it lasts."""

    kind: str
    rare: bool
    scores: Scores


def score_bursts(world: World) -> list[Burst]:
    result = []
    for row, begin in enumerate(world.begins.tolist()):
        hour, quarter = divmod(begin, LOOKS)
        scores = score(world.documents[row : row + 1], range(hour, hour + BURST + 1))
        during = slice(quarter, quarter + BURST * LOOKS)
        rare = world.rates[row, hour : hour + BURST].mean() < 1
        during_burst = Scores(scores.ours[during, 0], scores.z[during, 0])
        result.append(Burst(str(KIND[row]), bool(rare), during_burst))
    return result


def delays(bursts: list[Burst], name: str, threshold: float) -> dict[str, Any]:
    hours: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "rare")}
    for burst in bursts:
        over = np.flatnonzero(getattr(burst.scores, name) >= threshold)
        delay = (over[0] + 1) / LOOKS if len(over) else math.inf
        hours["rare" if burst.rare else burst.kind].append(delay)
    usual = np.array([delay for kind in KINDS for delay in hours[kind]])
    median = float(np.median(usual))
    return {
        "found": round(float(np.isfinite(usual).mean()), 3),
        "median_delay": median if math.isfinite(median) else None,
        **{kind: f"{int(np.isfinite(each).sum())} of {len(each)}" for kind, each in hours.items()},
    }


def false_alarms(over: Array) -> Array:
    """[subjects] alarms: one goes on until a day has passed without another."""
    result = np.zeros(over.shape[1])
    for subject in range(over.shape[1]):
        times = np.flatnonzero(over[:, subject])
        if len(times):
            result[subject] = 1 + (np.diff(times) >= DAY_HOURS * LOOKS).sum()
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
