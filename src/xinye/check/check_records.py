"""Check records before fine-tuning: how each file was understood, what a model will see, and what is wrong.

Reading goes on behind whatever is bad, so that all of it is told at once, by file and line; `finetune` refuses such a
file at its first.
"""

from pathlib import Path
from typing import Any

from xinye.check.check_data import quoted
from xinye.check.show_records import CONTEXT, characters, marked_tokens, stretches
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.tasks.task_data import TASKS, Task, format_of, read_records, without_header

SHOWN = 3  # records
LISTED = 1000  # bad records


def check_records(settings: FinetuneSettings) -> dict[str, Any]:
    """What `xinye data check --task` prints: `files` (format and records of each), `counts` of what is learned, `bad`
    records by place, `findings` in sentences, and of the first records in `shown` what a model sees, in stretches of
    (text, mark). Raises `XinyeError` where no record can be read."""
    bad: list[str] = []
    files, parts = [], []
    for names, part in ((settings.data, "training"), (settings.validation, "validation")):
        records: list[Any] = []
        for name in names:
            before = len(bad)
            try:
                found = read_records(settings, [name], on_bad=lambda error: bad.append(str(error)))
            except XinyeError as error:  # not one record: what the first lacks says more
                raise XinyeError(bad[before] if bad[before:] else str(error)) from None
            told = {"file": name, "part": part, "records": len(found), "format": format_of(found)}
            files.append(told | {"without_header": without_header(settings, Path(name))})
            records += found
        parts.append(records)
    training, validation = parts
    if not training:
        raise XinyeError(bad[0])
    task: Task = TASKS[settings.task].of(training)
    tokenizer = task.tokenizer(characters(training))
    shown = []
    for record in training[:SHOWN]:
        for example in task.examples(tokenizer, [record], CONTEXT):
            label, marked = marked_tokens(task, tokenizer, example)
            shown.append(
                {"place": record.place, "label": label, "seen": list(stretches(tokenizer, marked))}
            )
    flags = [
        f"--{name.replace('_', '-')} {quoted(str(getattr(settings, name)))}"
        for name in ("text_field", "label_field", "label_separator")
        if getattr(settings, name)
    ]
    flags += [f"--validation {quoted(name)}" for name in settings.validation]
    data = " ".join(f"--data {quoted(name)}" for name in settings.data)
    return {
        "task": settings.task,
        "files": files,
        "counts": task.counts(training),
        "bad": bad[:LISTED],
        "bad_total": len(bad),
        "findings": task.findings(training, validation),
        "shown": shown,
        "command": " ".join(
            [f"xinye finetune MODEL --task {settings.task}", data, *flags, "-o RUN"]
        ),
    }
