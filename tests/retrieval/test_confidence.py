"""How sure a knowledge base is of its first passage, and when it refuses."""

import json
import random
import re
from pathlib import Path

import pytest

from xinye.errors import XinyeError
from xinye.retrieval.confidence import Calibration, Example, Features, features
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.results import Found


def found(text):
    return Found(text, 9.0, "a.txt", "", "", 1, 0)


def test_a_passage_that_answers_has_more_of_the_question():
    there = features(
        "试用期最长几个月？",
        [found("试用期最长不得超过六个月。"), found("每月发工资。")],
        lambda term: 1.0,
    )
    other = features("试用期最长几个月？", [found("每月发工资。")], lambda term: 1.0)
    assert there.shared > 0.5 > other.shared and there.ahead > 0.5
    english = features("How long may a probation last?", [found("It may last a year.")], len)
    assert english.missing == len("probation")
    assert features("试用期", [], lambda term: 1.0).shared == 0


def asked(count, seed=0, **more):
    """Examples whose `shared` tells, except for a tenth, whether the first passage answers."""
    rng = random.Random(seed)
    made = []
    for group in range(count):
        right = group % 2 == 0
        shared = rng.uniform(0.4, 1) if right else rng.uniform(0, 0.5)
        made.append(Example(Features(shared, 0, 0, 0, **more), right, rng.uniform(0, 9), group))
    return made


def test_the_threshold_reaches_the_precision_on_other_questions(tmp_path):
    calibration = Calibration.fit(asked(400), 0.9)
    calibration.save(tmp_path)
    loaded = Calibration.load(tmp_path)
    assert loaded == calibration
    least = loaded.threshold()
    others = [
        each for each in asked(400, seed=1) if loaded.confidence(each.features) >= least.confidence
    ]
    assert len(others) > 150 and sum(each.right for each in others) / len(others) >= 0.88
    assert least.by_score < 0.2 < least.answered
    assert loaded.threshold(0.8).confidence < least.confidence


def test_made_questions_allow_half_as_many_errors():
    real, made = (Calibration.fit(asked(400), 0.9, made=each) for each in (False, True))
    assert made.threshold(0.9) == real.threshold(0.95)


def test_a_margin_that_was_learned_from_is_needed():
    calibration = Calibration.fit(asked(60, reader=1.0), 0.8)
    with pytest.raises(XinyeError, match="needs reader; calibrate again"):
        calibration.confidence(Features(1, 1, 1, 0))


@pytest.mark.parametrize(
    "examples, says",
    [
        (asked(10), "10 questions are too few"),
        ([each for each in asked(80) if each.right], "answers 40 of 40 questions"),
    ],
)
def test_questions_that_teach_nothing_are_refused(examples, says):
    with pytest.raises(XinyeError, match=says):
        Calibration.fit(examples, 0.9)


def test_a_few_right_answers_prove_no_precision():
    with pytest.raises(XinyeError, match="the highest is"):
        Calibration.fit(asked(24), 0.95).threshold()


@pytest.mark.parametrize(
    "content, says",
    [
        ("{", "damaged file"),
        ('{"kind": "xinye calibration", "version": 9}', "has version 9"),
        ('{"kind": "other"}', "not a calibration"),
        ('{"kind": "xinye calibration", "version": 1, "odd": 1}', "calibration.json: "),
    ],
)
def test_a_foreign_calibration_is_refused(tmp_path, content, says):
    (tmp_path / "calibration.json").write_text(content, "utf-8")
    with pytest.raises(XinyeError, match=says):
        Calibration.load(tmp_path)


def test_a_calibration_with_impossible_numbers_is_refused(xinye, workplace):
    Path("a.txt").write_text("新叶图书馆九点开门。", "utf-8")
    KnowledgeBase.build("kb", ["a.txt"])
    path = Path("kb/calibration.json")
    good = Calibration.fit(asked(60), 0.8).model_dump()
    for key, values in {
        "confidence": ("NaN", "1e999", "2", "-1", "true"),
        "precision": ("0", "1.5", "NaN"),
        "bias": ("NaN", "-Infinity", '"1"', "1" + "0" * 400),
        "weights": ("{}", '{"shared": 1}', json.dumps({**good["weights"], "odd": 1})),
        "shared": ("NaN", "null"),
        "questions": ("-1", "NaN", "1.5"),
        "passages": ("-1",),
        "score": ("Infinity",),
    }.items():
        for value in values:
            wrong = re.sub(
                rf'"{key}": (?:{{.*?}}|[^,{{}}]+)', f'"{key}": {value}', json.dumps(good)
            )
            path.write_text(wrong, "utf-8")
            complaint = xinye("knowledge", "search", "kb", "几点开门").complaint
            assert f"{path}: damaged file (" in complaint and key in complaint
            assert "calibrate again: xinye knowledge calibrate kb QUESTIONS" in complaint
