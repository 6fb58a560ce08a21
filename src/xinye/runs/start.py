"""Starts a run: chooses and checks its folder, checks the disk space, and writes its first
files."""

import itertools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from xinye import machine
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.memory import STATES
from xinye.planning.models import Models
from xinye.planning.plan import Plan
from xinye.planning.settings import PretrainSettings, inherited_settings
from xinye.runs.cleanup import INNER_RUNS, refuse_link, remove_run
from xinye.runs.folder import RunFolder, Values
from xinye.runs.resume import Data
from xinye.runs.words import TaskWords

FORMAT = 1


def default_output(
    settings: Settings, is_ours: Callable[[Path], bool] = lambda path: False
) -> Path:
    """The default folder of a run: `runs/` and the task; or the name of the first file, with a
    number if that exists and is not `ours`: a run that this launch has begun."""
    if isinstance(settings, FinetuneSettings):
        return Path("runs") / settings.task
    name = Path(settings.files[0]).stem.split(".")[0].strip("*") if settings.files else ""
    candidates = (
        Path("runs") / (f"{name or 'run'}-{i}" if i else name or "run") for i in itertools.count()
    )
    return next(path for path in candidates if not path.exists() or is_ours(path))


def check_output(output: Path, overwrite: bool) -> None:
    """Raise `XinyeError` if the folder holds something other than a run, or a run that may not be
    overwritten."""
    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not RunFolder(output).exists:
        raise XinyeError(f"{output}: the folder exists and is not a run; choose another with -o")
    if not overwrite:
        raise XinyeError(
            f"{output}: this run already exists; resume it with --resume, or replace it "
            "with --overwrite"
        )
    refuse_link(output)


@dataclass(frozen=True)
class Beginning:
    """All that a run's folder keeps about its start."""

    settings: Settings
    plan: Plan
    data: Data
    facts: Values  # about the data
    models: Models
    words: TaskWords | None = None  # the words of a task, for the report and the card
    launch: Sequence[str] = ()  # what `Processes` says of it

    def about(self) -> Values:
        """The content of `settings.json`."""
        settings = self.settings
        theirs: tuple[str, ...] = ()
        if isinstance(settings, PretrainSettings):
            theirs = inherited_settings(settings.from_, settings.teacher)
        about = {
            "format": FORMAT,
            "recipe": settings.recipe,
            "text": self.data.fingerprint,
            "models": self.models.told,
            "settings": settings.model_dump(
                mode="json", exclude_defaults=True, exclude={"output", *theirs}
            ),
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "data": self.facts,
            "machine": machine.description(machine.device()),
        }
        about |= {"words": asdict(self.words)} if self.words else {}
        return about | ({"launch": list(self.launch)} if self.launch else {})

    def bytes_needed(self) -> int:
        """The disk space for all checkpoints that are kept, the best one, and a new one. With an
        adapter only trained weights count."""
        states = STATES[self.plan.optimizer]
        saved = self.plan.parameters
        if isinstance(self.settings, FinetuneSettings) and self.settings.adapter_settings:
            saved = self.plan.trained_parameters or saved
        kept, most = self.plan.keep_checkpoints or 2, max(2, self.plan.evaluations)
        if kept == "all" or kept > most:
            kept = most
        return saved * ((kept + 2) * (4 + states) + 2 * 4)


def start_run(output: Path, beginning: Beginning, overwrite: bool) -> None:
    """Create the run's folder, in place of what an earlier run wrote there.

    Raises `XinyeError` if there is not enough disk space or the folder cannot be written.
    """
    needed, plan = beginning.bytes_needed(), beginning.plan
    try:
        existing = next(
            folder for folder in (output, *output.absolute().parents) if folder.is_dir()
        )
        free = shutil.disk_usage(existing).free
        if free < needed:
            raise XinyeError(
                f"{output}: the run needs {needed / 1e6:,.1f} MB of disk space, but only "
                f"{free / 1e6:,.1f} MB are free; free some space, or choose another disk with -o",
                exit_code=1,
            )
        if overwrite and output.exists():
            remove_run(output, *INNER_RUNS)
        RunFolder(output).start(beginning.about(), {"values": plan.values, "reasons": plan.reasons})
    except OSError as error:
        raise XinyeError(f"{output}: cannot write there ({error.strerror})", exit_code=1) from error
