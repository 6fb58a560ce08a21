"""The rate goes up and down as drawn, and a clock moves the end, never the rate: it goes on from
where it was."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.training import clock
from xinye.training.clock import Clock, Costs
from xinye.training.schedule import Schedule

SHAPES = ("wsd", "cosine")


class Time:
    """A clock that goes only when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "now", lambda: self.now)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    return Time(monkeypatch)


@pytest.mark.parametrize("steps", [1, 7, 1000])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_rate_warms_up_and_goes_down_to_nearly_nothing(shape: str, steps: int) -> None:
    warmup = steps // 10
    schedule = Schedule([(0, steps)], warmup, shape, 0.4)  # type: ignore[arg-type]
    factors = [schedule.rate(step) for step in range(schedule.steps)]
    assert len(factors) == steps and all(0 < factor <= 1 for factor in factors)
    assert factors[:warmup] == sorted(set(factors[:warmup]))  # strictly up
    assert factors[warmup] == 1
    assert factors[warmup:] == sorted(factors[warmup:], reverse=True)
    assert factors[-1] <= max(1 / (0.4 * steps), 1e-5) + 1e-9 or steps == 1


def test_wsd_is_stable_and_then_a_straight_line() -> None:
    schedule = Schedule([(0, 100)], 10, "wsd", 0.4)
    factors = [schedule.rate(step) for step in range(100)]
    assert factors[10:61] == pytest.approx([1.0] * 51)
    assert [before - after for before, after in pairwise(factors[60:])] == pytest.approx(
        [1 / 40] * 39
    )


def test_cosine_is_half_way_down_in_the_middle() -> None:
    assert Schedule([(0, 110)], 10, "cosine", 0.4).rate(60) == pytest.approx(0.5)


@given(
    shape=st.sampled_from(SHAPES),
    first=st.integers(5, 200),
    changes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 300)), max_size=6),
)
def test_a_moved_end_moves_no_rate_at_once(
    shape: str, first: int, changes: list[tuple[int, int]]
) -> None:
    """Where the end is moved the share and the rate are what they were, then both go straight on to
    the new end."""
    totals = [(0, first)]
    for ahead, left in changes:
        step = totals[-1][0] + ahead
        if step < totals[-1][1]:
            totals.append((step, step + left))
    schedule = Schedule(totals, 2, shape, 0.8)  # type: ignore[arg-type]
    shares = [schedule.share(step) for step in range(schedule.steps + 1)]
    assert shares[0] == 0 and shares[-1] == pytest.approx(1) and shares == sorted(shares)
    for count in range(1, len(totals)):
        before = Schedule(totals[:count], 2, shape, 0.8)  # type: ignore[arg-type]
        step = totals[count][0]
        assert schedule.share(step) == pytest.approx(before.share(step))
        if step > 2:
            assert schedule.rate(step) == pytest.approx(before.rate(step), abs=1e-6)


def test_evaluations_are_at_even_shares_of_the_run() -> None:
    even = Schedule([(0, 60)], 1, evaluations=20)
    assert [done for done in range(1, 61) if even.evaluation_due(done)] == [*range(3, 60, 3)]
    moved = Schedule([(0, 60), (30, 40)], 1, evaluations=20)  # the second half in ten steps
    assert [done for done in range(1, 41) if moved.evaluation_due(done)] == [
        *range(3, 31, 3),
        *range(31, 40),
    ]
    few = Schedule([(0, 2)], 1, evaluations=20)
    assert [done for done in range(1, 3) if few.evaluation_due(done)] == [1]


def run(time: Time, schedule: Schedule, step_seconds, evaluation_seconds=lambda done: 1.0) -> float:  # type: ignore[no-untyped-def]
    """Take the steps as a run does; returns the time when the last was taken."""
    step = 0
    while step < schedule.steps:
        time.now += step_seconds(step + 1)
        assert schedule.clock is not None
        schedule.clock.stepped()
        schedule.plan_anew(step + 1)
        if schedule.evaluation_due(step + 1) and schedule.clock.may_evaluate():
            time.now += evaluation_seconds(step + 1)
            schedule.clock.evaluated()
        step += 1
    return time.now


def timed(time: Time, seconds: float, costs: Costs) -> Schedule:
    counter = Clock(seconds, time.now, costs)
    return Schedule([(0, max(8, counter.steps_left(9)))], 2, evaluations=10, clock=counter)


@pytest.mark.parametrize(
    "pace",
    [
        lambda done: 0.5,
        lambda done: 3.0,  # six times as slow as it was measured
        lambda done: 0.1,
        lambda done: 0.5 if done < 60 else 2.0,  # a neighbour comes
        lambda done: 2.0 if done < 20 else 0.5,  # and goes
        # a step that waits for another program, now and then
        lambda done: 0.5 + 6 * (done % 25 == 24),
        lambda done: 30.0 if done == 1 else 0.5,  # the first one compiles
    ],
)
def test_a_clock_ends_a_run_in_time_and_uses_the_time(time: Time, pace) -> None:  # type: ignore[no-untyped-def]
    begin = time.now
    schedule = timed(time, 100, Costs(0.5, 1.0, 2.0))
    taken = run(time, schedule, pace) - begin
    assert 85 < taken <= 98 + 7  # two seconds are kept for the ending; a step may be begun in time
    assert schedule.rate(schedule.steps - 1) <= 0.35


def test_a_slow_machine_is_evaluated_less_often(time: Time) -> None:
    schedule = timed(time, 100, Costs(0.5, 1.0, 2.0))
    begin, evaluations = time.now, []

    def evaluate(done: int) -> float:
        evaluations.append(done)
        return 12.0

    assert run(time, schedule, lambda done: 1.0, evaluate) - begin <= 105
    assert 1 <= len(evaluations) <= 3


def test_the_pairs_say_all_that_the_clock_did(time: Time) -> None:
    schedule = timed(time, 100, Costs(0.5, 1.0, 2.0))
    run(time, schedule, lambda done: 0.4 + 0.02 * done)
    assert len(schedule.totals) > 2
    again = Schedule(schedule.totals, 2, evaluations=10)
    rates = [schedule.rate(step) for step in range(schedule.steps)]
    assert [again.rate(step) for step in range(again.steps)] == rates
