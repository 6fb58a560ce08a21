"""Prepares the data of a task: reads files of records, splits them and turns them into examples."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.encodings import bad_bytes
from xinye.data.files import file_size
from xinye.data.notes import Notes
from xinye.data.sources import fingerprint
from xinye.data.spreadsheets import sheet_named
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.planning.units import parse_fold
from xinye.retrieval.manifest import MANIFEST
from xinye.tasks.bad_records import bad_records, too_many, with_skip
from xinye.tasks.records import Examples, OnBad, refuse
from xinye.tasks.registry import find_text_task
from xinye.tasks.task import Task

FEW = 20  # validation records: one of them is 5 points of accuracy or more


@dataclass
class TaskData:
    """Data that are ready for training. `training` and `validation` hold the task's records,
    `examples` and `validation_examples` the same as tokens and targets."""

    task: Task
    tokenizer: Tokenizer
    training: list[Any]
    validation: list[Any]
    examples: Examples
    validation_examples: Examples
    fingerprint: str  # a hash of the files
    facts: dict[str, Any]  # facts for the report

    @property
    def mean_length(self) -> float:
        """The mean number of tokens in a training example."""
        return float(np.mean([len(example.tokens) for example in self.examples.examples]))


def prepare_data(
    settings: FinetuneSettings, tokenizer: Tokenizer, context: int, plan: Draft, observer: Observer
) -> TaskData:
    """Read, split, check and tokenize the records. Adds facts to the plan, and warns of
    findings."""
    observer.stage("reading the records")
    notes = Notes()
    records = read_records(settings, settings.data, notes=notes)
    task = find_text_task(settings.task).of(records)
    training, validation = split_records(settings, task, records)
    if settings.validation:
        validation = read_records(settings, settings.validation, notes=notes)
    validation = evaluable(task, validation, settings, notes)
    files = [*data_files(settings, settings.data), *data_files(settings, settings.validation)]
    headers = (without_header(settings, path) for path in data_files(settings, settings.data))
    findings = [said for said in headers if said]
    findings += [*notes.sentences(), *task.findings(training, validation)]
    findings += too_few(settings, task, validation)
    observer.stage("tokenizing")
    theirs, tokenizer = tokenizer, task.tokenizer(tokenizer)
    enlarged = task.enlarged(training, settings)
    examples = task.training_examples(tokenizer, enlarged, context, settings)
    learned = examples.examples
    judged = task.examples(tokenizer, validation, context)
    findings += task.token_findings(tokenizer, theirs, training, validation)
    cut = sum(example.cut > 0 for example in learned)
    if cut:
        long = f"{plural(cut, 'training record')} with more than {plural(context, 'token')}"
        findings.append(f"{long}: {task.cut}")
    sentences = [len(example.sentences) - 1 for example in learned]
    check_augmentation(settings, sentences)
    counts = task.counts(training)
    note_records(plan, settings, task, (training, validation), counts)
    if task.writes:
        trained = sum(
            batch.counted for _, batch in Examples(learned, tokenizer.pad_id).in_order(256)
        )
        share = trained / sum(len(example.tokens) for example in learned)
        plan.choose("answer_tokens", None, trained, f"only these are trained, {share:.0%} of all")
    _note_augmentation(plan, settings, sentences)
    facts = {
        "files": len(files),
        "bytes": sum(map(file_size, files)),
        "characters": sum(len(record.whole) for record in (*training, *validation)),
        "documents": len(training) + len(validation),
        "counts": counts,
        "findings": findings,
        **task.facts(training),
    }
    for finding in findings:
        observer.warn(f"note: {finding}")
    return TaskData(
        task, tokenizer, training, validation, examples, Examples(judged, tokenizer.pad_id),
        fingerprint([*files, *knowledge_files(settings)]), facts,
    )  # fmt: skip


def knowledge_files(settings: FinetuneSettings) -> list[Path]:
    """The file by which a change of the knowledge base is known, if passages are found in one, and
    the files of confusions."""
    manifest = [settings.knowledge / MANIFEST] if settings.knowledge else []
    return [*manifest, *map(Path, settings.confusions)]


def _note_augmentation(plan: Draft, settings: FinetuneSettings, sentences: Sequence[int]) -> None:
    """Note in the plan what each augmentation changes, and its share."""
    several = sum(count > 1 for count in sentences)
    reasons = {
        "mask_tokens": "of every training text, masked at random each time",
        "crop_tokens": "of every training text at most, cut off at its ends",
        "shuffle_texts": f"of training texts, of which {several:,} have several sentences",
    }
    for name, usual in settings.shares.items():
        plan.choose(name, None, usual, reasons[name])


def check_augmentation(settings: FinetuneSettings, sentences: Sequence[int]) -> None:
    """Raises `XinyeError` if the texts cannot be augmented in this way. `sentences` holds the
    number of sentences of each text."""
    kinds = [kind for kind in settings.augment if kind != "mask"]
    if kinds and max(sentences) < 1:
        raise XinyeError(
            f"--augment {','.join(kinds)}: would break the relation between the texts of a pair; "
            "leave it out"
        )


def note_records(
    plan: Draft,
    settings: FinetuneSettings,
    task: Task,
    parts: tuple[list[Any], list[Any]],
    counts: dict[str, int],
) -> None:
    """Add the numbers of training and validation records and of labels to the plan."""
    training, validation = parts
    kept = f"{settings.validation_share:.0%} of {task.kept_of}, drawn at random with the seed"
    if settings.fold:
        kept = f"fold {settings.fold} of {task.kept_of}, drawn at random with the seed"
    kept = ", ".join(settings.validation) or kept
    plan.choose("training_records", None, len(training), ", ".join(settings.data))
    plan.choose("validation_records", None, len(validation), kept)
    if counts:
        some = ", ".join(f"{label} {count:,}" for label, count in list(counts.items())[:6])
        more = " …" if len(counts) > 6 else ""
        plan.choose(task.counts_name, None, len(counts), some + more)


def split_records(
    settings: FinetuneSettings, task: Task, records: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The training and the validation records. Validation is empty if it has its own files."""
    if settings.validation:
        return list(records), []
    fold = parse_fold(settings.fold) if settings.fold else None
    return task.split(records, settings.validation_share, settings.seed, fold)


@contextmanager
def reading(settings: FinetuneSettings, notes: Notes) -> Iterator[None]:
    """Within this context, files are read with the settings for bad bytes, bad records and the
    sheet. `notes` report what is replaced."""
    with (
        bad_bytes(settings.bad_bytes, notes),
        sheet_named(settings.sheet),
        bad_records(settings.bad_records),
    ):
        yield


def read_records(
    settings: FinetuneSettings,
    files: Sequence[str],
    on_bad: OnBad = refuse,
    notes: Notes | None = None,
) -> list[Any]:
    """The records of files, read by the task with the settings' columns."""
    notes = notes or Notes()
    with reading(settings, notes):
        return find_text_task(settings.task).read(files, on_bad, notes, **columns_of(settings))


def evaluable(
    task: Task, records: Sequence[Any], settings: FinetuneSettings, notes: Notes
) -> list[Any]:
    """The records on which a model of the task can be evaluated. The others are an error, or left
    out with a note if bad records are skipped. Raises `XinyeError` if these are more than half."""
    if settings.bad_records != "skip":
        try:
            task.check(records)
        except XinyeError as error:
            raise with_skip(error) from None
        return list(records)
    kept, bad = [], []
    for record in records:
        try:
            task.check([record])
        except XinyeError as error:
            bad.append(error)
            reason = str(error).removeprefix(f"{record.place}: ")
            notes.add(record.place, f"left out of the evaluation: {reason}")
        else:
            kept.append(record)
    if len(bad) > len(kept):
        count = len(bad)
        raise too_many(f"{count:,} of {len(records):,} records cannot be evaluated", str(bad[0]))
    return kept


def too_few(settings: FinetuneSettings, task: Task, validation: Sequence[Any]) -> list[str]:
    """A sentence if the validation records of a task with labels are so few that their figures are
    chance. A fold is judged together with the others."""
    if not task.head or settings.fold or not 0 < len(validation) < FEW:
        return []
    return [
        f"validation has only {plural(len(validation), 'record')}, so its figures can be chance; "
        "name more with --validation, or train with --folds 5"
    ]


def data_files(
    settings: FinetuneSettings, names: Sequence[str], notes: Notes | None = None
) -> list[Path]:
    """The record files that names stand for. `notes` report what is skipped."""
    return find_text_task(settings.task).find_files(names, notes)


def columns_of(settings: FinetuneSettings) -> dict[str, str | None]:
    """The values of the column settings that the task uses."""
    return {name: getattr(settings, name) for name in find_text_task(settings.task).columns}


def format_of(records: Sequence[Any]) -> str:
    """A description of the formats in which the records were found."""
    return "; ".join(dict.fromkeys(record.format for record in records))


def without_header(settings: FinetuneSettings, path: Path) -> str:
    """That the first line of a table was read as a record, with the reason and advice, or "" if it
    was not."""
    task = find_text_task(settings.task)
    with reading(settings, Notes()):
        reason = task.without_header(path, **columns_of(settings))
    if not reason:
        return ""
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in task.columns[:2])
    advice = f"if it is a header, name columns by its words: {flags}" if flags else "add a header"
    return f"{path}: the first line is read as a record, because {reason}; {advice}"
