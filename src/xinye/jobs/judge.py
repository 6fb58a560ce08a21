"""Uses a model for the task that it was trained for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye.checkpoints.load import began_with
from xinye.errors import XinyeError
from xinye.model.build import LanguageModel
from xinye.model.heads import Head
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.folder import RunFolder
from xinye.runs.saved import About
from xinye.runs.taught import taught
from xinye.tasks.registry import TASKS, find_text_task, tasks
from xinye.tasks.settings import task_settings
from xinye.tasks.task import Figures, Judged, Task
from xinye.tasks.task_data import read_records, split_records


def learned_task(model: LanguageModel | Head, folder: Path) -> Task | None:
    """The task that a model was trained for, from its run, or from the kind of its head if another
    tool trained it. None for a language model without a task.
    """
    name = taught(folder)
    kind = model.config.kind if isinstance(model, Head) else None
    if name in TASKS and find_text_task(name).head == kind:
        return find_text_task(name).of_run(model, folder)
    if kind is None:
        return None
    return next(task for task in tasks() if task.head == kind).of_run(model, folder)


def refuse_settings(learned: Task, folder: Path, settings: Figures) -> None:
    """Raises `XinyeError` if settings for a model without training are used with a trained one."""
    if settings:
        raise XinyeError(
            f"{folder}: this model was trained to {learned.verb}, so {', '.join(settings)} would "
            f"have no effect; use the model it was trained from: {began_with(folder)}"
        )


def use(task: Task, judged: Judged, inputs: Sequence[Any], settings: Any = None) -> list[Any]:
    """The model's result for each text or pair of texts, with the settings of the task's
    command."""
    check_inputs(judged.folder, inputs)
    context = context_of(judged.model)
    return task.use(judged.model, judged.tokenizer, inputs, context, settings)


def check_inputs(folder: Path, inputs: Sequence[Any]) -> None:
    """Raises `XinyeError` for a pair of texts if the run's model was trained on single texts. The
    message does not name the folder, because the server passes it on to clients."""
    pair = any(isinstance(text, tuple) and text[1] for text in inputs)
    if pair and About.read(RunFolder(folder).settings_file, []).data.pairs is False:
        raise XinyeError(
            "this model was trained on single texts and cannot classify a pair; give one text, or "
            "join the two"
        )


def settings_of(folder: Path, task: Task) -> FinetuneSettings:
    """The settings of a folder's run, or defaults with the task if it did not learn this task."""
    run = RunFolder(folder)
    about = run.about() if run.exists else {}
    if about.get("recipe") != FinetuneSettings.recipe:
        return FinetuneSettings(task=task.verb)
    settings = task_settings(about.get("settings", {}), str(run.settings_file))
    return settings if settings.task == task.verb else FinetuneSettings(task=task.verb)


def training_records(settings: FinetuneSettings, task: Task) -> list[Any]:
    """The records that the run with these settings learned from. Raises `XinyeError` if they are no
    longer available."""
    if not settings.data:
        raise XinyeError("the training records of the model are not known")
    return task.learned(*split_records(settings, task, read_records(settings, settings.data)))


def context_of(model: LanguageModel | Head) -> int:
    """The number of tokens of a text that the model can read."""
    gpt = model.gpt if isinstance(model, Head) else model
    # shorter than in the config if the model has a prefix
    return gpt.config.max_position_embeddings
