"""Trains the models of a monitor on labelled texts, tests them on texts that were kept apart, and
calibrates their probabilities on others."""

import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xinye import api
from xinye.apps.monitor.analysis import Analyst, Models
from xinye.apps.monitor.calibration import Calibrations, calibrated_moods, calibrated_topics
from xinye.apps.monitor.documents import MOODS
from xinye.apps.monitor.evaluate import Judged, f1, judged, likely
from xinye.apps.monitor.labelled import Labelled, is_labelled, labels_of
from xinye.apps.monitor.near_groups import near_groups
from xinye.apps.training import (
    Budget,
    Passing,
    WithoutFiles,
    as_file,
    base_of,
    more_time_helps,
    train_classifier,
)
from xinye.data.duplicates import members
from xinye.errors import XinyeError, plural
from xinye.evaluation.word_counts import WordCounts
from xinye.language import shown_word
from xinye.observer import Evaluated, Observer

FEWEST_EACH = 10  # texts of a topic; rarer ones are not learned
FEWEST = 50  # texts of a role
CALIBRATION = 0.1  # share of what is learned
FEWEST_CALIBRATION = 25  # texts, unless that is more than a fifth: fewer calibrate nothing
STAGES = {"topics": "training the classifier of topics", "mood": "training the classifier of moods"}


Row = dict[str, Any]  # of a file to train from: text and label


@dataclass(frozen=True)
class Rows:
    """The texts of a role as rows: to learn from, and to calibrate on."""

    learned: list[Row]
    calibration: list[Row]

    @property
    def counts(self) -> Counter[str]:
        """How many of the learned texts have each label."""
        return Counter(label for row in self.learned for label in _labels(row))


def _labels(row: Row) -> tuple[str, ...]:
    """The topics of a row, or its mood."""
    label = row["label"]
    return (label,) if isinstance(label, str) else tuple(label)


@dataclass(frozen=True)
class Learned:
    """A model and its figures on the texts that were kept apart: macro F1 of moods, micro F1 of
    topics, beside word counts on the same texts. On many texts it would be in the interval
    `likely`, with a confidence of 95%. `calibration_texts` were kept to calibrate on,
    and `counts` are the texts of each label that were learned. `more_time` is true if the training
    was too short."""

    texts: int
    test_texts: int
    calibration_texts: int
    counts: dict[str, int]
    score: float | None
    likely: tuple[float, float] | None
    baseline: float | None
    seconds: float
    more_time: bool = False


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
    wanted role has no model, and `rare` has the topics and moods that are too rare to learn, with
    their texts. `said` has what the models say of the texts of the test, by role."""

    learned: dict[str, Learned]
    missing: dict[str, str]
    rare: dict[str, int]
    calibrations: Calibrations
    said: dict[str, Judged]


class _MoodNames(Passing):
    """Names moods in samples in the language of the screen."""

    def evaluated(self, evaluated: Evaluated) -> None:
        sample = re.sub(
            rf"(→ |, right is )({'|'.join(MOODS)})\b",
            lambda found: found[1] + shown_word(found[2]),
            evaluated.sample,
        )
        super().evaluated(replace(evaluated, sample=sample))


def learn(
    parts: Parts, wanted: Sequence[str], folder: Path, budget: Budget, observer: Observer
) -> Trained:
    """Train the models of the wanted roles that there are labels for, in `folder/topics` and
    `folder/mood`. They begin from one model; the time is shared by the number of texts."""
    rows = {"topics": _of_topics(parts), "mood": _of_moods(parts)}
    missing = {role: _too_few(role, parts, rows[role], budget) for role in wanted}
    roles = [role for role in wanted if not missing[role]]
    models: dict[str, api.Model] = {}
    seconds: dict[str, float] = {}
    calibrations = Calibrations()
    began, observer = time.monotonic(), WithoutFiles(observer, folder)
    every = [each.text for each in (*parts.learned, *parts.calibration)]
    if roles:
        with base_of(every, folder / "base", budget, observer) as base:
            for at, role in enumerate(roles):
                of_role = time.monotonic()
                ahead = sum(len(rows[each].learned) for each in roles[at:])
                left = budget.seconds - (of_role - began)
                share = left * len(rows[role].learned) / ahead
                observer.stage(STAGES[role])
                models[role] = _trained(rows[role], folder / role, base, share, observer)
                calibrations = _calibrated(calibrations, role, models[role], rows[role].calibration)
                seconds[role] = round(time.monotonic() - of_role, 1)
    said = judged(Analyst(Models(**models), calibrations, {}), parts.test) if models else {}
    learned = {}
    for role in roles:
        figures = _figures(role, rows[role], parts.test, said.get(role, []), seconds[role])
        more_time = more_time_helps(folder / role, figures.texts)
        learned[role] = replace(figures, more_time=more_time)
    rare = rare_labels(parts, wanted)
    missing = {role: why for role, why in missing.items() if why}
    return Trained(learned, missing, rare, calibrations, said)


def rare_labels(parts: Parts, roles: Sequence[str]) -> dict[str, int]:
    """The labels of these roles that too few texts have to be learned, with the number of texts, of
    those that are not for the test."""
    return {
        label: count
        for role in roles
        for label, count in _counts(role, [*parts.learned, *parts.calibration]).most_common()
        if count < FEWEST_EACH
    }


def _counts(role: str, texts: Sequence[Labelled]) -> Counter[str]:
    """How many texts have each label of a role."""
    return Counter(label for each in texts for label in labels_of(role, each))


def _known(role: str, parts: Parts) -> set[str]:
    """The labels of a role that are learned."""
    return _counts(role, parts.learned).keys() - rare_labels(parts, [role]).keys()


def _of_topics(parts: Parts) -> Rows:
    """The texts whose topics are known, without the topics that are too rare to learn. Texts that
    have only such topics are left out, because they are not texts without a topic."""
    known = _known("topics", parts)

    def rows(texts: Sequence[Labelled]) -> list[Row]:
        return [
            {"text": each.text, "label": [topic for topic in each.topics if topic in known]}
            for each in texts
            if each.topics is not None and (not each.topics or known.intersection(each.topics))
        ]

    return Rows(rows(parts.learned), rows(parts.calibration))


def _of_moods(parts: Parts) -> Rows:
    """The texts whose mood is known, without a mood that is too rare to learn."""
    known = _known("mood", parts)

    def rows(texts: Sequence[Labelled]) -> list[Row]:
        return [{"text": each.text, "label": each.mood} for each in texts if each.mood in known]

    return Rows(rows(parts.learned), rows(parts.calibration))


def _too_few(role: str, parts: Parts, rows: Rows, budget: Budget) -> str:
    """Why a role cannot be learned; "" if it can."""
    found, known = len(rows.learned), [*rows.counts]
    if not _counts(role, parts.learned):
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


def _trained(rows: Rows, folder: Path, base: str, seconds: float, observer: Observer) -> api.Model:
    """A classifier of these rows."""
    if folder.name == "mood":
        observer = _MoodNames(observer)
    with as_file(folder.with_name(f"{folder.name}.jsonl"), rows.learned) as file:
        return train_classifier(base, file, len(rows.learned), folder, seconds, observer)


def _figures(
    role: str, rows: Rows, test: Sequence[Labelled], said: Judged, seconds: float
) -> Learned:
    """The figures of a role, of what its model says of the texts of the test."""
    texts, kept, counts = len(rows.learned), len(rows.calibration), dict(rows.counts.most_common())
    if not said:
        return Learned(texts, 0, kept, counts, None, None, None, seconds)
    score = f1(role, said)
    supports = [*Counter(label for right, _ in said for label in right).values()]
    between = likely(role, score, len(said), supports)
    baseline = _baseline(role, rows, [each.text for each in test if is_labelled(role, each)], said)
    return Learned(texts, len(said), kept, counts, score, between, baseline, seconds)


def _baseline(role: str, rows: Rows, texts: Sequence[str], said: Judged) -> float | None:
    """What word counts reach on these texts; None if it can learn nothing."""
    labels = [_labels(row) for row in rows.learned]
    learned = [row["text"] for row in rows.learned]
    several = role == "topics"
    try:
        guesses = WordCounts.learn(learned, labels, [*rows.counts], several).chosen(texts)
    except XinyeError:
        return None
    pairs = zip(said, guesses, strict=True)
    return f1(role, [(right, {*guess}) for (right, _), guess in pairs])


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
