"""What the model of a run was trained for, and whether it can chat. This module does not need
torch."""

from pathlib import Path

from xinye.errors import XinyeError
from xinye.runs.folder import RunFolder
from xinye.runs.saved import About, SavedRun, is_run


def taught(folder: Path) -> str:
    """The task that the model of a run was fine-tuned for; empty if it was not. Raises `XinyeError`
    if the file that says so is damaged."""
    damage: list[str] = []
    about = About.read(RunFolder(folder).settings_file, damage)
    if damage:
        raise XinyeError(damage[0])
    return SavedRun(folder, about).task


def never_taught_to_answer(folder: Path) -> bool:
    """Whether a model was only trained on plain text, from scratch.

    This is also true if a later run continued training it on more text, as long as the first run
    still exists.
    """
    if not is_run(folder):
        return False
    about = About.read(RunFolder(folder).settings_file, [])
    settings = about.settings
    if about.recipe != "pretrain" and settings.task != "text":
        return False
    base = settings.from_ or settings.model
    return never_taught_to_answer(Path(base)) if base else about.recipe == "pretrain"


def can_chat(folder: Path, template: str | None) -> bool:
    """Whether a model with this chat template can chat. Every run saves a template, even if its
    text had no chats, so that alone says nothing."""
    return template is not None and not never_taught_to_answer(folder)
