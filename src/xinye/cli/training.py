"""`xinye pretrain` and `xinye finetune`, and the summary of a run."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from xinye.cli.arguments import (
    BASE,
    FILES,
    JSON_AT_END,
    Fields,
    Given,
    Parser,
    flag,
    switch,
    task_flag,
)
from xinye.cli.evaluate import show_measured, show_ranks
from xinye.cli.output import (
    FIRST,
    Brief,
    Display,
    answer,
    console,
    duration,
    exit_when_stopped,
    print_result,
    print_table,
)
from xinye.errors import XinyeError, checked, plural, quoted
from xinye.language import listed, screen_language, shown, shown_word, with_colon
from xinye.planning.config_file import read_config
from xinye.planning.finetune_settings import FinetuneSettings, Settings
from xinye.planning.settings import BUDGETS, PretrainSettings
from xinye.runs.diagnosis import diagnose
from xinye.runs.folder import Figures, RunFolder
from xinye.runs.report import REPORT
from xinye.runs.saved import read_run
from xinye.runs.words import Figure
from xinye.tasks.registry import TASKS, find_task

if TYPE_CHECKING:  # it brings torch
    from xinye.training.job import Run
    from xinye.training.train import Resume


NEEDED = {
    "model": "give the model to start from: a run's folder, or any Hugging Face folder",
    "task": f"give the task: --task {', '.join(TASKS)}",
    "data": "give the records to train on: --data FILE",
    "output": "give the run's folder: -o runs/…",
}
OPTIONS = (
    switch("--resume", "resume the run in -o; with more --steps (or --epochs …), extend it"),
    switch("--auto-resume", "resume the run in -o if there is one, else begin it"),
    switch("--overwrite", "replace the run in -o"),
    JSON_AT_END,
    flag("--processes", "N", "train in this many processes on this machine", 1, type=int),
    flag("--folds", "K", "cross-validation with K folds: one run for each", type=int),
)


def pretrain(arguments: list[str]) -> int:
    began = time.monotonic()
    given = Parser(
        "pretrain",
        "Train a GPT on text, from scratch or continuing from a model (--from). "
        "Settings that you leave out are derived from the text and this machine.",
        "xinye pretrain novel.txt --size 5M --time 10min -o runs/novel\n"
        "  xinye pretrain letters.txt --from runs/novel --time 5min -o runs/letters",
        FILES,
        flag("--config", "FILE", "settings from a YAML file; flags override them", type=Path),
        switch("--dry-run", "print the plan and stop"),
        *OPTIONS,
        Fields(PretrainSettings, without=("files",)),
    ).read(arguments)
    check_options(given)
    return train(pretrain_settings(given), given, arguments, began)


def finetune(arguments: list[str]) -> int:
    given = Parser(
        "finetune",
        "Fine-tune a model on the records of a task, and print its results next to those "
        "of a baseline: a classical method, or the model before fine-tuning.",
        "xinye finetune runs/novel --task classify --data reviews.csv -o runs/reviews",
        BASE,
        *OPTIONS,
        task_flag("the task to learn"),
        Fields(FinetuneSettings, without=("model", "task")),
    ).read(arguments)
    check_options(given)
    return train(finetune_settings(given), given, arguments)


def pretrain_settings(given: Given) -> PretrainSettings:
    """The settings from a file, if one is given, overridden by those that were typed. Raises
    `XinyeError`.
    """
    values = given.settings
    if given.config:
        below = read_config(given.config)
        if any(budget in values for budget in BUDGETS):
            below = {name: value for name, value in below.items() if name not in BUDGETS}
        cleaning = below.get("cleaning", {}) | values.get("cleaning", {})
        values = below | values | {"cleaning": cleaning}
    if not values.get("files") and not resumes(given):
        raise missing(given, "give the text to train on: files, folders or globs")
    return checked(PretrainSettings, values, "pretrain")


def finetune_settings(given: Given) -> FinetuneSettings:
    """The settings that were typed. Raises `XinyeError` for missing ones."""
    from xinye.tasks.settings import task_settings

    task = given.settings.get("task")
    unneeded = ("model",) if task and not find_task(task).needs_model else ()
    for name, what in NEEDED.items():
        if not given.settings.get(name) and name not in unneeded and not resumes(given):
            raise missing(given, what)
    return task_settings(given.settings, "finetune")


def resumes(given: Given) -> bool:
    """Whether a run is resumed, which knows what it is trained on."""
    output = Path(given.settings.get("output", ""))
    return given.resume or (given.auto_resume and RunFolder(output).resumable)


def missing(given: Given, what: str) -> XinyeError:
    """The error for a run that cannot begin without what is to be given."""
    if given.auto_resume:
        output = given.settings["output"]
        return XinyeError(f"{output}: there is no run to resume; {what}")
    return XinyeError(what)


def check_options(given: Given) -> None:
    """Raises `XinyeError` for options that exclude each other."""
    if given.processes < 1:
        raise XinyeError(f"--processes {given.processes}: give at least 1")
    check_resume(given)
    if given.auto_resume and (given.resume or given.overwrite or given.folds is not None):
        raise XinyeError(
            "--auto-resume resumes a run or begins it: leave --resume, --overwrite and --folds out"
        )
    if given.auto_resume and "output" not in given.settings:
        raise XinyeError("--auto-resume needs the run's folder: -o runs/…")
    if given.processes > 1 and given.folds is not None:
        raise XinyeError("--folds trains its runs one after the other; leave --processes out")
    if given.dry_run and given.folds is not None:
        raise XinyeError(
            f"--dry-run shows the plan of one run: give --fold 1/{given.folds} instead of "
            f"--folds {given.folds}"
        )


def check_resume(given: Given) -> None:
    if given.resume and given.overwrite:
        raise XinyeError(
            "--resume continues the run and --overwrite replaces it: give only one of them"
        )
    if given.resume and "output" not in given.settings:
        raise XinyeError("--resume needs the run's folder: -o runs/…")


def train(
    settings: Settings, given: Given, arguments: list[str], began: float | None = None
) -> int:
    """Train in this process, in several, or in folds. Returns the exit code."""
    if given.folds is not None:
        return cross_validate(settings, given)
    if given.processes > 1:
        # A process that a launcher started knows the number of processes.
        started = os.environ.get("WORLD_SIZE")
        if started is None:
            from xinye.training.torchrun import check_count, launch

            check_count(given.processes)
            if not given.dry_run:
                return launch(given.processes, [settings.recipe, *arguments])
        elif started != str(given.processes):
            raise XinyeError(
                f"--processes {given.processes}: the environment variable "
                f"WORLD_SIZE is {started}; leave --processes out if a launcher "
                "starts the processes, otherwise unset WORLD_SIZE"
            )

    from xinye.training import train as recipes

    resume: Resume = "auto" if given.auto_resume else given.resume
    if isinstance(settings, PretrainSettings):
        with Display() as display:
            planned = given.processes if given.dry_run else 0
            run = recipes.pretrain(settings, display, given.overwrite, resume, planned, began)
    else:
        with Display(counted=find_task(settings.task).words.unit) as display:
            run = recipes.finetune(settings, display, given.overwrite, resume)
    if run is None:
        return print_result({"dry_run": True, "plan": display.planned}, given.json)
    if FIRST:
        show_end(run, settings, given.json)
    return 128 + run.interrupted if run.interrupted else 0


# -- the end of a run ------------------------------------------------------------------------------


def of_records(settings: Settings) -> bool:
    """True for a task with records, False for pretraining and the task `text`."""
    return isinstance(settings, FinetuneSettings) and not find_task(settings.task).continues_text


def show_end(run: "Run", settings: Settings, as_json: bool) -> None:
    """Print how a run ended, its results, and how to use its model."""
    of_a_task = of_records(settings)
    result = asdict(run)
    del result["interrupted"]
    if run.interrupted:
        again = f"xinye {'finetune' if of_a_task else 'pretrain'} -o {quoted(run.run)} --resume"
        console.print(f"stopped after step {run.steps:,}; resume with: {again}", soft_wrap=True)
        print_result(result | {"interrupted": run.interrupted}, as_json)
        return
    if run.cooled_from is not None:
        console.print(
            f"the evaluations no longer improved after step {run.cooled_from:,}, so the learning "
            f"rate decayed from there; the best model, that of step {run.model_step:,}, is saved",
            soft_wrap=True,
        )
    elif run.stopped_early:
        console.print(
            f"stopped early after step {run.steps:,}, because the evaluations no longer "
            f"improve; the best model, that of step {run.model_step:,}, is saved",
            soft_wrap=True,
        )
    elif run.model_step < run.steps:
        console.print(f"the best model, that of step {run.model_step:,}, is saved")
    if of_a_task:
        result |= show_task(run, as_json)
    else:
        show_text(run)
    print_result(result, as_json)


def show_text(run: "Run") -> None:
    bits = run.validation["bits_per_byte"]
    gained = ""
    if run.before is not None:  # how much continued training improved the model
        before = run.before["bits_per_byte"]
        gained = f"; before training: {before:.3f}"
        if bits >= before:
            gained += "; it became worse: try a lower --learning-rate, or fewer steps"
    saved = read_run(Path(run.run))
    beside = f" ({saved.about.data.yardstick})" if saved.about.data.yardstick else ""
    console.print(
        f"\n{run.parameters:,} parameters, {saved.tokens:,} tokens in "
        f"{duration(run.seconds)}: {bits:.3f} bits per byte{beside}{gained}\n{saved_to(run)}; "
        f'generate text with it: xinye generate {quoted(run.run)} "…"',
        soft_wrap=True,
    )


def saved_to(run: "Run") -> str:
    """Where a run was saved. If its report could not be written, that was said before."""
    report = Path(run.run) / REPORT
    if not report.exists():
        return f"saved to {run.run}"
    return f"saved to {run.run}, with its report in {report}"


def show_task(run: "Run", as_json: bool) -> Figures:
    """Print the results of a task next to its baseline. Returns what goes into the JSON."""
    saved = read_run(Path(run.run))
    result, words = saved.result.as_read(), find_task(saved.task).words
    if not as_json:
        show_measured(words.figures, result)
        missing = [each for each in result["findings"] if each.startswith("no baseline: ")]
        notes = find_task(saved.task).notes_on_figures(result["measured"])
        for finding in (*missing, *notes, *result.get("compared", ())):
            console.print(finding, soft_wrap=True)
        if "ranks" in result:
            show_ranks(result["ranks"])
    found = [finding for finding in diagnose(saved) if "augmentation" in finding.name]
    for finding in found[:1]:
        said = [getattr(part, screen_language()) for part in (finding.says, finding.advice)]
        console.print(Text(f"\n{' '.join(said).rstrip()}"), soft_wrap=True)
    console.print(
        f"\n{run.parameters:,} parameters, {plural(run.steps, 'step')} in "
        f"{duration(run.seconds)}\n{saved_to(run)}; use it: "
        f"{words.command.replace('{folder}', quoted(run.run))}",
        soft_wrap=True,
    )
    names = (
        *("task", "measured", "baseline", "other_baselines"),
        *("control", "findings", "trainable", "ranks", "mixes", "compared"),
    )
    return {name: result[name] for name in names if name in result}


# -- cross-validation ------------------------------------------------------------------------------


def cross_validate(settings: Settings, given: Given) -> int:
    from xinye.studies import folds as study

    task = find_task(settings.task) if isinstance(settings, FinetuneSettings) else None
    if task and task.continues_text:
        raise XinyeError(
            f"--task {task.verb} is pretraining; use: xinye pretrain FILES --from MODEL --folds K"
        )

    def show_fold(fold: Figures) -> None:
        steps = f"{plural(fold['steps'], 'step')} in {duration(fold['seconds'])}"
        if task:
            words = (*figures_of_fold(task.words.figures, fold), steps)
        else:
            loss = f"validation loss {fold['validation']['loss']:.3f}"
            words = (steps, loss, f"{fold['validation']['bits_per_byte']:.3f} bits per byte")
        number = shown(f"fold {fold['fold']} of {given.folds}")
        console.print(Text(with_colon(number, listed(words))), soft_wrap=True)

    stopped = "stopped; resume with the same -o and --folds, and --resume"
    with Brief() as display, exit_when_stopped(stopped):
        result = study.cross_validate(
            settings, given.folds, display, show_fold, given.overwrite, given.resume
        )
    if not task:
        bits = result["bits_per_byte"]
        console.print(
            f"\n{bits['mean']:.3f} ± {bits['standard_deviation']:.3f} bits per "
            f"byte: mean and standard deviation of {given.folds} folds\nsaved to "
            f"{result['run']}",
            soft_wrap=True,
        )
    elif not given.json:
        show_folds_of_a_task(task.words.figures, result)
    return print_result(result, given.json)


def figures_of_fold(known: Sequence[Figure], fold: Figures) -> list[str]:
    """The metrics of a task in one fold, followed by those of its baseline."""
    figures, baseline = fold["validation"], fold.get("baseline")
    beside = []
    for figure in known:
        name = figure.name
        if name in figures and (not baseline or name in baseline):
            its = f" ({figure.written(baseline[name])})" if baseline else ""
            beside.append(f"{shown_word(figure.short)} {figure.written(figures[name])}{its}")
    return beside


def show_folds_of_a_task(known: Sequence[Figure], result: Figures) -> None:
    """Print the mean and interval of every metric of the model, its baseline and the control
    run.
    """
    rows = {"this model": result["validation"]}
    for key in ("baseline", "control"):
        if key in result:
            name = result[key]["name"]
            rows |= {name: result[key], f"difference to {name}": result[f"more_than_{key}"]}
    figures = [each for each in known if all(each.name in row for row in rows.values())]

    def cell(spread: dict[str, float], figure: Figure) -> str:
        return f"{figure.written(spread['mean'])} ± {figure.written(spread['interval'])}"

    cells = [
        [title, *(cell(row[each.name], each) for each in figures)] for title, row in rows.items()
    ]
    answer.print()
    print_table(["", *(figure.short for figure in figures)], cells)
    answer.print()
    console.print(
        f"mean of {len(result['folds'])} folds, ± its 95 % interval\nsaved to {result['run']}",
        soft_wrap=True,
    )
