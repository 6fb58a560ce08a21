"""What is learned, calibrated on and kept apart."""

import random
from dataclasses import replace

import pytest

from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.learning import (
    FEWEST_CALIBRATION,
    FEWEST_EACH,
    Parts,
    _MoodNames,
    _of_topics,
    learn,
    parts_of,
    rare_labels,
)
from xinye.apps.training import Budget, WithoutFiles
from xinye.observer import Evaluated, Observer


def text(number: int, topic: str = "价格") -> Labelled:
    """A text that is like no other."""
    letters = random.Random(number).choices(range(0x4E00, 0x9FA5), k=20)
    return Labelled("".join(map(chr, letters)), (topic,), "")


def test_near_equal_texts_stay_together() -> None:
    texts = [text(number) for number in range(200)]
    repeats = [Labelled(f"{each.text}，{at}", each.topics, "") for at, each in enumerate(texts)]
    parts = parts_of([*texts, *repeats], 0.2)
    test = {each.text[:20] for each in parts.test}
    calibration = {each.text[:20] for each in parts.calibration}
    learned = {each.text[:20] for each in parts.learned}
    assert not test & learned and not test & calibration and not calibration & learned
    assert len(parts.test) == 80


def test_a_group_that_is_larger_than_the_test_is_learned() -> None:
    texts = [Labelled(f"{text(0).text}{number}", (), "") for number in range(60)]
    parts = parts_of([*texts, *(text(number) for number in range(1, 41))], 0.1)
    assert {each.text for each in texts} <= {each.text for each in parts.learned}
    assert len(parts.test) == 10 and len(parts.calibration) == 18


def test_enough_texts_calibrate() -> None:
    parts = parts_of([text(number) for number in range(150)], 0.1)
    assert len(parts.calibration) == FEWEST_CALIBRATION


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        (("价格",) * 60, "only one label, '价格'"),
        (("价格",) * 3, f"no label has {FEWEST_EACH}"),
        (("价格", "物流") * 12, "only 20 texts"),
        ((), "no text has one"),
    ],
)
def test_what_is_too_little_is_told_and_not_learned(tmp_path, topics: tuple, said: str) -> None:
    parts = parts_of([text(number, topic) for number, topic in enumerate(topics)], 0)
    found = learn(parts, ("topics", "mood"), tmp_path, Budget(60), Observer())
    assert not found.learned and said in found.missing["topics"]
    assert "no text has one" in found.missing["mood"]


def test_notes_name_no_file_that_is_deleted(tmp_path) -> None:
    told: list[str] = []

    class Told(Observer):
        def warn(self, text: str) -> None:
            told.append(text)

    observer = WithoutFiles(Told(), tmp_path)
    observer.warn(f"2 duplicate records: the first is {tmp_path}/topics.jsonl, line 3 = line 1")
    observer.warn("the plan has only 12 steps")
    assert told == ["the plan has only 12 steps"]


def test_a_text_of_a_topic_that_is_too_rare_is_not_one_without_topics() -> None:
    texts = [text(number) for number in range(FEWEST_EACH)]
    texts += [
        text(100, "骑手"),
        replace(text(101), topics=("骑手", "价格")),
        replace(text(102), topics=()),
    ]
    parts = Parts(texts, [text(103, "骑手")], [])
    rows = _of_topics(parts)
    assert [row["label"] for row in rows.learned[FEWEST_EACH:]] == [["价格"], []]
    assert not rows.calibration
    assert rare_labels(parts, ["topics"]) == {"骑手": 3}


def test_moods_of_samples_are_named_in_the_language_of_the_screen(monkeypatch) -> None:
    monkeypatch.setenv("XINYE_LANGUAGE", "zh")
    told: list[str] = []

    class Told(Observer):
        def evaluated(self, evaluated: Evaluated) -> None:
            told.append(evaluated.sample)

    sample = "negative → positive (0.98), right is neutral"
    _MoodNames(Told()).evaluated(Evaluated("validation", 1, 1.0, sample, {}))
    assert told == ["negative → 正面 (0.98), right is 中性"]
