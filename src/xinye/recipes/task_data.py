"""From files of records to examples: what every job that learns a task does first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.sources import fingerprint, headerless
from xinye.data.tokenizer import Tokenizer
from xinye.recipes.finetune_settings import FinetuneSettings
from xinye.recipes.plan import Plan
from xinye.recipes.watcher import Watcher
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify, named
from xinye.tasks.examples import Examples, OnBad, refuse
from xinye.tasks.tag import Tag

Task = Classify | Tag | Chat
TASKS: dict[str, Any] = {"classify": Classify, "tag": Tag, "chat": Chat}


@dataclass
class TaskData:
    """Records ready to learn from. `training` and `validation` are the task's own records."""

    task: Task
    tokenizer: Tokenizer
    training: list[Any]
    validation: list[Any]
    examples: Examples
    validation_examples: Examples
    fingerprint: str  # of the files
    facts: dict[str, Any]  # what the report tells of them

    @property
    def mean_length(self) -> float:
        """Tokens of a training example."""
        return float(np.mean([len(example.tokens) for example in self.examples.examples]))


def prepare_data(
    settings: FinetuneSettings, tokenizer: Tokenizer, context: int, plan: Plan, watcher: Watcher
) -> TaskData:
    """Read, split, check and tokenize."""
    watcher.stage("reading the records")
    records = read_records(settings, settings.data)
    task: Task = TASKS[settings.task].of(records)
    if settings.validation:
        training, validation = records, read_records(settings, settings.validation)
    else:
        training, validation = task.split(records, settings.validation_share, settings.seed)
    task.check(validation)
    findings = list(filter(None, (without_header(settings, Path(file)) for file in settings.data)))
    findings += task.findings(training, validation)
    watcher.stage("tokenizing")
    tokenizer = task.tokenizer(tokenizer)
    parts = [task.examples(tokenizer, part, context) for part in (training, validation)]
    if isinstance(task, Tag):
        missed, total = task.out_of_reach(tokenizer, [*training, *validation])
        if missed:
            findings.append(f"{missed:,} of {total:,} spans have a border inside a token, so that they cannot be found")
    cut = sum(example.cut > 0 for example in parts[0])
    if cut:
        what = "lost their oldest turns, and where that was not enough, words" if task.writes else "were cut"
        findings.append(f"{cut:,} training records are longer than {context:,} tokens and {what}")
    of = "them" if task.writes else "each label's"
    kept = ", ".join(settings.validation) or f"{settings.validation_share:.0%} of {of}, by the seed"
    plan.choose("training_records", None, len(training), ", ".join(settings.data))
    plan.choose("validation_records", None, len(validation), kept)
    counts = task.counts(training)
    some = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:6])
    plan.choose("roles" if task.writes else "labels", None, len(counts), some + (" …" if len(counts) > 6 else ""))
    if task.writes:
        trained = sum(batch.counted for _, batch in Examples(parts[0], tokenizer.pad_id).in_order(256))
        share = trained / sum(len(example.tokens) for example in parts[0])
        plan.choose("answer_tokens", None, trained, f"they alone are trained: {share:.0%} of all")
    files = [Path(file) for file in (*settings.data, *settings.validation)]
    facts = {
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        "characters": sum(len(record.whole) for record in (*training, *validation)),
        "documents": len(training) + len(validation),
        "counts": counts,
        "findings": findings,
    }
    for finding in findings:
        watcher.warn(f"the data: {finding}")
    return TaskData(
        task, tokenizer, training, validation,
        Examples(parts[0], tokenizer.pad_id, settings.seed, settings.mask_tokens or 0.0),
        Examples(parts[1], tokenizer.pad_id), fingerprint(files), facts,
    )  # fmt: skip


def read_records(settings: FinetuneSettings, files: Sequence[str], on_bad: OnBad = refuse) -> list[Any]:
    """The records of files, as the task has them."""
    if settings.task != "classify":
        return TASKS[settings.task].read(files, on_bad)
    return Classify.read(files, settings.text_field, settings.label_field, settings.label_separator, on_bad)


def format_of(records: Sequence[Any]) -> str:
    """How records were found in their file."""
    return "; ".join(dict.fromkeys(record.format for record in records))


def without_header(settings: FinetuneSettings, path: Path) -> str:
    """That, and why, the first line of a table was taken for a record; "" where it was not."""
    if settings.task == "classify":
        reason = headerless(path, named(settings.text_field, settings.label_field), tabbed=True)
    else:
        reason = "" if settings.task == "tag" else headerless(path)
    advice = "; if it is a header, name columns by its words: --text-field, --label-field" if reason else ""
    return reason and f"{path}: the first line is a record, for {reason}, and columns have numbers{advice}"
