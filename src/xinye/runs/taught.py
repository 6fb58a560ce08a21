"""What the model of a run was taught, and whether one can talk with it. Needs no torch."""

from pathlib import Path

from xinye.runs.folder import RunFolder
from xinye.runs.saved import About, SavedRun, is_run


def taught(folder: Path) -> str:
    """The task that the model of a run was fine-tuned for; "" where it was for none."""
    return SavedRun(folder, About.read(RunFolder(folder).settings_file, [])).task


def never_taught_to_answer(folder: Path) -> bool:
    """Whether a model is a run's that began from scratch, and only learned to go on with texts.

    So it is, too, where it went on with more texts in a later run, and the first is still there."""
    if not is_run(folder):
        return False
    about = About.read(RunFolder(folder).settings_file, [])
    settings = about.settings
    if about.recipe != "pretrain" and settings.task != "text":
        return False
    base = settings.from_ or settings.model
    return never_taught_to_answer(Path(base)) if base else about.recipe == "pretrain"


def can_chat(folder: Path, template: str | None) -> bool:
    """Whether a model with this chat template can be offered to talk with. Each run has one, also
    where no text had the form of a chat."""
    return template is not None and not never_taught_to_answer(folder)
