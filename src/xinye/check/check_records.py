"""Checks records of a task before training, and shows them as the model reads them.

Checking continues after a bad record, so that all of them are reported with file and line;
`finetune` stops at the first one.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye.checkpoints.load import load_model
from xinye.data.notes import Notes
from xinye.data.personal import KINDS, find_personal
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, quoted
from xinye.planning.column_settings import COLUMNS
from xinye.planning.command_line import command_line
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.registry import find_text_task
from xinye.tasks.task import Mark, Task
from xinye.tasks.task_data import (
    data_files,
    evaluable,
    format_of,
    read_records,
    split_records,
    too_few,
    without_header,
)

SHOWN = 3  # records
LISTED = 1000  # bad records
CONTEXT = 2048  # tokens of context, if no model is given
LEARNED_FROM = 1000  # records from which a tokenizer of characters is made, if no model is given


def check_records(settings: FinetuneSettings) -> dict[str, Any]:
    """The report that `xinye data check --task` prints.

    `files` holds the format and number of records of each file, `counts` the labels, `bad` the bad
    records by place, and `findings` sentences. `shown` holds the first records as the model reads
    them, in pieces of (text, mark). Raises `XinyeError` if no record can be read.
    """
    bad: list[str] = []
    notes = Notes()
    files = []
    training: list[Any] = []
    validation: list[Any] = []
    for part, names, records in (
        ("training", settings.data, training),
        ("validation", settings.validation, validation),
    ):
        for name in map(str, data_files(settings, names, notes)):
            before = len(bad)
            try:
                found = read_records(settings, [name], lambda error: bad.append(str(error)), notes)
            # there is no record, and the error of the first one says more
            except XinyeError as error:
                raise XinyeError(bad[before] if bad[before:] else str(error)) from None
            header = {"part": part, "without_header": without_header(settings, Path(name))}
            files.append(described(name, found) | header)
            records += found
    if not training:
        raise XinyeError(bad[0])
    try:
        task = find_text_task(settings.task).of(training)
    except XinyeError as error:  # bad records may be the cause
        raise XinyeError(f"{error}; {bad[0]}" if bad else str(error)) from None
    tokenizer = task.tokenizer(characters(training))
    given = {name: getattr(settings, name) for name in ("data", *COLUMNS, "validation")}
    for name in ("sheet", "bad_records", "bad_bytes"):
        if getattr(settings, name) != type(settings).model_fields[name].default:
            given[name] = getattr(settings, name)
    given = {"model": "MODEL", "task": settings.task, **given, "output": "RUN"}
    return {
        "task": settings.task,
        "files": files,
        "counts": task.counts(training),
        "bad": bad[:LISTED],
        "bad_total": len(bad),
        "findings": [
            *on_validation(settings, task, training, validation, notes),
            *notes.sentences(),
            *personal_data([*training, *validation]),
            *task.findings(training, validation),
        ],
        "shown": [
            {"place": place, "label": label, "seen": stretches(tokenizer, marked)}
            for place, _, label, marked in marked_examples(
                task, tokenizer, training[:SHOWN], CONTEXT
            )
        ],
        "command": " ".join(map(quoted, command_line("finetune", given))),
    }


def on_validation(
    settings: FinetuneSettings,
    task: Task,
    records: Sequence[Any],
    validation: Sequence[Any],
    notes: Notes,
) -> list[str]:
    """A sentence that finetune would refuse these records or those for validation, or that these
    are few; none if all is well. `notes` report which are left out."""
    try:
        kept = evaluable(task, validation, settings, notes)
        return too_few(settings, task, kept or split_records(settings, task, records)[1])
    except XinyeError as error:
        return [f"finetune would refuse this: {error}"]


def personal_data(records: Sequence[Any]) -> list[str]:
    """One sentence for each kind of personal data, with the number of records and the first
    places."""
    notes = Notes()
    for record in records:
        for kind in sorted({found.kind for found in find_personal(record.whole)}):
            notes.add(
                record.place,
                f"personal data: {KINDS[kind].name}; a model can repeat it word for word, and "
                "xinye data mask replaces it",
            )
    return notes.sentences()


def show_records(
    settings: FinetuneSettings, files: Sequence[str], model: str | None = None, count: int = 3
) -> dict[str, Any]:
    """The report that `xinye data show` prints: `files` with the format and number of records,
    `notes`, and in `shown` the `tokens` of the first records as (text, mark), with the `label` of
    each record. Without a model, every character is a token.
    """
    notes = Notes()
    paths = map(str, data_files(settings, files))
    by_file = {file: read_records(settings, [file], notes=notes) for file in paths}
    records = [record for found in by_file.values() for record in found]
    task = find_text_task(settings.task).of(records)
    if model:
        network, tokenizer = load_model(model)
        context = network.config.max_position_embeddings
    else:
        tokenizer = characters(records)
        context = CONTEXT
    tokenizer = task.tokenizer(tokenizer)
    return {
        "task": settings.task,
        "files": [described(name, found) for name, found in by_file.items()],
        "shown": [
            {
                "place": place,
                "cut": cut,
                "label": label,
                "tokens": [(text_of(tokenizer, token), mark) for token, mark in marked],
            }
            for place, cut, label, marked in marked_examples(
                task, tokenizer, records[:count], context
            )
        ],
        "notes": notes.sentences(),
    }


def described(name: str, records: Sequence[Any]) -> dict[str, Any]:
    """The name, number of records and format of a file."""
    return {"file": name, "records": len(records), "format": format_of(records)}


def marked_examples(
    task: Task, tokenizer: Tokenizer, records: Sequence[Any], context: int
) -> Iterator[tuple[str, int, str | None, Sequence[tuple[int, Mark]]]]:
    """For each example of the records: its place, the number of tokens that were cut, its label,
    and its tokens with their marks.
    """
    for record in records:
        for example in task.examples(tokenizer, [record], context):
            yield record.place, example.cut, *task.marks(tokenizer, example)


def characters(records: Sequence[Any]) -> Tokenizer:
    """A tokenizer of characters for these records."""
    return Tokenizer.train([record.whole for record in records[:LEARNED_FROM]], kind="char")


def stretches(tokenizer: Tokenizer, marked: Sequence[tuple[int, Mark]]) -> list[tuple[str, Mark]]:
    """The tokens as text, joined while the mark stays the same; a span's mark is its type. Special
    tokens stand alone.
    """
    marks = [mark for _, mark in marked]
    for at in reversed(range(len(marks) - 1)):  # a space inside a span has no mark of its own
        following = marks[at + 1]
        if marks[at] is None and isinstance(following, str) and following.startswith("I-"):
            marks[at] = following
    groups: list[tuple[list[int], Mark]] = [([], None)]
    for (token, _), mark in zip(marked, marks, strict=True):
        tokens, open_kind = groups[-1]
        kind = (None if mark == "O" else mark[2:]) if isinstance(mark, str) else mark
        special = not tokenizer.decode([token]) or (
            len(tokens) == 1 and not tokenizer.decode(tokens)
        )
        if special or kind != open_kind or (isinstance(mark, str) and mark.startswith("B-")):
            groups.append(([], kind))
        groups[-1][0].append(token)
    return [
        (tokenizer.decode(tokens) or text_of(tokenizer, tokens[0]), kind)
        for tokens, kind in groups
        if tokens
    ]


def text_of(tokenizer: Tokenizer, token: int) -> str:
    """The text of a token, or the name of a special token."""
    return tokenizer.decode([token]) or tokenizer.backend.id_to_token(token) or ""
