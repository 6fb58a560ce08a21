"""Trains the model of a desk that says what a question is about, with the existing recipes: a small
GPT on the company's texts, then a classifier on the questions with intents."""

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xinye import api
from xinye.apps.support.desk_folder import Labelled
from xinye.data.files import write_json_lines
from xinye.errors import plural
from xinye.observer import Observer

FEWEST_INTENTS = 2
FEWEST_EACH = 10  # questions of an intent; rarer ones are not learned
FEWEST = 100  # questions with intents
PRETRAINING = 0.4  # share of the time
EPOCHS = 40  # of the classifier, at most
LEAST_EPOCHS = 2
CONTEXT = 128


@dataclass(frozen=True)
class Trained:
    """A classifier: its figures on the questions that were kept apart, those of TF-IDF with
    logistic regression on the same, and how many of these and of the learned questions there
    were."""

    intents: int
    questions: int
    test_questions: int
    accuracy: float | None
    baseline: float | None
    seconds: float


def learnable(labelled: Sequence[Labelled]) -> tuple[list[Labelled], str]:
    """The questions of the intents that are frequent enough; or none, and why not."""
    counts = Counter(each.label for each in labelled)
    kept = [each for each in labelled if counts[each.label] >= FEWEST_EACH]
    intents = len({each.label for each in kept})
    if not labelled:
        return [], "no question has an intent; add a column such as intent or 意图"
    if intents < FEWEST_INTENTS or len(kept) < FEWEST:
        return [], (
            f"{plural(len(labelled), 'question')} with {plural(len(counts), 'intent')} are too few: "
            f"at least {FEWEST_INTENTS} intents with {FEWEST_EACH} questions each, and "
            f"{FEWEST} questions in all, are needed"
        )
    return kept, ""


@dataclass(frozen=True)
class Budget:
    """The time to train, in seconds, and the model to begin with; "" to train one from scratch."""

    seconds: float
    base: str = ""


def train_intents(
    learned: Sequence[Labelled],
    test: Sequence[Labelled],
    texts: Sequence[str],
    folder: Path,
    budget: Budget,
    observer: Observer,
) -> Trained:
    """Train the classifier in `folder`. The small GPT learns from `texts` and is deleted again."""
    beside = folder.with_name(f"{folder.name}-base")
    records, held_out = (folder.with_name(f"{folder.name}-{name}.jsonl") for name in ("train", "test"))
    write_json_lines(records, (each.model_dump() for each in learned))
    known = {each.label for each in learned}
    asked = [each for each in test if each.label in known]
    write_json_lines(held_out, (each.model_dump() for each in asked))
    try:
        seconds, speed = 0.0, 0.0
        if not budget.base:
            seconds, speed = _pretrain(texts, beside, budget.seconds * PRETRAINING, observer)
        observer.stage("training the classifier of intents")
        model = api.finetune(
            budget.base or beside,
            folder,
            data=records,
            task="classify",
            observer=observer,
            **({} if budget.base else {"epochs": _epochs(learned, (budget.seconds - seconds) * speed)}),
        )
        result = json.loads((folder / "training" / "result.json").read_bytes())
        figures: dict[str, Any] = model.evaluate_task(held_out) if asked else {}
        measured, baseline = figures.get("measured"), figures.get("baseline")
        return Trained(
            len(known),
            len(learned),
            len(asked),
            measured["accuracy"] if measured else None,
            baseline["accuracy"] if baseline else None,
            seconds + result["seconds"],
        )
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for path in (records, held_out, beside.with_suffix(".jsonl")):
            path.unlink(missing_ok=True)


def _pretrain(
    texts: Sequence[str], folder: Path, seconds: float, observer: Observer
) -> tuple[float, float]:
    """Train a small GPT on texts; returns its seconds, and its speed in tokens a second."""
    observer.stage("training a small GPT on the texts")
    file = folder.with_suffix(".jsonl")
    write_json_lines(file, ({"text": text} for text in texts))
    run = api.pretrain(
        file,
        folder,
        size="1M",
        time=f"{max(1, round(seconds))}s",
        context=CONTEXT,
        evaluations=2,
        compile="no",
        observer=observer,
    )
    return run.seconds, run.tokens_per_second


def _epochs(learned: Sequence[Labelled], tokens: float) -> float:
    """How many times the questions are trained on, so that it takes about so many tokens: a token
    has a character or more."""
    characters = sum(len(each.text) for each in learned)
    return max(LEAST_EPOCHS, min(EPOCHS, round(tokens / max(1, characters))))
