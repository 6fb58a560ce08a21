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

from xinye import api
from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_folder import Labelled, Step
from xinye.apps.support.intents import WORDS, Intents
from xinye.data.files import write_json_lines
from xinye.errors import plural
from xinye.observer import Observer
from xinye.runs.folder import RunFolder

FEWEST_INTENTS = 2
FEWEST_EACH = 10  # questions of an intent; rarer ones are not learned
FEWEST = 100  # questions with intents
CALIBRATION = 0.1  # share of the questions with intents
PRETRAINING = 0.4  # share of the time
EPOCHS = 40  # of the classifier, at most
TRIAL = 5  # steps that are timed first, to know how many fit into the time
SPARE = 0.8  # share of the time that is planned for steps; evaluations take the rest
CONTEXT = 128


@dataclass(frozen=True)
class Trained:
    """A classifier: its figures on the questions that were kept apart, those of TF-IDF with
    logistic regression on the same, and how many of these and of the learned questions there
    were. `network` is the accuracy without the model of words."""

    intents: int
    questions: int
    test_questions: int
    accuracy: float | None
    baseline: float | None
    seconds: float
    kept: bool  # whether it is as good as the baseline, and so used
    network: float | None = None


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


@dataclass(frozen=True)
class Budget:
    """The time to train, in seconds; the model to begin with, "" to train one from scratch; and the
    wanted precision."""

    seconds: float
    base: str
    precision: float


def train_intents(
    learned: Sequence[Labelled],
    test: Sequence[Labelled],
    texts: Sequence[str],
    folder: Path,
    budget: Budget,
    observer: Observer,
) -> tuple[Trained, Step]:
    """Train the classifier in `folder`, and calibrate it on questions that are kept apart for that.
    The small GPT learns from `texts` and is deleted again; so is a classifier that is worse than
    the baseline."""
    files = [folder.with_name(f"{folder.name}-{name}") for name in ("base", "trial")]
    base, trial = files
    records, held_out, corpus = (
        folder.with_name(f"{folder.name}-{name}.jsonl") for name in ("train", "test", "texts")
    )
    known = {each.label for each in learned}
    asked = [each for each in test if each.label in known]
    learned = random.Random(0).sample([*learned], len(learned))
    count = round(CALIBRATION * len(learned))
    apart, learned = learned[:count], learned[count:]
    write_json_lines(records, (each.model_dump() for each in learned))
    write_json_lines(held_out, (each.model_dump() for each in asked))
    write_json_lines(corpus, ({"text": text} for text in texts))
    began = time.monotonic()
    try:
        model: Path | str = budget.base
        if not budget.base:
            observer.stage("training a small GPT on the texts")
            _pretrain(corpus, base, budget.seconds * PRETRAINING, observer)
            model = base
        observer.stage("training the classifier of intents")
        _finetune(model, trial, records, TRIAL, Observer())
        left = budget.seconds - (time.monotonic() - began)
        steps = _steps(trial, len(learned), left)
        classifier = _finetune(model, folder, records, steps, observer)
        figures: dict[str, Any] = classifier.evaluate_task(held_out) if asked else {}
        alone, baseline = (
            figures[name]["accuracy"] if figures.get(name) else None
            for name in ("measured", "baseline")
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
        trained = Trained(*counts, accuracy, baseline, seconds, kept, alone)
        return trained, intents.step(apart, budget.precision)
    finally:
        for path in files:
            shutil.rmtree(path, ignore_errors=True)
        for path in (records, held_out, corpus):
            path.unlink(missing_ok=True)


def _pretrain(corpus: Path, folder: Path, seconds: float, observer: Observer) -> None:
    """Train a small GPT on texts, for so many seconds."""
    run = api.pretrain(
        corpus,
        folder,
        size="1M",
        time=f"{max(1, round(seconds))}s",
        context=CONTEXT,
        evaluations=2,
        compile="no",
        observer=observer,
    )
    _check_finished(run.interrupted)


def _finetune(
    model: Path | str, folder: Path, records: Path, steps: int, observer: Observer
) -> api.Model:
    """Train a classifier for so many steps."""
    trained = api.finetune(
        model, folder, data=records, task="classify", steps=steps, evaluations=2, observer=observer
    )
    _check_finished(RunFolder(folder).result()["interrupted"])
    return trained


def _check_finished(signal: int) -> None:
    """Stop if a person stopped the training: half a desk is none."""
    if signal:
        raise KeyboardInterrupt


def _steps(trial: Path, records: int, seconds: float) -> int:
    """The number of steps that fit into the time, as those of a trial took it."""
    result, batch = RunFolder(trial).result(), RunFolder(trial).plan()["batch_size"]
    most = max(TRIAL, round(EPOCHS * records / batch))
    return max(TRIAL, min(most, int(SPARE * seconds * TRIAL / max(result["seconds"], 1e-3))))
