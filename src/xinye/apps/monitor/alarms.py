"""Alarms: whether a subject, a topic or a company, has more documents than its past lets expect.

The expected number of an hour is the product of a level, which the last days decide, of a factor
of the hour of the day, and of a factor of the hour of the week. Both factors are shrunk towards 1
where there are few documents or hours to learn them from. A count is compared with a negative
binomial distribution of that mean, whose dispersion tells how far such forecasts were off in the
past.

Both parts are usual in the surveillance of diseases:

- Farrington, Andrews, Beale and Catchpole 1996, "A statistical algorithm for the early detection
  of outbreaks of infectious disease": the same time of the past with its neighbours, and past
  outbreaks that count for less, so that they do not hide new ones.
- Noufaily, Enki, Farrington, Garthwaite, Andrews and Charlett 2013, "An improved algorithm for
  outbreak detection in multiple surveillance systems": the negative binomial distribution, and
  nothing of the past counts for less unless it is far out.

Hours are those of UTC, counted since 1970. Nothing here reads a clock or a store.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import betainc

from xinye.apps.monitor.documents import HOUR

DAY_HOURS, WEEK_HOURS = 24, 168
WINDOWS = (1, 2, 4)  # hours that are judged together; they divide a day
LONGEST = max(WINDOWS)
LOOKS = 4  # times that an hour is judged while it runs
HALF_LIFE = 3.0  # days after which a day counts half as much for the level
PRIOR_DOCUMENTS, PRIOR_HOURS = 0.5, 0.1  # of the level before any hour is known: almost anything
FACTOR_DOCUMENTS, FACTOR_HOURS = 10.0, 4.0  # so much speaks for a factor of 1
PRIOR_DISPERSION, PRIOR_SQUARES = 0.1, 50.0
LEAST_DISPERSION = 0.05  # the level of a day moves by a fifth without a reason
FEW_DAYS = 2.0  # dispersion of a rhythm of which no day is known; by the squared days less
FAR_OUT = 4.0  # standard deviations above its forecast at which a count of the past is cut
AT_ONCE = 256  # series whose tables are in memory together

Array = np.ndarray[Any, np.dtype[Any]]


class AlarmSettings(BaseModel):
    """What a person decides about alarms: how many `false_alarms` a week are acceptable, of all
    subjects together, and that fewer than `least` documents are never one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    false_alarms: float = Field(0.05, gt=0, le=100)
    least: int = Field(5, ge=1, le=1_000_000)
    cool_down_hours: float = Field(24, gt=0, allow_inf_nan=False)
    history_days: int = Field(28, ge=7, le=366)

    def threshold(self, subjects: int) -> float:
        """The probability below which a judgement is an alarm if so many subjects are judged: the
        false alarms of a week, shared by all judgements of a week (Bonferroni's correction)."""
        return self.false_alarms / (max(subjects, 1) * WEEK_HOURS * LOOKS * len(WINDOWS))


@dataclass(frozen=True)
class Series:
    """The documents of a subject by hour, and the first hour in which they were counted. An hour
    without an entry had no documents; nothing is known of the hours before `since`, and of those
    in which the monitor was `off`."""

    counts: Mapping[int, int]
    since: int
    off: Collection[int] = ()


@dataclass(frozen=True)
class Judgement:
    """Documents `observed` from the beginning of hour `since` until now, in hour `hour`, beside
    those `expected`; the `probability` of at least so many; and the `days` of the past that are
    known. Few days make a wide distribution, so that only a large count is an alarm."""

    observed: int
    expected: float
    probability: float
    hour: int
    since: int
    days: float


def is_alarm(judgement: Judgement, settings: AlarmSettings, subjects: int) -> bool:
    """Whether a judgement is an alarm if so many subjects are judged, this one included."""
    likely = judgement.probability >= settings.threshold(subjects)
    return judgement.observed >= settings.least and not likely


def judge(series: Sequence[Series], at: float, settings: AlarmSettings) -> list[Judgement]:
    """The judgement of each series at a time in seconds since 1970: that of the window, ending
    then, whose documents are the least likely.

    The hour that runs is expected to have its share of documents until the end of the present
    quarter, so that its four quarters are four judgements, however often it is judged. Documents of
    later hours are not looked at. Judge documents that come late at the last second of their hour.
    """
    hour = int(at // HOUR)
    elapsed = (math.floor((at / HOUR - hour) * LOOKS) + 1) / LOOKS
    start = hour + 1 - LONGEST - settings.history_days * DAY_HOURS
    result: list[Judgement] = []
    for first in range(0, len(series), AT_ONCE):
        some = series[first : first + AT_ONCE]
        past, recent = np.hsplit(_table(some, start, hour), [-LONGEST])
        hours = start + np.arange(past.shape[1])
        known = np.stack([(hours >= each.since) & ~np.isin(hours, [*each.off]) for each in some])
        likelihoods = least_likely(recent, *forecast(past, known, start), elapsed, settings.least)
        result += [
            Judgement(int(observed), float(mean), float(p), hour, hour + 1 - int(window), days)
            for (observed, mean, p, window), days in zip(
                likelihoods.T, (known.sum(1) / DAY_HOURS).tolist(), strict=True
            )
        ]
    return result


def _table(series: Sequence[Series], start: int, end: int) -> Array:
    """[series, hours from start to end] documents."""
    table = np.zeros((len(series), end + 1 - start))
    for row, each in enumerate(series):
        for hour, count in each.counts.items():
            if start <= hour <= end:
                table[row, hour - start] = count
    return table


def least_likely(
    recent: Array, means: Array, dispersions: Array, elapsed: float, least: int
) -> Array:
    """[4, series]: observed, expected, probability, and hours of the window that is the least
    likely, one with the `least` documents if there is one.

    Documents and means are [series, LONGEST], and the share `elapsed` of the last hour is over;
    dispersions are [windows, series].
    """
    means = means.copy()
    means[:, -1] *= elapsed
    rows = []
    for window, dispersion in zip(WINDOWS, dispersions, strict=True):
        observed = recent[:, -window:].sum(1)
        expected = means[:, -window:].sum(1)
        probability = tail(observed, expected, dispersion)
        rows.append([observed, expected, probability, np.full(len(recent), window)])
    stacked = np.array(rows, dtype=np.float64)
    order = stacked[:, 2] + (stacked[:, 0] < least)  # a probability is 1 at most
    chosen: Array = np.take_along_axis(stacked, order.argmin(0)[None, None], 0)[0]
    return chosen


def tail(observed: Array, expected: Array, dispersion: Array) -> Array:
    """The probabilities of at least so many documents under negative binomial distributions, whose
    variance is mean + dispersion · mean²."""
    size = 1 / dispersion
    probability = betainc(np.maximum(observed, 1), size, expected / (expected + size))
    return np.where(observed > 0, probability, 1.0)


# -- the forecast ----------------------------------------------------------------------------------


def forecast(past: Array, known: Array, start: int) -> tuple[Array, Array]:
    """Means [series, LONGEST] of the hours after the past, and dispersions [windows, series].

    `past` [series, whole days of hours] are documents by hour, `known` tells which hours were
    counted, and `start` is the first hour.
    """
    hours = start + np.arange(past.shape[1] + LONGEST)
    past = past * known
    seen = _blocks(known, DAY_HOURS)[:, :, 0] == DAY_HOURS
    seen[:, 1:] &= seen[:, :-1]  # the day before is known, so that there is a forecast
    seen[:, 0] = False
    forecasted = np.repeat(seen, DAY_HOURS, axis=1)
    counts = past
    for weekly in (False, True):  # the second time without what is far out of the first forecast
        shape = _rhythm(counts, known, hours, weekly)
        levels, documents = _levels(counts, shape[:, :-LONGEST] * known)
        means = np.repeat(levels, DAY_HOURS, axis=1)[:, : shape.shape[1]] * shape
        before = means[:, :-LONGEST]
        spread = np.sqrt(before + 2 * PRIOR_DISPERSION * before**2)
        counts = np.where(forecasted, np.minimum(past, before + FAR_OUT * spread + 2), past)
    # A window can end with an hour that has just begun; then it is little longer than the one of
    # half its length, whose dispersion is the larger.
    dispersions = [_dispersion(past, before, seen, max(window // 2, 1)) for window in WINDOWS]
    unsure = 1 / documents + FEW_DAYS / (1 + known.sum(1) / DAY_HOURS) ** 2
    return means[:, -LONGEST:], np.stack(dispersions) + unsure


def _rhythm(counts: Array, known: Array, hours: Array, weekly: bool) -> Array:
    """[series, hours] factors of the hour of the day, and `weekly` times those of the hour of the
    week, which needs no knowledge of time zones and weekends."""
    rate = counts.sum(1, keepdims=True) / np.maximum(known.sum(1, keepdims=True), 1)
    prior = FACTOR_DOCUMENTS + FACTOR_HOURS * rate
    expected = known * rate
    daily = _factors(counts, expected, hours % DAY_HOURS, 1, prior)
    if not weekly:
        return daily
    expected = expected * daily[:, : counts.shape[1]]
    return daily * _factors(counts, expected, hours % WEEK_HOURS, 3, prior)


def _factors(counts: Array, expected: Array, slots: Array, reach: int, prior: Array) -> Array:
    """[series, hours] how many times as many documents as expected a slot has, with its neighbours
    that far. `prior` documents [series, 1] speak for a factor of 1."""
    own = np.eye(int(slots.max()) + 1)[slots[: counts.shape[1]]]
    near = sum(np.roll(own, shift, axis=1) for shift in range(-reach, reach + 1))
    factors: Array = (counts @ near + prior) / (expected @ near + prior)
    return factors[:, slots]


def _levels(counts: Array, shape: Array) -> tuple[Array, Array]:
    """[series, days + 1] documents an hour, as the days before let expect, the last for now; and
    [series] on how many documents the last rests."""
    days = counts.shape[1] // DAY_HOURS
    age = np.arange(days + 1) - np.arange(days)[:, None]
    weights = np.where(age > 0, 0.5 ** ((age - 1) / HALF_LIFE), 0.0)
    documents = _blocks(counts, DAY_HOURS)[:, :, 0] @ weights + PRIOR_DOCUMENTS
    hours = _blocks(shape, DAY_HOURS)[:, :, 0] @ weights + PRIOR_HOURS
    return documents / hours, documents[:, -1]


def _dispersion(past: Array, means: Array, seen: Array, size: int) -> Array:
    """[series] of so many hours together, by the method of moments from the errors of the forecasts
    of the days that are `seen` [series, days]. If they are more than a week, the worst day, which
    may have had a burst, is left out."""
    counts = _blocks(past, size)
    expected = _blocks(means, size)
    squares = (expected**2).sum(2) * seen
    excess = ((counts - expected) ** 2 - expected).sum(2) * seen
    worst = np.arange(seen.shape[1]) == excess.argmax(1)[:, None]
    kept = ~worst | (seen.sum(1, keepdims=True) <= 7)
    excess = (excess * kept).sum(1) + PRIOR_DISPERSION * PRIOR_SQUARES
    squares = (squares * kept).sum(1) + PRIOR_SQUARES
    least: Array = np.maximum(excess / squares, LEAST_DISPERSION)
    return least


def _blocks(hours: Array, size: int) -> Array:
    """[series, days, blocks of so many hours] sums."""
    return hours.reshape(len(hours), -1, DAY_HOURS // size, size).sum(3)
