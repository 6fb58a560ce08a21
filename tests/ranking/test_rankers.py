import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from xinye.ranking import rankers
from xinye.ranking.fitted import Fitted
from xinye.ranking.histories import Histories
from xinye.ranking.judging import judge
from xinye.ranking.rankers import EASE, ItemKNN, ItemMarkov, Popular, Recent
from xinye.ranking.split import Split, split_by

RATINGS = Path(__file__).parents[3] / "shared" / "data" / "movielens_small" / "ratings.csv"
HISTORIES = Histories.of([[0, 1, 2], [0, 1], [1, 2, 3], [3]], 5, np.arange(9.0))


def first(ranker, history, count=1):
    scores = ranker.scores([np.array(history, np.int32)])[0].copy()
    scores[history] = -np.inf
    return np.argsort(-scores, kind="stable")[:count].tolist()


def test_what_follows_comes_first():
    assert first(ItemMarkov.fit(HISTORIES), [0]) == [1]
    assert first(ItemMarkov.fit(HISTORIES), [1]) == [2]


def test_popular_and_popular_of_late():
    assert first(Popular.fit(HISTORIES), [0]) == [1]
    assert first(Recent.fit(HISTORIES), [0]) == [3]


def test_cosine_similarity_as_by_hand():
    used = np.zeros((4, 5))
    for user in range(4):
        used[user, HISTORIES[user]] = 1
    length = np.maximum(np.linalg.norm(used, axis=0), 1e-9)
    wanted = used.T @ used / np.outer(length, length)
    np.fill_diagonal(wanted, 0)
    scores = ItemKNN.fit(HISTORIES).scores([np.array([0]), np.array([1, 3])])
    assert scores == pytest.approx(np.stack([wanted[0], wanted[1] + wanted[3]]), abs=1e-6)


def test_ease_as_by_its_formula(monkeypatch):
    used = np.zeros((4, 5))
    for user in range(4):
        used[user, HISTORIES[user]] = 1
    inverse = np.linalg.inv(used.T @ used + rankers.EASE_PENALTY * np.eye(5))
    wanted = np.eye(5) - inverse / np.diag(inverse)
    assert EASE.fit(HISTORIES).scores([np.array([0, 2])])[0] == pytest.approx(wanted[[0, 2]].sum(0))
    monkeypatch.setattr(rankers, "EASE_ITEMS", 2)  # the two most used ones
    small = EASE.fit(HISTORIES)
    assert small.items.tolist() == [1, 0] or small.items.tolist() == [0, 1]
    assert not small.scores([np.array([3])]).any()


def test_an_empty_history_and_items_without_events():
    fitted = Fitted.fit(HISTORIES)
    for ranker in fitted.rankers:
        scores = ranker.scores([np.array([], np.int32), np.array([4], np.int32)])
        assert scores.shape == (2, 5)
        assert np.isfinite(scores).all()


@pytest.fixture(scope="module")
def movielens() -> Split:
    if not RATINGS.is_file():
        pytest.skip("MovieLens is not on this machine")
    with RATINGS.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["movieId"] for row in rows)
    items = sorted((name for name in counts if counts[name] >= 5), key=int)
    number = {name: place for place, name in enumerate(items)}
    users: dict[str, list[tuple[int, int, int]]] = {}
    for place, row in enumerate(rows):
        if row["movieId"] in number:
            event = (int(row["timestamp"]), place, number[row["movieId"]])
            users.setdefault(row["userId"], []).append(event)
    histories = [[item for *_, item in sorted(events)] for events in users.values()]
    return split_by("last", Histories.of(histories, len(items)))


def test_the_baselines_on_movielens(movielens):
    known = movielens.training_and_validation
    assert (known.item_count, len(movielens.test)) == (3496, 671)
    wanted = {Popular: 0.0199, ItemKNN: 0.0318, ItemMarkov: 0.0839}
    for kind, figure in wanted.items():
        judged = judge(kind.fit(known), movielens.test, known.item_count)
        assert judged.ndcg.mean() == pytest.approx(figure, abs=5e-4), kind
