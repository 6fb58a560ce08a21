"""Train a model, on text or on the records of a task: the recipe from settings to a run's folder.

The steps are: read the data, plan every number, build the model or load the one to resume, train
with evaluations and checkpoints, evaluate at the end, and write the report.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import replace
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from xinye import machine
from xinye.checkpoints.folders import checkpoints, step_of
from xinye.errors import XinyeError, plural, wrong_value
from xinye.native.library import prepare_library
from xinye.observer import Observer
from xinye.planning.command_line import flat
from xinye.planning.finetune_settings import AUGMENTATIONS, FinetuneSettings, Settings
from xinye.planning.settings import PretrainSettings
from xinye.runs.folder import RunFolder
from xinye.runs.resume import PLACES, extension, saved_settings
from xinye.runs.start import Beginning, check_output, default_output, start_run
from xinye.tasks.registry import find_task
from xinye.tasks.settings import check_settings
from xinye.training import clock
from xinye.training.distributed import Processes, processes
from xinye.training.guards import repeatable
from xinye.training.job import Job, Run, Start
from xinye.training.pages import write_missing_pages, write_pages
from xinye.training.record_job import RecordJob, saved_settings_of_task
from xinye.training.session import Session
from xinye.training.text_job import TextJob
from xinye.training.trackers import warn_of_missing

Resume = bool | Literal["auto"]  # "auto": if there is something to resume


def pretrain(
    settings: PretrainSettings,
    observer: Observer | None = None,
    overwrite: bool = False,
    resume: Resume = False,
    dry_run: int = 0,
    began: float | None = None,
) -> Run | None:
    """Train on text; returns the run, or None after a dry run, which only makes the plan for so
    many processes. Raises `XinyeError` for invalid input.

    A budget of time counts from `began`, in seconds of `clock.now`; by default from now. If
    `torchrun` started several processes, all of them call this and train one model together.
    """
    began = clock.now() if began is None else began
    with processes() as group, repeatable():
        begun = start_of(settings, group, observer, resume, overwrite)
        begun.began, begun.dry_run = began, dry_run
        return train(settings, begun)


def finetune(
    settings: FinetuneSettings,
    observer: Observer | None = None,
    overwrite: bool = False,
    resume: Resume = False,
) -> Run:
    """Train on records; returns the run. Raises `XinyeError` for invalid input.

    After a run with augmentation, the same run follows without it, unless the setting `control` is
    off. If `torchrun` started several processes, all of them call this.
    """
    check_settings(settings)
    if find_task(settings.task).continues_text:
        run = pretrain(settings.as_pretraining(), observer, overwrite, resume)
        assert run is not None
        return run
    with processes() as group, repeatable():
        begun = start_of(settings, group, observer, resume, overwrite)
        run = train(settings, begun)
        assert run is not None
        settings = saved_settings_of_task(begun.folder, FinetuneSettings())
        compared = "control" in RunFolder(begun.folder).result()
        if settings.augment and settings.control and not run.interrupted and not compared:
            run = beside_control(settings, begun, run)
        return run


def start_of(
    settings: Settings, group: Processes, observer: Observer | None, resume: Resume, overwrite: bool
) -> Start:
    """How the run starts. One that its launcher starts again goes on where it was, as any does with
    `resume="auto"`; what has not saved a checkpoint yet begins anew."""
    folder = settings.output or default_output(settings, group.has_begun)
    files = RunFolder(folder)
    if resume == "auto" or group.has_begun(folder):
        resume = files.resumable
        overwrite = not resume and (overwrite or files.exists)
    talking = observer if observer and group.first else Observer()
    begun = Start(group, folder, talking, clock.now(), bool(resume), overwrite)
    check_shared(begun)
    return begun


def train(settings: Settings, begun: Start) -> Run | None:
    """Run the job from top to bottom. All processes take the steps. Only the first one writes
    files, and, unless each has a part of the model, evaluates."""
    settings = open_folder(settings, begun)
    if begun.resume and not begun.longer and not begun.dry_run and RunFolder(begun.folder).ended:
        return finished_before(begun)
    warn_of_missing(settings.track, begun.observer.warn)
    job = job_of(settings)(settings, begun)
    job.check()
    set_up_machine(begun)

    check_same_settings(settings, begun)
    job.read()
    same = f"the data {job.data.fingerprint[:12]}"
    if hasattr(job, "tokenizer"):  # events need none
        same = f"{same} for the tokenizer {job.tokenizer.fingerprint[:12]}"
    begun.group.check_same(same, "give all processes the same files")
    told = sorted(job.models.told.items())  # the base, the teacher
    models = ", ".join(f"the model {known['fingerprint'][:12]}" for _, known in told)
    begun.group.check_same(models, "give all processes the same models")
    begun.stopwatch.lap("text")
    plan = job.make_plan()
    begun.observer.plan(plan, job.table)
    if begun.dry_run:
        return None

    session = Session(begun, job, job.build())
    with begun.group.main_process_first():
        if begun.group.first and not begun.resume:
            check_free(begun)  # another run may have started in this folder meanwhile
            known = job.data, job.facts(), job.models, job.words
            beginning = Beginning(settings, plan, *known, launch=begun.group.launch)
            start_run(begun.folder, beginning, begun.overwrite)
    check_shared(begun)
    if begun.resume:
        session.resume()
        job.resumed()
    run = session.run()
    if run.interrupted:  # a launcher ends all as soon as one has ended; the first one writes most
        with begun.group.main_process_first():
            pass
    return run


def job_of(settings: Settings) -> type[Job]:
    """The kind of job that a training with these settings is."""
    if isinstance(settings, PretrainSettings):
        return TextJob
    if not find_task(settings.task).learns_from_events:
        return RecordJob
    from xinye.training.item_job import ItemJob  # it brings scipy, for which no other job waits

    return ItemJob


def open_folder(settings: Settings, begun: Start) -> Settings:
    """The settings to train with. Raises `XinyeError` if the folder is in use or holds something
    else."""
    folder = begun.folder
    if begun.group.first and not begun.dry_run:
        check_free(begun)
    if not begun.resume:
        return settings
    if not RunFolder(folder).exists:
        raise XinyeError(f"{folder}: there is no run to resume")
    begun.typed = settings.model_fields_set
    begun.longer = extension(folder, settings)
    begun.extended = (*RunFolder(folder).extensions(), *([begun.longer] if begun.longer else ()))
    if isinstance(settings, PretrainSettings):
        return saved_settings(folder, settings, begun.longer)
    return saved_settings_of_task(folder, settings, begun.longer)


def finished_before(begun: Start) -> Run:
    """A run that has finished already, read from its folder."""
    result = RunFolder(begun.folder).result() | {"run": str(begun.folder)}
    try:
        run = TypeAdapter(Run).validate_python(result)
    except ValidationError as error:
        where, what = RunFolder(begun.folder).result_file, error.errors()[0]
        raise XinyeError(f"{where}: damaged file ({what['loc'][0]}: {wrong_value(what)})") from None
    if begun.group.first:
        write_missing_pages(begun.folder, begun.observer)
    begun.observer.warn(
        f"{run.run}: the run has finished already, with {plural(run.steps, 'step')}; --steps N "
        "with a larger N extends it"
    )
    return run


def check_same_settings(settings: Settings, begun: Start) -> None:
    """Raise `XinyeError` unless all processes were given the same settings. Folders may have other
    names on other hosts: their content is compared. What is resumed is in the folder of the run."""
    there = {*PLACES, "output", *(("tokenizer", "from_") if begun.resume else ())}
    asked = begun.group.gathered(settings.model_dump_json(exclude=there))
    first, *others = (flat(json.loads(each)) for each in asked)
    for rank, other in enumerate(others, 1):
        for name in first.keys() | other.keys():
            mine, theirs = first.get(name), other.get(name)
            if mine != theirs:
                raise XinyeError(
                    f"process 0 was given {name} {mine}, but process {rank} {theirs}; give all "
                    "processes the same command"
                )


def check_shared(begun: Start) -> None:
    """Raise `XinyeError` unless all processes see the same run in its folder."""
    group, folder, found = begun.group, begun.folder, "no run"
    if group.count == 1:
        return
    with suppress(OSError):
        os.listdir(folder)  # NFS then asks its server again what is there
    if RunFolder(folder).exists:  # which may be damaged, and about to be overwritten
        about = hashlib.blake2b(RunFolder(folder).settings_file.read_bytes(), digest_size=4)
        newest = [step_of(path) for path in checkpoints(folder)][-1:]
        found = f"a run ({about.hexdigest()}) at step {newest[0] if newest else 0:,}"
    group.check_same(found, f"all hosts must share the folder {folder}: choose another one with -o")


def check_free(begun: Start) -> None:
    """Raise `XinyeError` if the folder is in use, or holds something that may not be
    overwritten."""
    files = RunFolder(begun.folder)
    if files.is_running():
        raise files.in_other_hands()
    if not begun.resume:
        check_output(begun.folder, begun.overwrite)


def set_up_machine(begun: Start) -> None:
    """Do what is done once on each machine: compile the fast code, and measure how fast the machine
    multiplies. This does not count in a budget of time."""
    machine.keep_freed_memory()
    with begun.group.main_process_first():
        compiling = prepare_library(begun.device, begun.observer)
        if compiling:
            begun.stopwatch.lap("compiling the fast code")
        begin = clock.now()
        dtype, _ = machine.fast_dtype(begun.device)
        machine.matrix_speed(begun.device, dtype)
        begun.stopwatch.lap("planning")
    begun.began += compiling + clock.now() - begin


def beside_control(settings: FinetuneSettings, begun: Start, run: Run) -> Run:
    """Train the same run without augmentation, and add its figures to the result of the run."""
    group, observer = begun.group, begun.observer
    files, control = RunFolder(begun.folder), RunFolder(begun.folder / "control")
    observer.stage(f"training again without augmentation, to measure its gain: {control}")
    sizes = {name: None for name, _ in AUGMENTATIONS.values()}
    without = settings.model_copy(update={"augment": (), **sizes, "output": control.path})
    resume = bool(checkpoints(control.path))  # it may be extended, as the run was
    start = Start(group, control.path, observer, clock.now(), resume, overwrite=not resume)
    trained = train(without, start)
    assert trained is not None
    if trained.interrupted:
        return replace(run, interrupted=trained.interrupted)
    if group.first:
        measured = control.result()["measured"].items()
        about = {
            "name": "without augmentation",
            "run": str(control),
            "augment": settings.augment,
            "records": files.plan()["validation_records"],
        }
        figures = {name: value for name, value in measured if isinstance(value, float)}
        files.conclude(files.result() | {"control": about | figures})
        write_pages(files.path, observer)
    return run
