"""Judge texts with a fine-tuned model, and the model on records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.data.files import read_json
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked
from xinye.model.build import LanguageModel
from xinye.model.heads import Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify
from xinye.tasks.examples import Examples
from xinye.tasks.tag import Tag
from xinye.tasks.task_data import Task, read_records, split_records
from xinye.watcher import Watcher


def task_of(model: LanguageModel | Head) -> Task:
    """The task that a network has learned: one that writes, to chat."""
    if not isinstance(model, Head):
        return Chat()
    config = model.config
    return (
        Classify(config.labels, config.several) if config.kind == "sequence" else Tag(config.labels)
    )


def classify(
    model: Head, tokenizer: Tokenizer, texts: Sequence[tuple[str, str]]
) -> list[dict[str, Any]]:
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
    model: LanguageModel | Head,
    tokenizer: Tokenizer,
    folder: Path,
    files: Sequence[str],
    with_baseline: bool = True,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """How right the model of a folder is on records, beside the baseline that learns from the run's own records, or for
    `chat` the model that the run began with.

    Where these are not at hand any more the baseline is None and a note says why.
    """
    watcher, task = watcher or Watcher(), task_of(model)
    settings = settings_of(folder, task)
    watcher.stage("reading the records")
    records = read_records(settings, files)
    task.check(records)
    watcher.stage("judging")
    measured = judge(task, model, tokenizer, records)
    notes: list[str] = []
    baseline = None
    if with_baseline:
        try:
            if not settings.data:
                raise XinyeError("what the model learned from is not known here")
            if isinstance(task, Chat):
                watcher.stage("judging the base model")
                figures = judge(
                    task, load_model(settings.model)[0].to(machine.device()), tokenizer, records
                )
            else:
                watcher.stage("learning the baseline")
            training, _ = split_records(settings, task, read_records(settings, settings.data))
            notes += [
                finding
                for finding in task.findings(training, records)
                if "in the training data" in finding
            ]
            if not isinstance(task, Chat):
                figures = task.baseline(training, records)
            baseline = {"name": task.baseline_name, **figures}
        except XinyeError as error:
            notes.append(f"no baseline: {error}")
    return {
        "model": str(folder), "task": task.verb, "files": list(files), "records": len(records), "measured": measured,
        "baseline": baseline, "notes": notes,
    }  # fmt: skip


def judge(task: Task, model: Any, tokenizer: Tokenizer, records: Sequence[Any]) -> dict[str, Any]:
    """All that a task has to say of a model."""
    measured = task.measure(model, tokenizer, records, context_of(model))
    if isinstance(task, Chat):
        examples = Examples(task.examples(tokenizer, records, context_of(model)), tokenizer.pad_id)
        measured = task.losses(model, tokenizer, examples) | measured
    return measured


def settings_of(folder: Path, task: Task) -> FinetuneSettings:
    """The settings of the run of a folder; what can be known without it, where there is none."""
    path = folder / "training" / "settings.json"
    if not path.is_file() or read_json(path).get("recipe") != FinetuneSettings.recipe:
        return FinetuneSettings(task=task.verb)
    return checked(FinetuneSettings, read_json(path).get("settings", {}), str(path))


def context_of(model: LanguageModel | Head) -> int:
    """How many tokens of a text the model reads."""
    gpt = model.gpt if isinstance(model, Head) else model
    return gpt.config.max_position_embeddings  # less than its config's, where there is a prefix
