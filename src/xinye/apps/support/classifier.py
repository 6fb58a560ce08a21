"""Trains the model of a desk that says what a question is about, with the existing recipes: a small
GPT on the company's texts, then a classifier on the questions with intents. A linear model of their
words is learned beside it."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled
from xinye.apps.support.intents import WORDS, Intents
from xinye.apps.training import Budget, as_file, base_of, train_classifier
from xinye.errors import plural
from xinye.observer import Observer
from xinye.retrieval.confidence import Threshold

FEWEST_INTENTS = 2
FEWEST_EACH = 10  # questions of an intent; rarer ones are not learned
FEWEST = 100  # questions with intents
CALIBRATION = 0.1  # share of the questions with intents


@dataclass(frozen=True)
class Trained:
    """A classifier: its figures on the questions that were kept apart, those of word counts on the
    same, and how many of these and of the learned questions there were. `network` is the accuracy
    without the model of words."""

    intents: int
    questions: int
    test_questions: int
    accuracy: float | None
    baseline: float | None
    seconds: float
    kept: bool  # whether it is as good as the baseline, and so used
    network: float | None = None
    calibrated_on: int = 0  # questions, which were not learned


def is_good(accuracy: float | None, baseline: float | None, questions: int) -> bool:
    """Whether a classifier is as good as the baseline, or so little worse that it may be chance (95
    % of cases). One that was not tested passes."""
    if accuracy is None or baseline is None:
        return True
    spread = accuracy * (1 - accuracy) + baseline * (1 - baseline)
    return baseline - accuracy <= 1.96 * sqrt(spread / questions)


def learnable(labelled: Sequence[Labelled]) -> tuple[list[Labelled], str]:
    """The questions of the intents that are frequent enough; or none, and why not."""
    counts = Counter(each.label for each in labelled)
    kept = [each for each in labelled if counts[each.label] >= FEWEST_EACH]
    intents = len({each.label for each in kept})
    if not labelled:
        return [], "no question has an intent; add a column such as intent or 意图"
    if intents < FEWEST_INTENTS or len(kept) < FEWEST:
        return [], (
            f"{plural(len(labelled), 'question')} with {plural(len(counts), 'intent')} are too "
            f"few: at least {FEWEST_INTENTS} intents with {FEWEST_EACH} questions each, and "
            f"{FEWEST} questions in all, are needed"
        )
    return kept, ""


def train_intents(
    learned: Sequence[Labelled],
    test: Sequence[Labelled],
    texts: Sequence[str],
    folder: Path,
    budget: Budget,
    observer: Observer,
) -> tuple[Trained, list[Threshold]]:
    """Train the classifier in `folder`, and calibrate it on questions that are kept apart for that.
    The small GPT learns from `texts` and is deleted again; so is a classifier that is worse than
    the baseline."""
    known = {each.label for each in learned}
    asked = [each for each in test if each.label in known]
    learned = random.Random(0).sample([*learned], len(learned))
    count = round(CALIBRATION * len(learned))
    apart, learned = learned[:count], learned[count:]
    began = time.monotonic()
    records, held_out = (
        as_file(folder.with_name(f"{folder.name}-{name}.jsonl"), (row.model_dump() for row in rows))
        for name, rows in (("train", learned), ("test", asked))
    )
    base = base_of(texts, folder.with_name(f"{folder.name}-base"), budget, observer)
    with base as model, records as file, held_out as test_file:
        observer.stage("training the classifier of intents")
        left = budget.seconds - (time.monotonic() - began)
        classifier = train_classifier(model, file, len(learned), folder, left, observer)
        figures: dict[str, Any] = classifier.evaluate_task(test_file) if asked else {}
    parts = (*figures.get("mixes", ()), figures.get("measured"))  # the network alone, if mixed
    alone, baseline = (
        each["accuracy"] if each else None for each in (parts[0], figures.get("baseline"))
    )
    words = Classes.learn([each.text for each in learned], [each.label for each in learned])
    words.save(folder / WORDS)
    intents = Intents(classifier, words)
    accuracy = intents.accuracy(asked)
    kept = is_good(accuracy, baseline, len(asked))
    if not kept:
        shutil.rmtree(folder)
    seconds = round(time.monotonic() - began, 1)
    counts = len(known), len(learned), len(asked)
    trained = Trained(*counts, accuracy, baseline, seconds, kept, alone, count)
    return trained, intents.thresholds(apart)
