"""Trains the models of a monitor on labelled texts, tests them on texts that were kept apart, and
calibrates their probabilities on others."""

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinye import api
from xinye.apps.chance import likely_mean, likely_share
from xinye.apps.groups import members
from xinye.apps.monitor.calibration import Calibrations, calibrated_moods, calibrated_topics
from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.near_groups import near_groups
from xinye.apps.training import Budget, WithoutFiles, as_file, base_of, train_classifier
from xinye.errors import plural
from xinye.observer import Observer

FEWEST_EACH = 10  # texts of a topic; rarer ones are not learned
FEWEST = 50  # texts of a role
CALIBRATION = 0.1  # share of what is learned
FEWEST_CALIBRATION = 25  # texts, unless that is more than a fifth: fewer calibrate nothing
AVERAGES = {"topics": "micro", "mood": "macro"}  # of F1, what a role is judged by
STAGES = {"topics": "training the classifier of topics", "mood": "training the classifier of moods"}


Row = dict[str, Any]  # of a file to train from: text and label


@dataclass(frozen=True)
class Rows:
    """The texts of a role as rows: to learn from, to calibrate on, and to test on."""

    learned: list[Row]
    calibration: list[Row]
    test: list[Row]

    @property
    def counts(self) -> Counter[str]:
        """How many of the learned texts have each label."""
        return _counted(self.learned)


def _counted(rows: Sequence[Row]) -> Counter[str]:
    labels = (row["label"] for row in rows)
    return Counter(
        each for label in labels for each in ([label] if isinstance(label, str) else label)
    )


@dataclass(frozen=True)
class Learned:
    """A model and its figures on the texts that were kept apart: macro F1 of moods, micro F1 of
    topics, beside TF-IDF with logistic regression on the same texts. On many texts it would be in
    the interval `likely`, with a confidence of 95%. `calibration_texts` were kept to calibrate on,
    and `counts` are the texts of each label that were learned."""

    texts: int
    test_texts: int
    calibration_texts: int
    counts: dict[str, int]
    score: float | None
    likely: tuple[float, float] | None
    baseline: float | None
    seconds: float


@dataclass(frozen=True)
class Parts:
    """Labelled texts: to learn from, to calibrate on, and to test on. What nearly equals another
    text is in the same part."""

    learned: list[Labelled]
    calibration: list[Labelled]
    test: list[Labelled]


def parts_of(texts: Sequence[Labelled], test_share: float) -> Parts:
    """The parts of labelled texts, drawn at random in groups of near-equal ones. Groups that are
    too large to be tested or calibrated on are learned."""
    groups = members(near_groups([each.text for each in texts]))
    random.Random(0).shuffle(groups)
    parts = Parts([], [], [])
    test = round(test_share * len(texts))
    calibration = round(CALIBRATION * (len(texts) - test))
    calibration = max(calibration, min(FEWEST_CALIBRATION, (len(texts) - test) // 5))
    for group in groups:
        if len(parts.test) + len(group) <= test:
            part = parts.test
        elif len(parts.calibration) + len(group) <= calibration:
            part = parts.calibration
        else:
            part = parts.learned
        part.extend(texts[number] for number in group)
    return parts


@dataclass(frozen=True)
class Trained:
    """What was learned, by role, "topics" and "mood", and the calibrations. `missing` says why a
    wanted role has no model, and `rare` has the topics and moods that are too rare to learn."""

    learned: dict[str, Learned]
    missing: dict[str, str]
    rare: dict[str, int]
    calibrations: Calibrations


def learn(
    parts: Parts, wanted: Sequence[str], folder: Path, budget: Budget, observer: Observer
) -> Trained:
    """Train the models of the wanted roles that there are labels for, in `folder/topics` and
    `folder/mood`. They begin from one model; the time is shared by the number of texts."""
    counts = {"topics": _topics(parts.learned), "mood": _moods(parts.learned)}
    rows = {"topics": _of_topics(parts), "mood": _of_moods(parts)}
    missing = {role: _too_few(counts[role], rows[role], budget) for role in wanted}
    roles = [role for role in wanted if not missing[role]]
    learned: dict[str, Learned] = {}
    calibrations = Calibrations()
    began, observer = time.monotonic(), WithoutFiles(observer, folder)
    every = [each.text for each in (*parts.learned, *parts.calibration)]
    if roles:
        with base_of(every, folder / "base", budget, observer) as base:
            for at, role in enumerate(roles):
                left = budget.seconds - (time.monotonic() - began)
                ahead = sum(len(rows[each].learned) for each in roles[at:])
                seconds = left * len(rows[role].learned) / ahead
                observer.stage(STAGES[role])
                model, learned[role] = _trained(rows[role], folder / role, base, seconds, observer)
                calibrations = _calibrated(calibrations, role, model, rows[role].calibration)
    rare = {
        label: count
        for role in wanted
        for label, count in counts[role].items()
        if count < FEWEST_EACH
    }
    return Trained(learned, {role: why for role, why in missing.items() if why}, rare, calibrations)


def _topics(texts: Sequence[Labelled]) -> Counter[str]:
    """How many texts have each topic."""
    return Counter(topic for each in texts for topic in each.topics or ())


def _moods(texts: Sequence[Labelled]) -> Counter[str]:
    """How many texts have each mood."""
    return Counter(each.mood for each in texts if each.mood)


def _of_topics(parts: Parts) -> Rows:
    """The texts whose topics are known, without the topics that are too rare to learn."""
    known = {topic for topic, count in _topics(parts.learned).items() if count >= FEWEST_EACH}

    def rows(texts: Sequence[Labelled]) -> list[Row]:
        return [
            {"text": each.text, "label": [topic for topic in each.topics if topic in known]}
            for each in texts
            if each.topics is not None
        ]

    return Rows(rows(parts.learned), rows(parts.calibration), rows(parts.test))


def _of_moods(parts: Parts) -> Rows:
    """The texts whose mood is known, without a mood that is too rare to learn."""
    known = {mood for mood, count in _moods(parts.learned).items() if count >= FEWEST_EACH}

    def rows(texts: Sequence[Labelled]) -> list[Row]:
        return [{"text": each.text, "label": each.mood} for each in texts if each.mood in known]

    return Rows(rows(parts.learned), rows(parts.calibration), rows(parts.test))


def _too_few(counts: Counter[str], rows: Rows, budget: Budget) -> str:
    """Why a role cannot be learned, of whose labels the texts have so many; "" if it can."""
    found, known = len(rows.learned), [*rows.counts]
    if not counts:
        return "no text has one; add a column such as topics or mood"
    if not known:
        return f"no label has {FEWEST_EACH} texts to learn from"
    if len(known) == 1:
        return (
            f"only one label, {known[0]!r}, has {FEWEST_EACH} texts to learn from, and two are "
            "needed"
        )
    if found < FEWEST:
        return f"only {plural(found, 'text')} to learn from, and {FEWEST} are needed"
    return "" if budget.seconds else "no time to train (--time)"


def _trained(
    rows: Rows, folder: Path, base: str, seconds: float, observer: Observer
) -> tuple[api.Model, Learned]:
    """A classifier of these rows, and its figures on those of the test."""
    began = time.monotonic()
    with (
        as_file(folder.with_name(f"{folder.name}.jsonl"), rows.learned) as file,
        as_file(folder.with_name(f"{folder.name}-test.jsonl"), rows.test) as test,
    ):
        model = train_classifier(base, file, len(rows.learned), folder, seconds, observer)
        figures: dict[str, Any] = model.evaluate_task(test) if rows.test else {}
    score, baseline = (_score(figures.get(name), folder.name) for name in ("measured", "baseline"))
    supports = [*_counted(rows.test).values()]
    learned = Learned(
        len(rows.learned),
        len(rows.test),
        len(rows.calibration),
        dict(rows.counts.most_common()),
        score,
        None if score is None else likely(folder.name, score, len(rows.test), supports),
        baseline,
        round(time.monotonic() - began, 1),
    )
    return model, learned


def likely(role: str, score: float, texts: int, supports: Sequence[int]) -> tuple[float, float]:
    """Between what a score on so many texts would be on many. `supports` are the texts of each
    label, the rarest of which decides most in a macro average."""
    return likely_share(score, texts) if role == "topics" else likely_mean(score, supports)


def _score(figures: dict[str, Any] | None, role: str) -> float | None:
    if not figures:
        return None
    table = figures["table"]
    return float(table["micro avg"]["f1-score"] if role == "topics" else figures["macro_f1"])


def _calibrated(
    found: Calibrations, role: str, model: api.Model, rows: Sequence[Row]
) -> Calibrations:
    """The calibrations with those of a role, learned from texts that it has not."""
    if not rows:
        return found
    results = model.classify([row["text"] for row in rows])
    labels = [*results[0]["probabilities"]]
    shares = np.array([[*each["probabilities"].values()] for each in results])
    if role == "topics":
        has = np.array([[label in row["label"] for label in labels] for row in rows])
        return found.model_copy(update={"topics": calibrated_topics(shares, has)})
    right = np.array([labels.index(row["label"]) for row in rows])
    scaling, threshold = calibrated_moods(shares, right, labels)
    return found.model_copy(update={"mood": scaling, "mood_threshold": threshold})
