"""What is learned, calibrated on and kept apart."""

import random

import pytest

from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.learning import FEWEST_CALIBRATION, FEWEST_EACH, learn, parts_of
from xinye.apps.training import Budget, WithoutFiles
from xinye.observer import Observer


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
