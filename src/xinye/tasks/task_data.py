"""From files of records to examples: what every job that learns a task does first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.sources import fingerprint, headerless
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Plan
from xinye.planning.settings import parse_fold
from xinye.tasks.chat import Chat
from xinye.tasks.classify import Classify, named
from xinye.tasks.examples import Augmentation, Examples
from xinye.tasks.records import OnBad, refuse
from xinye.tasks.tag import Tag
from xinye.watcher import Watcher

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
    training, validation = split_records(settings, task, records)
    if settings.validation:
        validation = read_records(settings, settings.validation)
    task.check(validation)
    findings = list(filter(None, (without_header(settings, Path(file)) for file in settings.data)))
    findings += task.findings(training, validation)
    watcher.stage("tokenizing")
    theirs, tokenizer = tokenizer, task.tokenizer(tokenizer)
    parts = [task.examples(tokenizer, part, context) for part in (training, validation)]
    if isinstance(task, Tag):
        apart, joined = (
            sum(len(own.encode(r.text)) for r in training[:200]) for own in (tokenizer, theirs)
        )
        if apart > 1.2 * joined:
            findings.append(
                f"each Han character and mark is a token now, {apart / joined:.1f} times as many as the base knew: one "
                "pretrained with --tokenizer char learns to tag much better"
            )
        missed, total = task.out_of_reach(tokenizer, [*training, *validation])
        if missed:
            findings.append(
                f"{missed:,} of {total:,} spans have a border inside a token, so that they cannot be found"
            )
    sentences = [len(example.sentences) - 1 for example in parts[0]]
    if max(sentences) < 1 and (kinds := [kind for kind in settings.augment if kind != "mask"]):
        raise XinyeError(
            f"--augment {','.join(kinds)}: in a pair of texts what each says to the other would change; leave it out"
        )
    cut = sum(example.cut > 0 for example in parts[0])
    if cut:
        what = (
            "lost their oldest turns, and where that was not enough, words"
            if task.writes
            else "were cut"
        )
        findings.append(f"{cut:,} training records are longer than {context:,} tokens and {what}")
    of = "them" if task.writes else "each label's"
    part = f"part {settings.fold}" if settings.fold else f"{settings.validation_share:.0%}"
    kept = ", ".join(settings.validation) or f"{part} of {of}, by the seed"
    plan.choose("training_records", None, len(training), ", ".join(settings.data))
    plan.choose("validation_records", None, len(validation), kept)
    counts = task.counts(training)
    some = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:6])
    plan.choose(
        "roles" if task.writes else "labels",
        None,
        len(counts),
        some + (" …" if len(counts) > 6 else ""),
    )
    if task.writes:
        trained = sum(
            batch.counted for _, batch in Examples(parts[0], tokenizer.pad_id).in_order(256)
        )
        share = trained / sum(len(example.tokens) for example in parts[0])
        plan.choose("answer_tokens", None, trained, f"they alone are trained: {share:.0%} of all")
    reasons = {
        "mask_tokens": "of every training text, blotted out anew each time",
        "crop_tokens": "of every training text at most, left out at its ends",
        "shuffle_texts": f"of training texts; {sum(count > 1 for count in sentences):,} have several sentences",
    }
    for name, usual in settings.shares.items():
        plan.choose(name, None, usual, reasons[name])
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
        Examples(parts[0], tokenizer.pad_id, settings.seed, Augmentation(**settings.shares)),
        Examples(parts[1], tokenizer.pad_id), fingerprint(files), facts,
    )  # fmt: skip


def split_records(
    settings: FinetuneSettings, task: Task, records: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The records to learn from, and those of them that are kept to judge on, none where a file has those."""
    if settings.validation:
        return list(records), []
    fold = parse_fold(settings.fold) if settings.fold else None
    return task.split(records, settings.validation_share, settings.seed, fold)


def read_records(
    settings: FinetuneSettings, files: Sequence[str], on_bad: OnBad = refuse
) -> list[Any]:
    """The records of files, as the task has them."""
    if settings.task != "classify":
        return TASKS[settings.task].read(files, on_bad)
    return Classify.read(
        files, settings.text_field, settings.label_field, settings.label_separator, on_bad
    )


def format_of(records: Sequence[Any]) -> str:
    """How records were found in their file."""
    return "; ".join(dict.fromkeys(record.format for record in records))


def without_header(settings: FinetuneSettings, path: Path) -> str:
    """That, and why, the first line of a table was taken for a record; "" where it was not."""
    if settings.task == "classify":
        reason = headerless(path, named(settings.text_field, settings.label_field), tabbed=True)
    else:
        reason = "" if settings.task == "tag" else headerless(path)
    advice = (
        "; if it is a header, name columns by its words: --text-field, --label-field"
        if reason
        else ""
    )
    return (
        reason
        and f"{path}: the first line is a record, for {reason}, and columns have numbers{advice}"
    )
