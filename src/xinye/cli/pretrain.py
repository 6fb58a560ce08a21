"""`xinye pretrain`"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError, checked
from xinye.planning.settings import PretrainSettings, read_config

if TYPE_CHECKING:  # it brings torch
    from xinye.training.pretrain import Run

BUDGETS = ("time", "tokens", "epochs", "steps", "total_steps")


def main(arguments: list[str]) -> int:
    began = time.monotonic()
    parser = Parser(
        "pretrain",
        "Train a GPT on text, from scratch or going on with a model (--from). What is not given is derived from the\n"
        "text and this machine.",
        "xinye pretrain novel.txt --size 5M --time 10min -o runs/novel\n"
        "  xinye pretrain letters.txt --from runs/novel --time 5min -o runs/letters",
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="settings from a YAML file; flags override them"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--resume", action="store_true", help="go on with the run in -o")
    parser.add_argument("--overwrite", action="store_true", help="replace the run in -o")
    parser.add_argument(
        "--processes", type=int, metavar="N", help="train in this many processes on this machine"
    )
    parser.add_argument(
        "--folds", type=int, metavar="K", help="cross-validation: a run for each of K parts"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files",))
    values = parser.values(arguments)
    options = {
        name: values.pop(name, False)
        for name in ("dry_run", "resume", "overwrite", "json", "folds")
    }
    count = values.pop("processes", 1)
    if count < 1:
        raise XinyeError(f"--processes {count}: give at least 1")
    if options["resume"] and options["overwrite"]:
        raise XinyeError(
            "--resume goes on with a run and --overwrite replaces it: give one of them"
        )
    settings = make_settings(values, options["resume"])
    if count > 1 and options["folds"] is not False:
        raise XinyeError("--folds trains one run after the other: leave --processes out")
    if count > 1 and not options["dry_run"]:
        from xinye.training.distributed import launch

        return launch(count, ["pretrain", *without_flag(arguments, "--processes")])

    if options["folds"] is not False:
        return _folds(settings, **options)

    from xinye.cli.output import Display, print_json
    from xinye.training.pretrain import pretrain

    with Display() as display:
        run = pretrain(
            settings,
            display,
            overwrite=options["overwrite"],
            resume=options["resume"],
            dry_run=options["dry_run"],
            began=began,
        )
    if run is None:
        if options["json"]:
            print_json({"dry_run": True, "plan": display.planned})
        return 0
    return told_of(run, options["json"])


def told_of(run: "Run", as_json: bool) -> int:
    """Say how a run ended; returns the exit code."""
    from xinye.cli.output import FIRST, console, duration, print_json

    if not FIRST:
        return 128 + run.interrupted if run.interrupted else 0
    if run.interrupted:
        console.print(
            f"stopped after step {run.steps:,}; go on with: xinye pretrain -o {run.run} --resume",
            soft_wrap=True,
        )
    else:
        if run.stopped_early:
            console.print(
                f"stopped early after step {run.steps:,}: no evaluation since step {run.model_step:,} was better; "
                f"the model is that of step {run.model_step:,}",
                soft_wrap=True,
            )
        console.print(
            f"\n{run.parameters:,} parameters, {run.tokens:,} tokens in {duration(run.seconds)}: "
            f"{run.validation['bits_per_byte']:.3f} bits per byte{_gain(run)}\n"
            f"the run lies in {run.run}, its report in {run.run}/report.html; "
            f'write with it: xinye generate {run.run} "…"',
            soft_wrap=True,
        )
    if as_json:
        print_json({name: value for name, value in asdict(run).items() if name != "interrupted"})
    return 128 + run.interrupted if run.interrupted else 0


def _gain(run: "Run") -> str:
    """What going on with a model was worth, in words."""
    if run.before is None:
        return ""
    gain = run.before["bits_per_byte"] - run.validation["bits_per_byte"]
    better = (
        f"{gain:.3f} better"
        if gain > 0
        else f"{-gain:.3f} worse: try a lower --learning-rate, or fewer steps"
    )
    return f", {run.before['bits_per_byte']:.3f} before ({better})"


def without_flag(arguments: list[str], flag: str) -> list[str]:
    """The arguments without a flag and its value."""
    if flag in arguments:
        place = arguments.index(flag)
        return arguments[:place] + arguments[place + 2 :]
    return [argument for argument in arguments if not argument.startswith(f"{flag}=")]


def make_settings(values: dict[str, Any], resume: bool) -> PretrainSettings:
    """The settings from a file, if one is named, with what was typed above them."""
    config = values.pop("config", None)
    if not values.get("files"):
        values.pop("files", None)
    if resume and "output" not in values:
        raise XinyeError("--resume needs the run's folder: -o runs/…")
    if config:
        below = read_config(config)
        if any(budget in values for budget in BUDGETS):
            below = {name: value for name, value in below.items() if name not in BUDGETS}
        values = {
            **below,
            **values,
            "cleaning": {**below.get("cleaning", {}), **values.get("cleaning", {})},
        }
    if not values.get("files") and not resume:
        raise XinyeError("name the text to train on: files, folders or globs")
    values["files"] = tuple(values.get("files", ()))
    return checked(PretrainSettings, values, "pretrain")


def _folds(
    settings: PretrainSettings, folds: int, dry_run: bool, resume: bool, overwrite: bool, json: bool
) -> int:
    if dry_run:
        raise XinyeError(
            f"--dry-run shows the plan of one run: give --fold 1/{folds} instead of --folds {folds}"
        )

    from xinye.cli.output import Brief, console, duration, print_json
    from xinye.studies.folds import cross_validate

    def told(fold: dict[str, Any]) -> None:
        figures = fold["validation"]
        console.print(
            f"fold {fold['fold']} of {folds}: {fold['steps']:,} steps in {duration(fold['seconds'])}, "
            f"validation loss {figures['loss']:.3f}, {figures['bits_per_byte']:.3f} bits per byte"
        )

    with Brief() as display:
        result = cross_validate(settings, folds, display, told, overwrite, resume)
    if result is None:
        console.print("stopped; go on with the same -o and --folds, and --resume")
        return 130
    bits = result["bits_per_byte"]
    console.print(
        f"\n{bits['mean']:.3f} ± {bits['standard_deviation']:.3f} bits per byte: mean and standard deviation of "
        f"{folds} folds\nthe runs lie in {result['run']}",
        soft_wrap=True,
    )
    if json:
        print_json(result)
    return 0
