"""Evaluates a model on records of its task, next to the task's baseline."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from xinye import machine
from xinye.checkpoints.load import load_model
from xinye.data.notes import Notes
from xinye.data.spreadsheets import sheet_named
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, checked, plural
from xinye.jobs.answer_evaluation import evaluate_from_knowledge
from xinye.jobs.judge import (
    context_of,
    learned_task,
    refuse_settings,
    settings_of,
    training_records,
)
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.heads import Head
from xinye.planning.column_settings import BESIDE_COLUMNS, COLUMNS
from xinye.runs.folder import RunFolder
from xinye.tasks.answer import Answer
from xinye.tasks.bad_records import bad_records
from xinye.tasks.few_shot import is_shown, shown_task
from xinye.tasks.records import Examples, leaks, unseen
from xinye.tasks.registry import TASKS, find_text_task, tasks
from xinye.tasks.settings import task_settings
from xinye.tasks.task import Figures, Judged, Task
from xinye.tasks.task_data import evaluable, read_records
from xinye.tasks.text_to_text import TextToText


def can_do(model: LanguageModel | Head, learned: Task | None, kind: type[Task]) -> bool:
    """Whether a model can be used and evaluated for a task: for the one that it `learned`; a
    language model also where no training is needed, and a base or chat model where examples or
    instructions do."""
    if learned and learned.verb == kind.verb:
        return True
    if isinstance(model, Head) or not kind.judges_untaught:
        return False
    if kind.works_untaught:
        return isinstance(model, GPT)
    return not learned or bool(TASKS[kind.verb].asked_with) or is_shown(learned, kind)


def evaluate(
    judged: Judged, files: Sequence[str], task: str | None = None, **settings: Any
) -> Figures:
    """The metrics of a model on records of its task, next to the task's baseline.

    A model that answers gets its passages from a knowledge base if `knowledge` is among the
    settings. A model that did not learn the `task` is asked for labels with these settings, or
    evaluated by its answers. The settings may contain column names. Raises `XinyeError` for a
    task or setting that does not suit the model.
    """
    folder, learned = judged.folder, learned_task(judged.model, judged.folder)
    possible = [kind.verb for kind in tasks() if can_do(judged.model, learned, kind)]
    usual = learned.verb if learned else possible[0]
    if task not in (None, *possible):
        raise XinyeError(
            f"{folder}: this model cannot be evaluated on the task {task!r}, only on "
            f"{' or '.join(possible)}"
        )
    if isinstance(learned, Answer) and settings.get("knowledge"):
        return evaluate_from_knowledge(judged, files, **settings)
    kind = find_text_task(task or usual)
    learned = learned if learned and learned.verb == kind.verb else None
    if odd := [name for name in COLUMNS if name in settings and name not in kind.columns]:
        raise XinyeError(f"{odd[0]} has no effect on the task {kind.verb}; choose another --task")
    if not learned and TASKS[kind.verb].asked_with:
        beside = {name: settings.pop(name, None) for name in BESIDE_COLUMNS}
        with sheet_named(beside["sheet"]), bad_records(beside["bad_records"] or "refuse"):
            return TASKS[kind.verb].untaught.evaluate(judged, files, **settings)
    named = (*kind.columns, *BESIDE_COLUMNS)
    columns = {name: settings.pop(name) for name in named if name in settings}
    if not learned and issubclass(kind, TextToText):
        return evaluate_shown(kind, judged, files, columns, settings)
    if learned:
        refuse_settings(learned, folder, settings)
        return evaluate_learned(learned, judged, files, columns)
    refuse_useless([*settings], kind)
    untaught = kind.of_network(judged.model)
    return evaluate_learned(untaught, replace(judged, with_baseline=False), files, columns)


def evaluate_shown(
    kind: type[TextToText],
    judged: Judged,
    files: Sequence[str],
    columns: dict[str, Any],
    settings: dict[str, Any],
) -> Figures:
    """The metrics of a model that was not trained for a task that writes, next to the baselines,
    which learn from the examples that it may be shown."""
    asked = checked(kind.use_settings, settings, "evaluate")
    refuse_useless([name for name in settings if name not in ("examples", "seed")], kind)
    named = {name: columns[name] for name in kind.columns if name in columns}
    shown = shown_task(judged, kind, asked, **named)
    judged = replace(judged, with_baseline=judged.with_baseline and bool(asked.examples))
    found = evaluate_learned(shown.task, judged, files, columns, shown.records)
    found["notes"] += shown.notes
    return found


def refuse_useless(names: Sequence[str], kind: type[Task]) -> None:
    """Raises `XinyeError` if there are names of settings that have no effect on the evaluation of
    a task."""
    if names:
        raise XinyeError(
            f"{', '.join(names)}: this has no effect on the task {kind.verb}; leave it out"
        )


def evaluate_learned(
    task: Task,
    judged: Judged,
    files: Sequence[str],
    columns: dict[str, Any],
    examples: Sequence[Any] = (),
) -> Figures:
    """The metrics of a model on records of its task, next to the baseline, which is trained on
    `examples` or the run's own records, or is the base model. The records are read with the run's
    columns, unless `columns` changes them.

    If the training records are no longer available, the baseline is None, and a note says why.
    """
    observer, tokenizer = judged.observer, judged.tokenizer
    settings = settings_of(judged.folder, task)
    observer.stage("reading the records")
    notes = Notes()
    # A passage that was found because it has the right answer would make the figures too good.
    changed = {"sheet": None, "knowledge": None} | columns
    reading = task_settings(settings.model_dump(exclude_unset=True) | changed, "evaluate")
    records = evaluable(task, read_records(reading, files, notes=notes), reading, notes)
    observer.stage("evaluating the model")
    found: Figures = {
        "model": str(judged.folder),
        "task": task.verb,
        "files": list(files),
        "records": len(records),
        "measured": figures_of(task, judged.model, tokenizer, records),
        "baseline": None,
        "notes": notes.sentences(),
    }
    found["mixes"] = found["measured"].pop("mixes", [])
    found["notes"] += task.notes_on_figures(found["measured"])
    found["notes"] += RunFolder(judged.folder).unfinished()
    if not judged.with_baseline:
        return found
    try:
        training = examples or training_records(settings, task)
        before = None
        if task.baseline_is_base:
            observer.stage("evaluating the base model")
            base = load_model(settings.model)[0].to(machine.device())
            before = figures_of(task, base, tokenizer, records)
        else:
            observer.stage("evaluating the baseline")
        found["notes"] += leaks(training, records)
        rest = unseen(training, records)
        if 0 < len(rest) < len(records):
            observer.stage("evaluating the model on the records that it has not seen")
            figures = figures_of(task, judged.model, tokenizer, rest)
            figures.pop("mixes", None)
            name = f"this model, {plural(len(rest), 'unseen record')}"
            found["unseen"] = {"name": name, "records": len(rest), **figures}
        found |= task.baselines(training, records, before, found["notes"])
    except XinyeError as error:
        found["notes"].append(f"no baseline: {error}")
    return found


def figures_of(task: Task, model: Any, tokenizer: Tokenizer, records: Sequence[Any]) -> Figures:
    """All metrics of a task; for a task that writes also its loss."""
    context = context_of(model)
    measured = task.measure(model, tokenizer, records, context)
    if not task.writes:
        return measured
    return (
        task.losses(
            model, tokenizer, Examples(task.examples(tokenizer, records, context), tokenizer.pad_id)
        )
        | measured
    )
