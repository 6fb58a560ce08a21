"""Sets to learn from offline: the same again, in both languages, with labels that are true."""

from collections import Counter

import pytest

from xinye.evaluation import word_counts
from xinye.tasks.classify import Classify
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.exercises import chats, emotions, notes, reviews


@pytest.mark.parametrize("language", ["zh", "en"])
@pytest.mark.parametrize("make", [reviews, emotions, notes, chats])
def test_the_same_seed_gives_the_same_records(make, language):
    assert make(50, language, seed=1) == make(50, language, seed=1) != make(50, language, seed=2)
    assert not any(
        mark in str(record.values())
        for record in make(300, language)
        for mark in ("|", "{a", "{tea")
    )


@pytest.mark.parametrize("language, labels", [("zh", {"好评", "差评"}), ("en", {"good", "bad"})])
def test_reviews_are_balanced_and_mostly_different(language, labels):
    records = reviews(400, language)
    counts = Counter(record["label"] for record in records)
    assert set(counts) == labels and len(set(counts.values())) == 1
    assert len({record["text"] for record in records}) > 300


@pytest.mark.parametrize(
    "language, labels",
    [
        ("zh", {"高兴", "悲伤", "愤怒", "恐惧", "惊讶", "厌恶"}),
        ("en", {"joy", "sadness", "anger", "fear", "surprise", "disgust"}),
    ],
)
def test_emotions_are_balanced_and_not_told_by_their_words(language, labels, monkeypatch):
    records = emotions(1200, language)
    counts = Counter(record["label"] for record in records)
    assert set(counts) == labels and set(counts.values()) == {200}
    assert len({record["text"] for record in records}) > 1000
    task = Classify(sorted(labels))
    records = [LabelledText(r["text"], "", (r["label"],), "") for r in records]
    # pairs of words, and characters beside each other, tell something of their order
    assert task.baseline(records[200:800], records[:200], None)["accuracy"] < 0.9
    for kind in ("CHARACTERS", "WORDS"):
        single = getattr(word_counts, kind) | {"ngram_range": (1, 1)}
        monkeypatch.setattr(word_counts, kind, single)
    monkeypatch.setattr(word_counts, "PIECES", word_counts.WORDS)
    assert task.baseline(records[200:800], records[:200], None)["accuracy"] < 0.7


@pytest.mark.parametrize("language", ["zh", "en"])
def test_notes_name_what_their_spans_say(language):
    records = notes(400, language)
    names = Counter(
        (span["type"], record["text"][span["start"] : span["end"]])
        for record in records
        for span in record["spans"]
    )
    assert {kind for kind, _ in names} == {"person", "place", "company"}
    assert all(name and name.strip(" ,.:，。：") == name for _, name in names)
    assert len(names) > 150


@pytest.mark.parametrize("language", ["zh", "en"])
def test_chats_take_turns(language):
    for record in chats(200, language):
        roles = [message["role"] for message in record["messages"]]
        assert roles == ["system"] + ["user", "assistant"] * (len(roles) // 2) and len(roles) > 1
        assert all(message["content"] for message in record["messages"])
