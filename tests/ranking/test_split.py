import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xinye.errors import XinyeError
from xinye.ranking.histories import Histories
from xinye.ranking.split import Case, drawn, of_items, split_by

HISTORIES = [[0, 1, 2, 3], [3, 2], [4, 0, 1], []]


def test_the_last_event_is_for_the_test_and_the_one_before_for_validation():
    split = split_by("last", Histories.of(HISTORIES, 5))
    assert [split.training[user].tolist() for user in range(4)] == [[0, 1], [3, 2], [4], []]
    assert split.training_and_validation[0].tolist() == [0, 1, 2]
    told = [(case.user, case.history.tolist(), case.target) for case in split.test]
    assert told == [(0, [0, 1, 2], 3), (2, [4, 0], 1)]
    assert [case.target for case in split.validation] == [2, 0]


def test_by_time_nothing_is_learned_from_what_came_later():
    times = np.arange(20.0)
    histories = Histories.of([list(range(10)), list(range(10))], 10, np.tile(times[::2], 2))
    split = split_by("time", histories)
    assert split.training.times is not None
    latest = split.training.times.max()
    for case in (*split.validation, *split.test):
        assert times[::2][case.target] > latest
    assert split.training_and_validation.event_count > split.training.event_count


def test_a_split_that_leaves_nothing_to_predict_is_refused():
    with pytest.raises(XinyeError, match="no user has three events"):
        split_by("last", Histories.of([[0, 1], [1, 0]], 2))
    with pytest.raises(XinyeError, match="no times"):
        split_by("time", Histories.of(HISTORIES, 5))


def test_cases_of_some_items_have_the_events_before_them():
    cases = of_items(Histories.of(HISTORIES, 5), np.array([0, 0, 1, 0, 1], bool), most=9)
    assert [(case.user, case.history.tolist(), case.target) for case in cases] == [
        (0, [0, 1], 2),
        (1, [3], 2),
    ]


@given(st.lists(st.lists(st.integers(0, 6), unique=True, min_size=3), min_size=1, max_size=6))
def test_no_event_is_lost_or_used_twice(histories):
    split = split_by("last", Histories.of(histories, 7))
    for user, history in enumerate(histories):
        [validation] = [case for case in split.validation if case.user == user]
        [test] = [case for case in split.test if case.user == user]
        assert [*split.training[user], validation.target, test.target] == history
        assert [*validation.history, validation.target] == test.history.tolist()


@given(st.integers(1, 30), st.integers(1, 40))
def test_drawn_cases_stay_in_order(count, most):
    given_ones = [Case(user, np.array([0]), 1) for user in range(count)]
    users = [case.user for case in drawn(given_ones, most)]
    assert users == sorted(set(users)) and len(users) == min(count, most)
