"""What `xinye pretrain` and `xinye finetune` share: their options, and how a run ended."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.cli.output import (
    FIRST,
    Brief,
    Display,
    answer,
    console,
    duration,
    exit_when_stopped,
    print_json,
    print_table,
)
from xinye.errors import XinyeError
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings

if TYPE_CHECKING:  # it brings torch
    from xinye.runs.words import Figure
    from xinye.training.job import Run

Settings = PretrainSettings | FinetuneSettings


@dataclass(frozen=True)
class Options:
    """What is typed about a run beside its settings."""

    dry_run: bool = False
    resume: bool = False
    overwrite: bool = False
    processes: int = 1
    folds: int | None = None
    json: bool = False


def add_options(parser: Parser) -> None:
    parser.add_switches(
        resume="go on with the run in -o",
        overwrite="replace the run in -o",
        json="print one JSON object at the end",
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="train in this many processes on this machine"
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="cross-validation: a run for each of K parts"
    )


def take_options(values: dict[str, Any]) -> Options:
    """The options among what was typed; the settings stay in `values`."""
    names = Options.__dataclass_fields__.keys() & values.keys()
    options = Options(**{name: values.pop(name) for name in names})
    if options.processes < 1:
        raise XinyeError(f"--processes {options.processes}: give at least 1")
    check_resume(options.resume, options.overwrite, values)
    if options.processes > 1 and options.folds is not None:
        raise XinyeError("--folds trains one run after the other: leave --processes out")
    if options.dry_run and options.folds is not None:
        raise XinyeError(
            f"--dry-run shows the plan of one run: give --fold 1/{options.folds} instead of "
            f"--folds {options.folds}"
        )
    return options


def check_resume(resume: bool, overwrite: bool, values: dict[str, Any]) -> None:
    if resume and overwrite:
        raise XinyeError(
            "--resume goes on with a run and --overwrite replaces it: give one of them"
        )
    if resume and "output" not in values:
        raise XinyeError("--resume needs the run's folder: -o runs/…")


def train(settings: Settings, options: Options, arguments: list[str], began: float) -> int:
    """Train, here, in several processes or in folds; returns the exit code."""
    if options.folds is not None:
        return cross_validate(settings, options, options.folds)
    if options.processes > 1 and not options.dry_run and "RANK" not in os.environ:
        from xinye.training.distributed import launch

        return launch(options.processes, [settings.recipe, *arguments])

    from xinye.tasks.registry import find_task
    from xinye.training.train import finetune, pretrain

    if isinstance(settings, PretrainSettings):
        with Display() as display:
            run = pretrain(
                settings, display, options.overwrite, options.resume, options.dry_run, began
            )
    else:
        with Display(counted=find_task(settings.task).words.unit) as display:
            run = finetune(settings, display, options.overwrite, options.resume)
    if run is None:
        if options.json:
            print_json({"dry_run": True, "plan": display.planned})
        return 0
    if FIRST:
        show_end(run, settings, options.json)
    return 128 + run.interrupted if run.interrupted else 0


# -- how a run ended -------------------------------------------------------------------------------


def show_end(run: "Run", settings: Settings, as_json: bool) -> None:
    """Print how a run ended, what it came to, and how to use its model."""
    of_a_task = isinstance(settings, FinetuneSettings) and settings.task != "text"
    recipe = "finetune" if of_a_task else "pretrain"
    if run.interrupted:
        again = f"xinye {recipe} -o {run.run} --resume"
        console.print(f"stopped after step {run.steps:,}; go on with: {again}", soft_wrap=True)
    elif run.stopped_early:
        console.print(
            f"stopped early after step {run.steps:,}: no evaluation since step {run.model_step:,} "
            f"was better; the model is that of step {run.model_step:,}",
            soft_wrap=True,
        )
    result = asdict(run)
    del result["interrupted"]
    if of_a_task and not run.interrupted:
        result |= show_task(run, as_json)
    elif not run.interrupted:
        show_text(run)
    if as_json and not (of_a_task and run.interrupted):
        print_json(result)


def show_text(run: "Run") -> None:
    bits = run.validation["bits_per_byte"]
    gained = ""
    if run.before is not None:  # what going on with a model was worth
        before = run.before["bits_per_byte"]
        better = f"{before - bits:.3f} better"
        if bits >= before:
            better = f"{bits - before:.3f} worse: try a lower --learning-rate, or fewer steps"
        gained = f", {before:.3f} before ({better})"
    console.print(
        f"\n{run.parameters:,} parameters, {run.tokens:,} tokens in {duration(run.seconds)}: "
        f"{bits:.3f} bits per byte{gained}\n"
        f"the run lies in {run.run}, its report in {run.run}/report.html; "
        f'write with it: xinye generate {run.run} "…"',
        soft_wrap=True,
    )


def show_task(run: "Run", as_json: bool) -> dict[str, Any]:
    """Print what a task's run came to beside its baseline; returns what JSON tells of it."""
    from xinye.cli.tasks import show_measured, show_ranks
    from xinye.runs.diagnosis import diagnose
    from xinye.runs.saved import read_run
    from xinye.tasks.registry import find_task

    saved = read_run(Path(run.run))
    result, words = saved.result.as_read(), find_task(saved.task).words
    if not as_json:
        show_measured(words.figures, result["measured"], result["baseline"], result.get("control"))
        missing = [each for each in result["findings"] if each.startswith("no baseline: ")]
        for finding in missing[:1]:
            console.print(finding, soft_wrap=True)
        if "ranks" in result:
            show_ranks(result["ranks"])
    found = [finding for finding in diagnose(saved) if "augmentation" in finding.name]
    for finding in found[:1]:
        console.print(f"\n{finding.says.en} {finding.advice.en}".rstrip(), soft_wrap=True)
    console.print(
        f"\n{run.parameters:,} parameters, {run.steps:,} steps in {duration(run.seconds)}\n"
        f"the run lies in {run.run}, its report in {run.run}/report.html; "
        f"use it: {words.command.replace('{folder}', run.run)}",
        soft_wrap=True,
    )
    names = ("task", "measured", "baseline", "control", "findings", "trainable", "ranks")
    return {name: result[name] for name in names if name in result}


# -- cross-validation ------------------------------------------------------------------------------


def cross_validate(settings: Settings, options: Options, folds: int) -> int:
    from xinye.studies import folds as study
    from xinye.tasks.registry import find_task

    of_a_task = isinstance(settings, FinetuneSettings)
    figures: Sequence[Figure] = ()
    if isinstance(settings, FinetuneSettings):
        task = find_task(settings.task)
        figures = task.words.figures
        if not task.figures:
            what = f"--task {task.verb} is pretraining"
            raise XinyeError(f"{what}: xinye pretrain FILES --from MODEL --folds K")

    def show_fold(fold: dict[str, Any]) -> None:
        steps = f"{fold['steps']:,} steps in {duration(fold['seconds'])}"
        loss, bits = (fold["validation"].get(name, 0.0) for name in ("loss", "bits_per_byte"))
        words = f"{steps}, validation loss {loss:.3f}, {bits:.3f} bits per byte"
        if of_a_task:
            words = f"{figures_of_fold(figures, fold)}, {steps}"
        console.print(f"fold {fold['fold']} of {folds}: {words}", soft_wrap=True)

    stopped = "stopped; go on with the same -o and --folds, and --resume"
    with Brief() as display, exit_when_stopped(stopped):
        result = study.cross_validate(
            settings, folds, display, show_fold, options.overwrite, options.resume
        )
    if not of_a_task:
        bits = result["bits_per_byte"]
        console.print(
            f"\n{bits['mean']:.3f} ± {bits['standard_deviation']:.3f} bits per byte: mean and "
            f"standard deviation of {folds} folds\nthe runs lie in {result['run']}",
            soft_wrap=True,
        )
    elif not options.json:
        show_folds_of_a_task(figures, result)
    if options.json:
        print_json(result)
    return 0


def figures_of_fold(known: Sequence["Figure"], fold: dict[str, Any]) -> str:
    """The figures of a task in one fold, those of its baseline behind them."""
    figures, baseline = fold["validation"], fold.get("baseline")
    beside = []
    for figure in known:
        name = figure.name
        if name in figures and (not baseline or name in baseline):
            its = f" ({figure.written(baseline[name])})" if baseline else ""
            beside.append(f"{figure.short} {figure.written(figures[name])}{its}")
    return ", ".join(beside)


def show_folds_of_a_task(known: Sequence["Figure"], result: dict[str, Any]) -> None:
    """The mean of every figure of the model, its baseline and the control, with its interval."""
    rows = {"this model": result["validation"]}
    for key in ("baseline", "control"):
        if key in result:
            name = result[key]["name"]
            rows |= {name: result[key], f"more than {name}": result[f"more_than_{key}"]}
    figures = [each for each in known if all(each.name in row for row in rows.values())]

    def cell(spread: dict[str, float], figure: "Figure") -> str:
        return f"{figure.written(spread['mean'])} ± {figure.written(spread['interval'])}"

    answer.print()
    columns = ["", *(figure.short for figure in figures)]
    cells = [
        [title, *(cell(row[each.name], each) for each in figures)] for title, row in rows.items()
    ]
    print_table(columns, cells)
    answer.print()
    folds = len(result["folds"])
    console.print(
        f"mean of {folds} folds, ± its 95 % interval\nthe runs lie in {result['run']}",
        soft_wrap=True,
    )
