"""The settings of a fine-tuning, checked by its task."""

from typing import Any

from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.saved import SavedRun
from xinye.tasks.registry import TASKS, find_task


def task_settings(values: dict[str, Any], where: str) -> FinetuneSettings:
    """The checked settings of a fine-tuning from plain values. `where` begins the errors. Raises
    `XinyeError` for settings that do not suit the task."""
    settings = checked(FinetuneSettings, values, where)
    try:
        check_settings(settings)
    except XinyeError as error:
        raise XinyeError(f"{where}: {error}") from None
    return settings


def check_settings(settings: FinetuneSettings) -> None:
    """Raises `XinyeError` for an unknown task, and for settings that have no effect on it."""
    find_task(settings.task).check_settings(settings)


def with_words(run: SavedRun) -> SavedRun:
    """The run with its task's words added, which runs of earlier versions did not save."""
    if run.task in TASKS and not run.about.words:
        run.words = find_task(run.task).words
    return run
