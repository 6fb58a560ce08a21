import numpy as np
import pytest

from ranking.fixed import Fixed, case
from xinye.ranking import judging
from xinye.ranking.judging import Spread, difference, judge


def test_items_of_the_history_are_no_candidates():
    judged = judge(Fixed([9, 8, 7, 6]), [case([0], 2), case([0, 1], 2)], 4)
    assert judged.ranks.tolist() == [2, 1]
    assert judged.ndcg == pytest.approx([1 / np.log2(3), 1])
    assert judged.top[1, :2].tolist() == [2, 3]


def test_a_tie_takes_the_rank_in_the_middle():
    judged = judge(Fixed([1] * 5), [case([0], 4)], 5)
    assert judged.ranks.tolist() == [2.5]


def test_only_the_first_ten_count():
    row = list(range(30, 0, -1))
    judged = judge(Fixed(row), [case([], 9), case([], 10)], 30)
    assert judged.hits.tolist() == [1, 0]
    assert judged.ndcg[1] == 0
    assert judged.coverage == pytest.approx(10 / 30)


def test_chunks_change_nothing(monkeypatch):
    row = np.random.default_rng(0).normal(size=12).tolist()
    cases = [case([number % 5], 5 + number % 7) for number in range(9)]
    whole = judge(Fixed(row), cases, 12)
    monkeypatch.setattr(judging, "SCORES_AT_ONCE", 24)
    parts = judge(Fixed(row), cases, 12)
    assert whole.ranks.tolist() == parts.ranks.tolist()
    assert whole.top.tolist() == parts.top.tolist()


def test_the_interval_and_the_paired_difference():
    spread = Spread.of(np.array([0.0, 1.0, 0.0, 1.0]))
    assert spread.mean == 0.5
    assert spread.interval == pytest.approx(1.96 * np.sqrt(1 / 3) / 2)
    one = judge(Fixed([3, 2, 1]), [case([], 0), case([], 1)], 3)
    assert difference(one, one) == Spread(0.0, 0.0)


def test_several_cases_of_a_user_do_not_narrow_the_interval():
    values, users = np.array([0.0, 1.0, 0.0, 0.5]), np.array([3, 1, 0, 7])
    alone = Spread.of(values)
    assert Spread.of(values, users).interval == pytest.approx(alone.interval)
    repeated = Spread.of(np.repeat(values, 9), np.repeat(users, 9))
    assert (repeated.mean, repeated.interval) == pytest.approx((alone.mean, alone.interval))


def test_the_loss_is_that_of_a_softmax_over_what_is_left():
    judged = judge(Fixed([5, 1, 2]), [case([0], 1)], 3)
    assert judged.nats == pytest.approx([np.log(1 + np.e)])
