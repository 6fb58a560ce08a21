"""The classifier of word counts: what it learns, its probabilities and its file."""

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.svm import LinearSVC

from xinye.errors import XinyeError
from xinye.evaluation import word_counts
from xinye.evaluation.logits import log_loss, log_softmax
from xinye.evaluation.word_counts import SMOOTHING, UNLIKELY, WordCounts

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


def test_it_is_the_one_of_scikit_learn(monkeypatch):
    monkeypatch.setattr(word_counts, "SHARES", (0.4,))
    monkeypatch.setattr(word_counts, "SCALES", (2.0,))
    texts, labels = [f"{text}{number % 5}" for number, text in enumerate(TEXTS)], ["正", "负", "中"]
    right = [("中",) if "3" in text else found for text, found in zip(texts, RIGHT, strict=True)]
    ours = WordCounts.learn(texts, right, labels, False)
    features = TfidfVectorizer(sublinear_tf=True, analyzer="char", ngram_range=(1, 3))
    # in our order of the labels, since chance plays a part in learning
    counts, names = features.fit_transform(texts), [labels.index(found[0]) for found in right]
    machine = LinearSVC(C=ours.tuning.cost, random_state=0).fit(counts, names)
    bayes, share = MultinomialNB(alpha=SMOOTHING).fit(counts, names), 0.4
    asked = features.transform(TEXTS)
    theirs = (1 - share) * 2 * machine.decision_function(asked)
    theirs = log_softmax(theirs + share * bayes.predict_joint_log_proba(asked))
    assert ours.logits(TEXTS, labels) == pytest.approx(theirs)


@pytest.mark.parametrize("several", [False, True])
def test_naive_bayes_of_two_labels_is_the_one_of_scikit_learn(several, monkeypatch):
    """Of one text with one label, and of each label against all others."""
    monkeypatch.setattr(word_counts, "SHARES", (1.0,))
    labels = [(found,) if not several or found == "负" else () for (found,) in RIGHT]
    ours = WordCounts.learn(TEXTS, labels, ["正", "负"], several)
    features = TfidfVectorizer(sublinear_tf=True, analyzer="char", ngram_range=(1, 3))
    counts, names = features.fit_transform(TEXTS), [found == ("负",) for found in RIGHT]
    bayes = MultinomialNB(alpha=SMOOTHING).fit(counts, names)
    theirs = bayes.predict_joint_log_proba(features.transform(["好吃", "慢"]))
    found = ours.logits(["好吃", "慢"], ["正", "负"])
    odds = found[:, 1] if several else found[:, 1] - found[:, 0]
    assert odds == pytest.approx(theirs[:, 1] - theirs[:, 0])


def test_the_regularization_is_chosen_by_the_log_loss():
    random = np.random.default_rng(0)
    words = [" ".join(random.choice(list("abcdefgh"), 4)) for _ in range(400)]
    clear = [("1",) if "a" in text else ("0",) for text in words]
    chance = [(str(random.integers(2)),) for _ in words]
    found = [WordCounts.learn(words, right, ["0", "1"], False).tuning for right in (clear, chance)]
    assert found[0].cost > found[1].cost == 0.1 and found[0].scale > found[1].scale == 1.0


def test_texts_that_are_repeated_do_not_mislead_the_tuning():
    random = np.random.default_rng(0)
    words = [f"{number} " + " ".join(random.choice(list("abc"), 4)) for number in range(100)]
    chance = [(str(random.integers(2)),) for _ in words]
    once, twice = (
        WordCounts.learn(words * times, chance * times, ["0", "1"], False).tuning
        for times in (1, 2)
    )
    assert once == twice


def test_all_texts_say_which_terms_are_counted():
    """Chinese ones come first, but most are English."""
    counts = WordCounts.learn(["好"] * 1000 + ["good"] * 3000, [("1",), ("0",)] * 2000, "01", False)
    assert [block.options["analyzer"] for block in counts.blocks] == ["word", "char_wb"]


def test_many_labels_have_fewer_terms(monkeypatch):
    monkeypatch.setattr(word_counts, "MOST_WEIGHTS", 20)
    counts = WordCounts.learn(TEXTS, RIGHT, ["正", "负"], False)
    assert len(counts.weights) == 10


def test_words_and_their_pieces():
    texts = ["good food", "bad food", "very good", "very bad"] * 2
    counts = WordCounts.learn(texts, [("1",), ("0",)] * 4, ["0", "1"], False)
    assert counts.chosen(["a good place", "goods"]) == [("1",), ("1",)]
    assert counts.deciding("a very good place", "1", "0") == ["good"]


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
