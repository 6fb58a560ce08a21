"""Judge texts with a fine-tuned model, and the model on records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye.checkpoints.huggingface import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.model.heads import Head
from xinye.recipes.finetune_settings import FinetuneSettings
from xinye.recipes.task_data import Task, read_records
from xinye.recipes.watcher import Watcher
from xinye.tasks.classify import Classify
from xinye.tasks.tag import Tag


def task_of(model: Head) -> Task:
    """The task that a network has learned."""
    config = model.config
    return Classify(config.labels, config.several) if config.kind == "sequence" else Tag(config.labels)


def classify(model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """`label`, `probability` and `probabilities` of each text or pair; where there may be several, `labels`."""
    task = Classify(model.config.labels, model.config.several)
    results: list[dict[str, Any]] = []
    for row in task.probabilities(model, tokenizer, texts, context_of(model)):
        chosen, probabilities = task.chosen(row), dict(zip(task.labels, row, strict=True))
        if task.several:
            results.append({"labels": list(chosen), "probabilities": probabilities})
        else:
            best = {"label": chosen[0], "probability": probabilities[chosen[0]]}
            results.append(best | {"probabilities": probabilities})
    return results


def tag(model: Head, tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The spans of each text: `start`, `end`, `type`, `text`, `probability`."""
    found = Tag(model.config.labels).find(model, tokenizer, texts, context_of(model))
    return [
        [
            {**span._asdict(), "text": text[span.start : span.end], "probability": probability}
            for span, probability in spans
        ]
        for text, spans in zip(texts, found, strict=True)
    ]


def evaluate(
    model: Head,
    tokenizer: Tokenizer,
    folder: Path,
    files: Sequence[str],
    with_baseline: bool = True,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """How right the model of a folder is on records, beside the baseline that learns from the run's own records.

    Where these are not at hand any more the baseline is None and a note says why.
    """
    watcher, task = watcher or Watcher(), task_of(model)
    settings = settings_of(folder, task)
    watcher.stage("reading the records")
    records = read_records(settings, files)
    task.check(records)
    watcher.stage("judging")
    measured = task.measure(model, tokenizer, records, context_of(model))
    notes: list[str] = []
    baseline = None
    if with_baseline:
        try:
            if not settings.data:
                raise XinyeError("what the model learned from is not known here")
            watcher.stage("learning the baseline")
            training = read_records(settings, settings.data)
            if not settings.validation:
                training, _ = task.split(training, settings.validation_share, settings.seed)
            notes += [finding for finding in task.findings(training, records) if "in the training data" in finding]
            baseline = {"name": task.baseline_name, **task.baseline(training, records)}
        except XinyeError as error:
            notes.append(f"no baseline: {error}")
    return {
        "model": str(folder), "task": task.verb, "files": list(files), "records": len(records), "measured": measured,
        "baseline": baseline, "notes": notes,
    }  # fmt: skip


def settings_of(folder: Path, task: Task) -> FinetuneSettings:
    """The settings of the run of a folder; what can be known without it, where there is none."""
    path = folder / "training" / "settings.json"
    if not path.is_file():
        return FinetuneSettings(task=task.verb)
    return checked(FinetuneSettings, read_json(path).get("settings", {}), str(path))


def context_of(model: Head) -> int:
    """How many tokens of a text the model reads."""
    return model.gpt.config.max_position_embeddings  # less than its config's, where there is a prefix
