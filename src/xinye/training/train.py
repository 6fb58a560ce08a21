"""Train a model: on text, or on the records of a task. The one recipe, from settings to a run's
folder.

Read what there is to learn; plan every number; make the model, or take the one to go on with; take
the steps, judging and saving on the way; judge at the end; write it all down.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xinye.checkpoints.folders import checkpoints
from xinye.errors import XinyeError
from xinye.generation.decoder import prepare_decoder
from xinye.observer import Observer
from xinye.planning.finetune_settings import AUGMENTATIONS, FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.runs.resume import saved_settings
from xinye.runs.start import Beginning, check_output, default_output, start_run
from xinye.tasks.registry import find_task
from xinye.tasks.task import check_settings
from xinye.training import clock
from xinye.training.distributed import Processes, processes
from xinye.training.guards import repeatable
from xinye.training.job import Run, Start
from xinye.training.record_job import RecordJob, saved_settings_of_task
from xinye.training.session import Session, write_pages
from xinye.training.text_job import TextJob
from xinye.training.trackers import warn_of_missing

Settings = PretrainSettings | FinetuneSettings


@dataclass(frozen=True)
class Order:
    """How a run is begun: anew, over another one, from where it stands, or only planned."""

    overwrite: bool = False
    resume: bool = False
    dry_run: bool = False


def pretrain(
    settings: PretrainSettings,
    observer: Observer | None = None,
    overwrite: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    began: float | None = None,
) -> Run | None:
    """Train on text; None after a dry run. Raises `XinyeError` for whatever a person can put right.

    A budget in time counts from `began`, of the clock of `training/clock.py`; else from now. Where
    `torchrun` started several processes, all call this, and they train one model together.
    """
    began = clock.now() if began is None else began
    with processes() as group, repeatable():
        talking = observer if observer and group.first else Observer()
        return train(group, settings, Order(overwrite, resume, dry_run), talking, began)


def finetune(
    settings: FinetuneSettings,
    observer: Observer | None = None,
    overwrite: bool = False,
    resume: bool = False,
) -> Run:
    """Train on records. Raises `XinyeError` for whatever a person can put right.

    A run with augmentation is followed by the same one without it, unless the setting `control` is
    off. Where `torchrun` started several processes, all call this.
    """
    check_settings(settings)
    if find_task(settings.task).continues_text:
        run = pretrain(settings.as_pretraining(), observer, overwrite)
        assert run is not None
        return run
    with processes() as group, repeatable():
        talking = observer if observer and group.first else Observer()
        run = train(group, settings, Order(overwrite, resume), talking, clock.now())
        assert run is not None
        settings = saved_settings_of_task(Path(run.run), FinetuneSettings())
        if settings.augment and settings.control and not run.interrupted:
            run = beside_control(group, settings, run, talking)
        return run


def train(
    group: Processes, settings: Settings, order: Order, observer: Observer, began: float
) -> Run | None:
    """The job, top to bottom. Only the first process writes files and validates; all take the
    steps."""
    folder = settings.output or default_output(settings)
    settings = open_folder(group, folder, settings, order)
    begun = Start(group, folder, observer, order.resume, began)
    warn_of_missing(settings.track, observer.warn)
    job_class = TextJob if isinstance(settings, PretrainSettings) else RecordJob
    job_class.check(settings, begun)  # type: ignore[arg-type]
    with group.main_process_first():
        compiling = prepare_decoder(begun.device, observer)
    if compiling:
        begun = replace(begun, began=began + compiling)
        begun.stopwatch.lap("compiling the decoder")

    job = job_class(settings, begun)  # type: ignore[arg-type]
    observer.plan(job.plan, job.table)
    if order.dry_run:
        return None
    session = Session(begun, job)
    if order.resume:
        session.resume()
    elif group.first:
        start_run(
            folder, Beginning(settings, job.plan, job.data, job.models, job.words), order.overwrite
        )
    return session.run()


def open_folder(group: Processes, folder: Path, settings: Settings, order: Order) -> Settings:
    """The settings to train with; refuses a folder that is in use, or holds something else."""
    if group.first and not order.dry_run and RunFolder(folder).is_running():
        raise XinyeError(f"{folder}: this run is going on; wait for its end, or stop it first")
    if not order.resume:
        if group.first and not order.dry_run:
            check_output(folder, order.overwrite)
        return settings
    if not RunFolder(folder).exists:
        raise XinyeError(f"{folder}: there is no run to resume")
    if isinstance(settings, PretrainSettings):
        return saved_settings(folder, settings)
    return saved_settings_of_task(folder, settings)


def beside_control(
    group: Processes, settings: FinetuneSettings, run: Run, observer: Observer
) -> Run:
    """Train once more without augmentation, all else the same, and note in the run what that comes
    to."""
    files, control = RunFolder(Path(run.run)), RunFolder(Path(run.run) / "control")
    if not control.ended:
        observer.stage(f"the same without augmentation, to see what it is worth: {control}")
        sizes = {name: None for name, _ in AUGMENTATIONS.values()}
        without = settings.model_copy(update={"augment": (), **sizes, "output": control.path})
        begun = bool(checkpoints(control.path))
        order = Order(overwrite=not begun, resume=begun)
        trained = train(group, without, order, observer, clock.now())
        assert trained is not None
        if trained.interrupted:
            return replace(run, interrupted=trained.interrupted)
    if group.first:
        files.conclude(files.result() | {"control": control_figures(settings, files, control)})
        write_pages(files.path, observer)
    return run


def control_figures(
    settings: FinetuneSettings, files: RunFolder, control: RunFolder
) -> dict[str, Any]:
    """What `result.json` tells of the run without augmentation."""
    measured = control.result()["measured"].items()
    about = {
        "name": "without augmentation",
        "run": str(control),
        "augment": settings.augment,
        "records": files.plan()["validation_records"],
    }
    return about | {name: value for name, value in measured if isinstance(value, float)}
