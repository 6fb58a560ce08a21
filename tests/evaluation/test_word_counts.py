"""The classifier of word counts: what it learns, its probabilities and its file."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from xinye.errors import XinyeError
from xinye.evaluation.word_counts import UNLIKELY, WordCounts, log_loss

TEXTS = ["很好吃", "好吃又快", "太慢了", "慢得很"] * 3
RIGHT = [("正",), ("正",), ("负",), ("负",)] * 3


@pytest.mark.parametrize("several", [False, True])
def test_it_learns(several):
    counts = WordCounts.learn(TEXTS, RIGHT, ["正", "负"], several)
    assert counts.chosen(["真好吃", "真慢"]) == [("正",), ("负",)]


def test_the_words_that_decide():
    counts = WordCounts.learn(TEXTS, RIGHT, ["正", "负"], False)
    assert counts.deciding("真好吃，太慢了", "正", "负") == ["好吃"]
    assert counts.deciding("真好吃，太慢了", "负", "正")[0] in ("太慢", "太慢了", "慢了")


def test_it_is_the_one_of_scikit_learn():
    texts, labels = [f"{text}{number % 5}" for number, text in enumerate(TEXTS)], ["正", "负", "中"]
    right = [("中",) if "3" in text else found for text, found in zip(texts, RIGHT, strict=True)]
    ours = WordCounts.learn(texts, right, labels, False)
    features = TfidfVectorizer(sublinear_tf=True, analyzer="char", ngram_range=(1, 3))
    theirs = make_pipeline(features, LogisticRegression(C=ours.cost, max_iter=300))
    theirs.fit(texts, [found[0] for found in right])
    shares = theirs.predict_proba(TEXTS)[:, [[*theirs.classes_].index(each) for each in labels]]
    assert np.exp(ours.logits(TEXTS, labels)) == pytest.approx(shares, abs=1e-6)


def test_the_regularization_is_chosen_by_the_log_loss():
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(list("abcdefgh"), 4)) for _ in range(400)]
    clear = [("1",) if "a" in text else ("0",) for text in words]
    chance = [(str(random.integers(2)),) for _ in words]
    found = [WordCounts.learn(words, right, ["0", "1"], False).cost for right in (clear, chance)]
    assert found[0] > found[1] == 1.0


def test_words_and_their_pieces():
    texts = ["good food", "bad food", "very good", "very bad"] * 2
    counts = WordCounts.learn(texts, [("1",), ("0",)] * 4, ["0", "1"], False)
    assert counts.chosen(["a good place", "goods"]) == [("1",), ("1",)]
    assert counts.deciding("a very good place", "1", "0")[:1] == ["good"]


def test_a_label_that_no_text_has_is_impossible():
    counts = WordCounts.learn(TEXTS, RIGHT, ["正", "中", "负"], False)
    assert counts.labels == ("正", "负")
    assert (counts.logits(["好吃"], ["正", "中", "负"])[:, 1] == UNLIKELY).all()


def test_nothing_to_learn():
    with pytest.raises(XinyeError, match="TF-IDF: "):
        WordCounts.learn(["", ""], [("a",), ("b",)], ["a", "b"], False)
    with pytest.raises(XinyeError, match="two labels"):
        WordCounts.learn(["a", "b"], [("a",), ("a",)], ["a", "b"], False)


@pytest.mark.parametrize("several", [False, True])
def test_saved_and_loaded_it_says_the_same(tmp_path, several):
    file = tmp_path / "counts.safetensors"
    counts = WordCounts.learn(TEXTS, RIGHT, ["正", "负"], several)
    counts.save(file)
    again = WordCounts.load(file)
    texts = ["真好吃", "", "🙂\u0000快"]
    assert again.logits(texts, ["正", "负"]) == pytest.approx(
        counts.logits(texts, ["正", "负"]), abs=1e-5
    )


def test_a_damaged_file(tmp_path):
    file = tmp_path / "counts.safetensors"
    WordCounts.learn(TEXTS, RIGHT, ["正", "负"], False).save(file)
    whole = file.read_bytes()
    for damaged in (whole[:-40], whole.replace(b"char", b"evil"), b""):
        file.write_bytes(damaged)
        with pytest.raises(XinyeError, match="damaged"):
            WordCounts.load(file)


def test_the_log_loss():
    logits = np.log([[0.8, 0.2], [0.5, 0.5]])
    right = np.array([[True, False], [False, True]])
    assert log_loss(logits, right, False) == pytest.approx(-np.log([0.8, 0.5]).mean())
    assert log_loss(np.zeros((2, 2)), right, True) == pytest.approx(np.log(2))
