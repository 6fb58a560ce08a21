"""Mixes the records of tasks into the text of a pretraining (`--task-mix`).

A base model that has read a task's prompts and answers learns the task in fewer steps. Records are
read and turned into tokens as in fine-tuning, but all tokens are trained. Records that fine-tuning
keeps for validation, with the same files in the same order and the same seed, are left out, so its
figures stay honest. The validation text of the pretraining is not mixed, so bits per byte compare
with those of other runs.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from xinye.data.batches import Windows
from xinye.data.mixing import mix
from xinye.data.notes import Notes
from xinye.data.sources import check_libraries, fingerprint
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.planning.settings import PretrainSettings
from xinye.planning.task_mix import TaskMix, parse_mix
from xinye.tasks.registry import find_text_task
from xinye.tasks.settings import task_settings
from xinye.tasks.task import Task
from xinye.tasks.task_data import data_files, read_records, split_records


@dataclass(frozen=True)
class Mixed:
    """One `--task-mix` with its records, without those that are kept for validation."""

    asked: TaskMix
    task: Task
    records: Sequence[Any]
    fingerprint: str  # a hash of the files

    def texts(self) -> Iterator[str]:
        """The texts of the records, for the tokenizer."""
        for record in self.records:
            yield from record.contents if hasattr(record, "contents") else [record.whole]


# -- reading ---------------------------------------------------------------------------------------


def check_mixes(settings: PretrainSettings) -> None:
    """Raises `XinyeError` for an unknown task, a missing file or a missing package."""
    for asked in map(parse_mix, settings.task_mix):
        finetuning = settings_of([asked], settings)
        check_libraries(data_files(finetuning, finetuning.data))


def settings_of(mixes: Sequence[TaskMix], settings: PretrainSettings) -> FinetuneSettings:
    """The settings with which fine-tuning would read the records of a task in all its files."""
    first = mixes[0]
    if find_text_task(first.task).continues_text:
        raise XinyeError(
            f"task_mix: the task {first.task} has no records; give {first.file} as a text"
        )
    files = tuple(each.file for each in mixes)
    same = {"seed": settings.seed, "bad_bytes": settings.bad_bytes}
    return task_settings({"task": first.task, "data": files, **same}, "task_mix")


def read_mixes(settings: PretrainSettings, observer: Observer) -> list[Mixed]:
    """The records to mix in, in the order of the setting. The observer hears what was left out or
    read differently. Raises `XinyeError` for what cannot be read."""
    observer.stage("reading the records of --task-mix")
    notes = Notes()
    asked = [parse_mix(text) for text in settings.task_mix]
    tasks = dict.fromkeys(each.task for each in asked)
    found = {
        mixed.asked: mixed
        for task in tasks
        for mixed in _read([each for each in asked if each.task == task], settings, notes)
    }
    for said in notes.sentences():
        observer.warn(f"note: {said}")
    return [found[each] for each in asked]


def _read(mixes: Sequence[TaskMix], settings: PretrainSettings, notes: Notes) -> Iterator[Mixed]:
    """The records of a task, of each of its files, without those that are kept for validation."""
    finetuning = settings_of(mixes, settings)
    read = [read_records(finetuning, (each.file,), notes=notes) for each in mixes]
    records = [record for some in read for record in some]
    task = find_text_task(mixes[0].task).of(records)
    with suppress(XinyeError):  # too few to keep some: fine-tuning will need a file for validation
        records, _ = split_records(finetuning, task, records)
    trained = {id(record) for record in records}
    for asked, some in zip(mixes, read, strict=True):
        files = data_files(finetuning, (asked.file,))
        own = [record for record in some if id(record) in trained]
        yield Mixed(asked, task, own, fingerprint(files))


# -- mixing ----------------------------------------------------------------------------------------


def mix_in(
    text: Windows, tokenizer: Tokenizer, mixes: Sequence[Mixed], plan: Draft, observer: Observer
) -> tuple[Windows, list[dict[str, Any]]]:
    """The windows of the text together with those of the records, and facts about the records for
    the report. Notes both in the `plan`, and warns of what was cut."""
    sequences = [_sequences(mixed, tokenizer, text.context, observer) for mixed in mixes]

    size = text.tokens_per_epoch
    shares = [mixed.asked.share for mixed in mixes]
    times = repetitions(size, [sum(map(len, some)) for some in sequences], shares)
    begin, spans = 0, []
    for some, often in zip(sequences, times, strict=True):
        ends = begin + np.cumsum([len(tokens) for tokens in some])
        spans.append(repeated(np.stack((np.array([begin, *ends[:-1]]), ends), axis=1), often))
        begin = int(ends[-1])
    tokens = np.concatenate([np.array(tokens) for some in sequences for tokens in some])
    windows = text.joined(tokens, np.concatenate(spans))

    total = windows.tokens_per_epoch
    facts = [
        {
            "task": mixed.asked.task,
            "file": mixed.asked.file,
            "records": len(mixed.records),
            "times": round(often, 3),
            "tokens": (trained := int((its[:, 1] - its[:, 0]).sum())),
            "share": round(trained / total, 4),
            "fingerprint": mixed.fingerprint,
        }
        for mixed, often, its in zip(mixes, times, spans, strict=True)
    ]
    plan.note("training_tokens", total, "one pass over the training text and the tasks' records")
    plan.note("task_mix_tokens", total - size, "; ".join(map(_reason, facts)))
    return windows, facts


def _sequences(
    mixed: Mixed, tokenizer: Tokenizer, context: int, observer: Observer
) -> list[list[int]]:
    """The tokens of each record, without the `<bos>` with which each window begins anyway."""
    task = mixed.task
    examples = task.mixed(task.tokenizer(tokenizer), mixed.records, context)
    if cut := sum(example.cut > 0 for example in examples):
        long = f"{plural(cut, 'training record')} with more than {plural(context, 'token')}"
        said = f"records of the task {task.verb}, {long}: {task.cut}"
        observer.warn(f"note: {said}")
    return [
        example.tokens[1:] if example.tokens[0] == tokenizer.bos_id else example.tokens
        for example in examples
    ]


def _reason(fact: dict[str, Any]) -> str:
    """The reason for the tokens of one `--task-mix`, for the plan."""
    share, task, times = fact["share"], fact["task"], fact["times"]
    records = plural(fact["records"], "record")
    return f"{share:.1%} for {task}: {records} × {times:.3g} in each epoch"


def repetitions(text: int, sizes: Sequence[int], shares: Sequence[float | None]) -> list[float]:
    """How often the records of each size are read in one epoch, so that they have their shares of
    all tokens; once without a share. `text` and `sizes` are in tokens."""
    once = text + sum(size for size, share in zip(sizes, shares, strict=True) if share is None)
    total = once / (1 - sum(share or 0.0 for share in shares))
    return [
        1.0 if share is None else share * total / size
        for size, share in zip(sizes, shares, strict=True)
    ]


def repeated(spans: np.ndarray, times: float) -> np.ndarray:
    """Spans (n, 2) repeated this many times. Of the last, partial repetition, a hash of the number
    chooses the spans."""
    whole = int(times)
    rest = round((times - whole) * len(spans))
    chosen = np.argsort(mix(np.arange(len(spans), dtype=np.uint64)), kind="stable")
    chosen = np.sort(chosen[: rest if whole else max(1, rest)])
    return np.concatenate((np.tile(spans, (whole, 1)), spans[chosen]))
