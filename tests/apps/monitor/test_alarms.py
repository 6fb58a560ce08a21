"""Alarms: what is one, what is not, and how sure a judgement is."""

import math

import numpy as np
import pytest

from xinye.apps.monitor.alarms import AlarmSettings, Judgement, Series, is_alarm, judge, tail
from xinye.apps.monitor.documents import HOUR

SETTINGS = AlarmSettings()
SUBJECTS = 50
NOW = 480_012  # a Friday, noon
PAST = 28 * 24 + 8  # hours


def rate(hour: int) -> float:
    """Documents an hour: few at night, and half as many on two days of the week."""
    weekend = hour // 24 % 7 in (2, 3)
    return (6 + 5 * math.sin(hour % 24 / 24 * 2 * math.pi)) * (0.5 if weekend else 1)


def usual(days: int = 28, scale: float = 1.0, seed: int = 0) -> dict[int, int]:
    """Counts of the hours before NOW."""
    draw = np.random.default_rng(seed)
    return {hour: int(draw.poisson(rate(hour) * scale)) for hour in range(NOW - days * 24 - 8, NOW)}


def at(minute: float, hour: int = NOW) -> float:
    return hour * HOUR + minute * 60


def judged(
    counts: dict[int, int], when: float = at(59), since: int = NOW - PAST, **settings: int
) -> Judgement:
    return judge([Series(counts, since)], when, AlarmSettings(**settings))[0]


def alarms(judgement: Judgement) -> bool:
    return is_alarm(judgement, SETTINGS, SUBJECTS)


def test_a_burst_is_found_before_its_hour_is_over() -> None:
    burst = judged(usual() | {NOW: 20}, at(29))
    assert alarms(burst)
    assert (burst.observed, burst.hour, burst.since) == (20, NOW, NOW)
    assert burst.expected == pytest.approx(rate(NOW) / 2, rel=0.3)
    assert not alarms(judged(usual() | {NOW: 20}, at(59)))


def test_hours_that_are_high_together_are_an_alarm_although_none_alone_is() -> None:
    counts = usual()
    last = {NOW - back: round(3.5 * rate(NOW - back)) for back in range(4)}
    together = judged(counts | last)
    assert alarms(together) and together.since < NOW
    assert not any(alarms(judged(counts | {hour: last[hour]}, at(59, hour))) for hour in last)


def test_a_quiet_week_has_no_alarm() -> None:
    counts = usual(days=36)
    for hour in range(NOW - 168, NOW):
        assert not alarms(judged(counts, at(59, hour), NOW - 1000))


@pytest.mark.parametrize("back", [0, 6, 12, 18, 24, 36, 48, 54, 66])
def test_hours_of_the_day_and_days_of_the_week_have_their_own_expectation(back: int) -> None:
    judgement = judged(usual(days=40, scale=20), at(59, NOW - back), NOW - 960)
    hours = range(judgement.since, judgement.hour + 1)
    assert judgement.expected == pytest.approx(20 * sum(map(rate, hours)), rel=0.15)


def test_nothing_is_an_alarm_below_the_least_number() -> None:
    assert not alarms(judged({NOW: 4}))
    assert alarms(judged({NOW: 8}))  # nobody has seen this topic in four weeks
    assert alarms(judged({NOW: 4, NOW - 3: 1}))  # although four in an hour are rarer


def test_without_a_past_only_a_large_count_is_an_alarm() -> None:
    new = judged({NOW: 40}, since=NOW)
    assert not alarms(new) and new.days == 0
    assert alarms(judged({NOW: 400}, since=NOW))


def test_the_longer_the_past_the_surer_the_judgement() -> None:
    probabilities = []
    for days in (1, 3, 28):
        judgement = judged(usual() | {NOW: 30}, since=NOW - days * 24 - 3)
        probabilities.append(judgement.probability)
        assert judgement.days == days
    assert probabilities == sorted(probabilities, reverse=True)


@pytest.mark.parametrize("days_ago", [1, 7])
def test_an_old_burst_does_not_hide_a_new_one(days_ago: int) -> None:
    counts = usual()
    clean = judged(counts | {NOW: 42})
    for hour in range(NOW - days_ago * 24 - 2, NOW - days_ago * 24 + 4):
        counts[hour] = round(10 * rate(hour))
    hidden = judged(counts | {NOW: 42})
    assert alarms(clean) and alarms(hidden)
    assert hidden.expected < 1.6 * clean.expected


def test_what_lies_after_now_is_not_looked_at() -> None:
    """A clock that went back, and documents that come late."""
    counts = usual()
    assert judged(counts | {NOW + 1: 999, NOW + 30: 999}) == judged(counts)
    late = counts | {NOW - 9: 60}
    assert alarms(judged(late, at(59.9, NOW - 9)))
    assert judged(counts, when=1000.0).days == 0  # a clock that starts at 1970


def test_many_are_judged_as_each_alone() -> None:
    many = [Series(usual(scale=scale / 100, seed=scale), NOW - PAST) for scale in range(300)]
    together = judge(many, at(20), SETTINGS)
    for number in (0, 1, 255, 256, 299):
        alone = judge([many[number]], at(20), SETTINGS)[0]
        assert together[number].probability == pytest.approx(alone.probability)
    assert judge([], at(20), SETTINGS) == []


def test_the_wanted_false_alarms_are_shared_by_all_judgements() -> None:
    assert SETTINGS.threshold(10) == pytest.approx(SETTINGS.threshold(1) / 10)
    assert AlarmSettings(false_alarms=0.5).threshold(1) == pytest.approx(10 * SETTINGS.threshold(1))


def test_the_tail_is_the_sum_of_the_negative_binomial() -> None:
    mean, dispersion = 4.0, 0.3
    size = 1 / dispersion
    below = sum(
        math.exp(
            math.lgamma(size + count)
            - math.lgamma(size)
            - math.lgamma(count + 1)
            + size * math.log(size / (size + mean))
            + count * math.log(mean / (size + mean))
        )
        for count in range(9)
    )
    found = tail(np.array([9.0, 0.0]), np.array([mean, mean]), np.array([dispersion, dispersion]))
    assert found == pytest.approx([1 - below, 1])
