"""Alarms: whether a subject, a topic or a company, has more documents than its past lets expect.

The expected number of an hour is a product of three factors, each shrunk towards no effect where
there is little to learn from: the level of the last days, the hour of the day, and the hour of the
week. A count is compared with a negative binomial of that mean, whose dispersion comes from how far
such forecasts of the past were off. Both halves are usual in the surveillance of diseases:

- Farrington, Andrews, Beale and Catchpole 1996, "A statistical algorithm for the early detection of
  outbreaks of infectious disease": the same time of the past, neighbours included, with old
  outbreaks given less weight.
- Noufaily, Enki, Farrington, Garthwaite, Andrews and Charlett 2013, "An improved algorithm for
  outbreak detection in multiple surveillance systems": the negative binomial for the threshold, and
  less weight only for what lies far out.

Hours are those of UTC, counted since 1970. Nothing here reads a clock or a store.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import betainc

from xinye.apps.monitor.documents import HOUR

DAY, WEEK = 24, 168  # hours
WINDOWS = (1, 2, 4)  # hours that are judged together, the running one is their last
LOOKS = 4  # times an hour that a running hour is judged
HALF_LIFE = 3.0  # days until a day's weight for the level is halved
PRIOR_SHAPE, PRIOR_HOURS = 0.5, 0.1  # of the level: five documents an hour, or almost anything
PRIOR_FACTOR = 10.0  # expected documents that draw a factor half the way to 1
PRIOR_DISPERSION, PRIOR_SQUARES = 0.1, 50.0
WORST = 2  # days
OUTLIER = 4.0  # standard deviations above which a count of the past is cut

Array = np.ndarray[Any, np.dtype[np.float64]]


class AlarmSettings(BaseModel):
    """What a person decides about alarms. `false_alarms` are those wanted in a week, of all
    subjects together; `least` is the number of documents below which nothing is an alarm."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms: float = Field(0.05, gt=0, le=100)
    least: int = Field(5, ge=1)
    cool_down_hours: float = Field(24, ge=0)
    history_days: int = Field(28, ge=7, le=366)

    def threshold(self, subjects: int) -> float:
        """The probability below which a judgement is an alarm, where so many subjects are judged:
        the false alarms wanted, divided by the judgements of a week (Bonferroni)."""
        return self.false_alarms / (max(subjects, 1) * WEEK * LOOKS * len(WINDOWS))


@dataclass(frozen=True)
class Series:
    """The documents of a subject by hour, those without documents left out, and the hour since
    which they are counted. Hours before that are unknown, later ones had none."""

    counts: Mapping[int, int]
    since: int


@dataclass(frozen=True)
class Judgement:
    """`observed` documents from the hour `since` to the hour `hour`, beside those expected, the
    `probability` of at least so many, and the `days` of the past that this rests on."""

    observed: int
    expected: float
    probability: float
    hour: int
    since: int
    days: float


def is_alarm(judgement: Judgement, settings: AlarmSettings, subjects: int) -> bool:
    """Whether a judgement is an alarm, where so many subjects are judged."""
    return judgement.observed >= settings.least and judgement.probability < settings.threshold(
        subjects
    )


def judge(series: Sequence[Series], at: float, settings: AlarmSettings) -> list[Judgement]:
    """The judgement of each series at a time in seconds since 1970, of the window that is least
    likely. Documents of later hours are left out. Documents that come late are judged with the
    end of their hour as the time."""
    hour = int(at // HOUR)
    days = settings.history_days
    first = hour + 1 - max(WINDOWS) - days * DAY
    table = np.zeros((len(series), hour + 1 - first))
    for row, each in enumerate(series):
        for when, count in each.counts.items():
            if first <= when <= hour:
                table[row, when - first] = count
    since = np.array([each.since - first for each in series])
    return judge_table(table, since, at)


def judge_table(table: Array, since: Array, at: float) -> list[Judgement]:
    hour = int(at // HOUR)
    elapsed = math.floor((at / HOUR - hour) * LOOKS + 1) / LOOKS
    longest = max(WINDOWS)
    past, recent = table[:, :-longest], table[:, -longest:]
    known = np.arange(past.shape[1]) >= since[:, None]
    mean, dispersion = forecast(past, known, hour + 1 - table.shape[1])
    observed, expected, p, window = least_likely(recent, mean, dispersion, elapsed)
    return [
        Judgement(int(o), float(e), float(p), hour, hour + 1 - int(w), float(d) / DAY)
        for o, e, p, w, d in zip(observed, expected, p, window, known.sum(1), strict=True)
    ]


def least_likely(recent: Array, mean: Array, dispersion: Array, elapsed: float) -> Array:
    """Observed, expected, probability and length [4, series] of the least likely window."""
    mean = mean.copy()
    mean[:, -1] *= elapsed
    best = None
    for window in WINDOWS:
        observed = recent[:, -window:].sum(1)
        expected = mean[:, -window:].sum(1)
        p = tail(observed, expected, dispersion)
        rows = np.stack([observed, expected, p, np.full(len(p), float(window))])
        best = rows if best is None else np.where(rows[2] < best[2], rows, best)
    assert best is not None
    return best


def by_day(hours: Array) -> Array:
    """The sums of 24 hours each."""
    return hours.reshape(len(hours), -1, DAY).sum(2)


def tail(observed: Array, expected: Array, dispersion: Array) -> Array:
    """The probability of at least so many under a negative binomial with these means and
    dispersions (variance = mean + dispersion · mean²)."""
    size = 1 / dispersion
    p = betainc(np.maximum(observed, 1), size, expected / (expected + size))
    return np.where(observed > 0, p, 1.0)


def forecast(past: Array, known: Array, first: int) -> tuple[Array, Array]:
    """The means of the hours after `past` [series, longest window] and their dispersion
    [series]. `first` is the first hour of the past."""
    longest = max(WINDOWS)
    hours = first + np.arange(past.shape[1] + longest)
    counts = past * known
    for _ in range(2):
        shape = rhythm(counts, known, hours)
        mean, certainty = level(counts, known * shape[:, :-longest], shape)
        limit = mean + OUTLIER * np.sqrt(mean + PRIOR_DISPERSION * 2 * mean**2) + 2
        counts = np.minimum(past * known, limit[:, :-longest])
    before = mean[:, :-longest]
    squares = by_day(known * before**2)[:, 1:]
    errors = by_day(known * ((past - before) ** 2 - before))[:, 1:]
    kept = np.argsort(errors, axis=1)[:, :-WORST] if WORST else np.argsort(errors, axis=1)
    errors = np.take_along_axis(errors, kept, 1).sum(1)
    squares = np.take_along_axis(squares, kept, 1).sum(1)
    dispersion = (errors + PRIOR_DISPERSION * PRIOR_SQUARES) / (squares + PRIOR_SQUARES)
    return mean[:, -longest:], np.maximum(dispersion, 0.01) + 1 / certainty


def rhythm(counts: Array, known: Array, hours: Array) -> Array:
    """The factor of each hour: of the day, times of the week."""
    n = counts.shape[1]
    base = known * (counts.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1))
    daily = factor(counts, base, hours % DAY, DAY, 1)
    shape = daily[:, hours % DAY]
    weekly = factor(counts, base * shape[:, :n], hours % WEEK, WEEK, 3)
    return shape * weekly[:, hours % WEEK]


def factor(counts: Array, expected: Array, slots: Array, size: int, reach: int) -> Array:
    n = counts.shape[1]
    one = np.eye(size)[slots[:n]]
    near = sum(np.roll(one, shift, axis=1) for shift in range(-reach, reach + 1))
    return (counts @ near + PRIOR_FACTOR) / (expected @ near + PRIOR_FACTOR)


def level(counts: Array, base: Array, shape: Array) -> tuple[Array, Array]:
    """Mean of each hour from the days before it."""
    series, n = counts.shape
    days = n // DAY
    age = np.arange(days + 1)[None, :] - np.arange(days)[:, None]
    weights = np.where(age > 0, 0.5 ** ((age - 1) / HALF_LIFE), 0.0)
    gained = counts.reshape(series, days, DAY).sum(2) @ weights + PRIOR_SHAPE
    spent = base.reshape(series, days, DAY).sum(2) @ weights + PRIOR_HOURS
    levels = np.repeat(gained / spent, DAY, axis=1)[:, : shape.shape[1]]
    return levels * shape, gained[:, -1]
