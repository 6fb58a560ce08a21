"""What tells entries with many wordings apart, and its file."""

from pathlib import Path

import numpy as np
import pytest

from xinye.apps.support.classes import Classes
from xinye.apps.support.likeness import LEARNABLE, PARTS, Likeness
from xinye.apps.support.wordings import Wordings
from xinye.errors import XinyeError

THINGS = {"发票": "开具", "运费": "承担", "coupon": "redeem", "refund": "receive", "密码": "重置"}
WHO = ("我", "你", "公司", "朋友", "the shop", "my friend", "客户", "she", "家里人", "a child")
TEXTS = [f"{who} {verb} {thing}" for thing, verb in THINGS.items() for who in WHO]
LABELS = [thing for thing in THINGS for _ in WHO]


@pytest.fixture(scope="module")
def classes() -> Classes:
    return Classes.learn(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("question", "label"),
    [("怎么开具发票", "发票"), ("how can I redem my coupons", "coupon"), ("密码要重置", "密码")],
)
def test_the_likeliest_label_is_right(classes: Classes, question: str, label: str) -> None:
    shares = classes.probabilities(question)
    assert max(shares, key=shares.__getitem__) == label
    assert sum(shares.values()) == pytest.approx(1)


def test_a_stranger_is_on_no_side(classes: Classes) -> None:
    assert classes.scores("今天股市会涨吗").max() < 0 < classes.scores("重置密码").max()


def test_two_labels_have_a_score_each() -> None:
    scores = Classes.learn(TEXTS[:20], LABELS[:20]).scores("发票")
    assert scores.shape == (2,)


def test_a_saved_model_is_the_same(classes: Classes, tmp_path: Path) -> None:
    classes.save(tmp_path / "classes")
    loaded = Classes.load(tmp_path / "classes")
    assert loaded.labels == classes.labels
    np.testing.assert_array_equal(loaded.scores("重置密码"), classes.scores("重置密码"))


def test_a_damaged_file_is_named(classes: Classes, tmp_path: Path) -> None:
    path = tmp_path / "classes"
    classes.save(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(XinyeError, match="classes"):
        Classes.load(path)


def test_texts_without_a_common_term_are_learned() -> None:
    assert Classes.learn(["猫", "狗"], ["a", "b"]).scores("鸟").shape == (2,)


def test_each_entry_is_left_out_once() -> None:
    entries = [number for number in range(2 * PARTS) for _ in range(LEARNABLE)]
    texts = [f"{entry}{'甲乙丙丁戊己庚辛壬癸'[at % 10]}" for at, entry in enumerate(entries)]
    likeness = Likeness(texts, entries, Wordings())
    parts = likeness.classes_without()
    assert {*parts} == {*entries}
    for entry, (hidden, classes) in parts.items():
        assert entry in hidden
        assert not {*map(str, hidden)} & {*classes.labels}


def test_entries_with_few_wordings_have_no_classifier() -> None:
    assert Likeness(TEXTS, range(len(TEXTS)), Wordings()).classes is None
