"""`xinye finetune`"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError, checked
from xinye.recipes.finetune_settings import FinetuneSettings

NEEDED = {
    "model": "name the model to begin with: a run's folder, or any Hugging Face folder",
    "task": "name the task: --task classify, or --task tag",
    "data": "name the records to learn from: --data FILE",
    "output": "name the run's folder: -o runs/…",
}


def main(arguments: list[str]) -> int:
    parser = Parser(
        "finetune",
        "Teach a model a task from a file of records, and measure it beside a classical baseline.",
        "xinye finetune runs/novel --task classify --data reviews.csv -o runs/reviews",
    )
    parser.add_argument("model", nargs="?", metavar="MODEL", help="a run's folder, or any Hugging Face folder")
    parser.add_argument("--resume", action="store_true", help="go on with the run in -o")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in -o")
    parser.add_argument("--processes", type=int, metavar="N", help="train in this many processes on this machine")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_fields(FinetuneSettings, {"output": "-o"}, positional=("model",))
    values = parser.values(arguments)
    options = {name: values.pop(name, False) for name in ("resume", "overwrite", "json")}
    count = values.pop("processes", 1)
    if count < 1:
        raise XinyeError(f"--processes {count}: give at least 1")
    settings = make_settings(values, **options)
    if count > 1:
        from xinye.cli.pretrain import without_flag
        from xinye.training.distributed import launch

        return launch(count, ["finetune", *without_flag(arguments, "--processes")])

    from xinye.cli.output import FIRST, Display, console, duration, print_json
    from xinye.cli.tasks import show_measured, show_ranks
    from xinye.evaluation.runs import read_run
    from xinye.recipes.finetune import finetune

    with Display(counted="labels") as display:
        run = finetune(settings, display, options["overwrite"], options["resume"])
    if not FIRST:
        return 128 + run.interrupted if run.interrupted else 0
    if run.interrupted:
        console.print(
            f"stopped after step {run.steps:,}; go on with: xinye finetune -o {run.run} --resume", soft_wrap=True
        )
        return 128 + run.interrupted
    result = read_run(Path(run.run)).result
    if run.stopped_early:
        console.print(f"stopped early after step {run.steps:,}; the model is that of step {run.model_step:,}")
    if not options["json"]:
        show_measured(result["measured"], result["baseline"])
    if "ranks" in result and not options["json"]:
        show_ranks(result["ranks"])
    console.print(
        f"\n{run.parameters:,} parameters, {run.steps:,} steps in {duration(run.seconds)}\n"
        f"the run lies in {run.run}, its report in {run.run}/report.html; "
        f'use it: xinye {result["task"]} {run.run} "…"',
        soft_wrap=True,
    )
    if options["json"]:
        told: dict[str, Any] = {name: value for name, value in asdict(run).items() if name != "interrupted"}
        names = ("task", "measured", "baseline", "findings", "trainable", "ranks")
        print_json(told | {name: result[name] for name in names if name in result})
    return 0


def make_settings(values: dict[str, Any], resume: bool, overwrite: bool, json: bool) -> FinetuneSettings:
    """What was typed, as settings; what is missing is said."""
    if resume:
        if overwrite:
            raise XinyeError("--resume goes on with a run and --overwrite replaces it: give one of them")
        if "output" not in values:
            raise XinyeError("--resume needs the run's folder: -o runs/…")
        return checked(FinetuneSettings, values, "finetune")
    for name, what in NEEDED.items():
        if not values.get(name):
            raise XinyeError(what)
    return checked(FinetuneSettings, values, "finetune")
