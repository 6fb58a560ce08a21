"""`xinye finetune`"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError, checked
from xinye.planning.finetune_settings import FinetuneSettings

NEEDED = {
    "model": "name the model to begin with: a run's folder, or any Hugging Face folder",
    "task": "name the task: --task classify, tag, chat or text",
    "data": "name the records to learn from: --data FILE",
    "output": "name the run's folder: -o runs/…",
}


def main(arguments: list[str]) -> int:
    parser = Parser(
        "finetune",
        "Teach a model a task from a file of records, and measure it beside a baseline: classical means for classify\n"
        "and tag, the model that it began with for chat and text.",
        "xinye finetune runs/novel --task classify --data reviews.csv -o runs/reviews",
    )
    parser.add_argument(
        "model", nargs="?", metavar="MODEL", help="a run's folder, or any Hugging Face folder"
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run in -o")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in -o")
    parser.add_argument(
        "--folds", type=int, metavar="K", help="cross-validation: a run for each of K parts"
    )
    parser.add_argument(
        "--processes", type=int, metavar="N", help="train in this many processes on this machine"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_fields(FinetuneSettings, {"output": "-o"}, positional=("model",))
    values = parser.values(arguments)
    options = {name: values.pop(name, False) for name in ("resume", "overwrite", "json")}
    count, folds = values.pop("processes", 1), values.pop("folds", None)
    if count < 1:
        raise XinyeError(f"--processes {count}: give at least 1")
    settings = make_settings(values, **options)
    if folds is not None and count > 1:
        raise XinyeError("--folds trains one run after the other: leave --processes out")
    if folds is not None and settings.task == "text":
        raise XinyeError("--task text is pretraining: xinye pretrain FILES --from MODEL --folds K")
    if folds is not None:
        return _folds(settings, folds, **options)
    if count > 1:
        from xinye.cli.pretrain import without_flag
        from xinye.training.distributed import launch

        return launch(count, ["finetune", *without_flag(arguments, "--processes")])

    from xinye.cli.output import FIRST, Display, console, duration, print_json
    from xinye.cli.pretrain import told_of
    from xinye.cli.tasks import show_measured, show_ranks
    from xinye.runs.diagnosis import diagnose
    from xinye.runs.folder import read_run
    from xinye.training.finetune import finetune

    counted = "tokens" if settings.task in ("chat", "text") else "labels"
    with Display(counted=counted) as display:
        run = finetune(settings, display, options["overwrite"], options["resume"])
    if not FIRST:
        return 128 + run.interrupted if run.interrupted else 0
    if run.interrupted:
        console.print(
            f"stopped after step {run.steps:,}; go on with: xinye finetune -o {run.run} --resume",
            soft_wrap=True,
        )
        return 128 + run.interrupted
    if settings.task == "text":
        return told_of(run, options["json"])
    result = read_run(Path(run.run)).result
    if run.stopped_early:
        console.print(
            f"stopped early after step {run.steps:,}; the model is that of step {run.model_step:,}"
        )
    if not options["json"]:
        show_measured(result["measured"], result["baseline"], result.get("control"))
        if missing := next(
            (each for each in result["findings"] if each.startswith("no baseline: ")), None
        ):
            console.print(missing, soft_wrap=True)
    if "ranks" in result and not options["json"]:
        show_ranks(result["ranks"])
    if finding := next(
        (each for each in diagnose(read_run(Path(run.run))) if "augmentation" in each.name), None
    ):
        console.print(f"\n{finding.says.en} {finding.advice.en}".rstrip(), soft_wrap=True)
    console.print(
        f"\n{run.parameters:,} parameters, {run.steps:,} steps in {duration(run.seconds)}\n"
        f"the run lies in {run.run}, its report in {run.run}/report.html; "
        f"use it: xinye {result['task']} {run.run}" + (' "…"' if result["task"] != "chat" else ""),
        soft_wrap=True,
    )
    if options["json"]:
        told: dict[str, Any] = {
            name: value for name, value in asdict(run).items() if name != "interrupted"
        }
        names = ("task", "measured", "baseline", "control", "findings", "trainable", "ranks")
        print_json(told | {name: result[name] for name in names if name in result})
    return 0


def make_settings(
    values: dict[str, Any], resume: bool, overwrite: bool, json: bool
) -> FinetuneSettings:
    """What was typed, as settings; what is missing is said."""
    if resume:
        if overwrite:
            raise XinyeError(
                "--resume goes on with a run and --overwrite replaces it: give one of them"
            )
        if "output" not in values:
            raise XinyeError("--resume needs the run's folder: -o runs/…")
        return checked(FinetuneSettings, values, "finetune")
    for name, what in NEEDED.items():
        if not values.get(name):
            raise XinyeError(what)
    return checked(FinetuneSettings, values, "finetune")


def _folds(
    settings: FinetuneSettings, folds: int, resume: bool, overwrite: bool, json: bool
) -> int:
    from xinye.cli.evaluate import new_table
    from xinye.cli.output import Brief, answer, console, duration, print_json
    from xinye.cli.tasks import FIGURES, written
    from xinye.studies.folds import cross_validate

    def told(fold: dict[str, Any]) -> None:
        figures, baseline = fold["validation"], fold.get("baseline")
        beside = []
        for name in FIGURES:
            if name in figures and (not baseline or name in baseline):
                its = f" ({written(baseline[name], name)})" if baseline else ""
                beside.append(f"{FIGURES[name][0]} {written(figures[name], name)}{its}")
        steps = f"{fold['steps']:,} steps in {duration(fold['seconds'])}"
        console.print(
            f"fold {fold['fold']} of {folds}: {', '.join(beside)}, {steps}", soft_wrap=True
        )

    with Brief() as display:
        result = cross_validate(settings, folds, display, told, overwrite, resume)
    if result is None:
        console.print("stopped; go on with the same -o and --folds, and --resume")
        return 130
    if json:
        print_json(result)
        return 0
    rows = {"this model": result["validation"]}
    for key in ("baseline", "control"):
        if key in result:
            rows |= {
                result[key]["name"]: result[key],
                f"more than {result[key]['name']}": result[f"more_than_{key}"],
            }
    names = [name for name in FIGURES if all(name in row for row in rows.values())]
    table = new_table("", *(FIGURES[name][0] for name in names))
    for title, row in rows.items():
        cells = [
            f"{written(row[name]['mean'], name)} ± {written(row[name]['interval'], name)}"
            for name in names
        ]
        table.add_row(title, *cells)
    answer.print("", table, "", sep="\n")
    console.print(
        f"mean of {folds} folds, ± its 95 % interval\nthe runs lie in {result['run']}",
        soft_wrap=True,
    )
    return 0
