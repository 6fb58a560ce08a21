"""`xinye tune`"""

import shlex
from typing import Any

from xinye.cli.arguments import Parser
from xinye.cli.pretrain import make_settings
from xinye.recipes.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "tune",
        "Search for better settings than the plan's: rates, depth, batch, weight decay, dropout. The same\n"
        "command goes on where it stopped. Takes the flags of pretrain, too: --time is for the whole study\n"
        "(30min), --steps, --tokens and --epochs are for each trial; what is given is not searched.",
        "xinye tune novel.txt --size 1M --trials 20 --time 30min -o runs/tune",
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument("--trials", type=int, default=20, metavar="N", help="trainings in all (20)")
    parser.add_argument("--overwrite", action="store_true", default=False, help="replace the study in -o")
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object at the end")
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files", "evaluations"))
    values = parser.values(arguments)
    trials, overwrite, as_json = values.pop("trials"), values.pop("overwrite"), values.pop("json")
    settings = make_settings({"size": "1M", **values} if "config" not in values else values, resume=False)

    from rich.table import Table

    from xinye.cli.output import Brief, console, duration, print_findings, print_json
    from xinye.recipes.tune import begin, conclude, explain, run_trials

    with Brief() as display:
        tuning = begin(settings, trials, display, overwrite)
        batch, context = tuning.plan["batch_size"], tuning.plan["context"]
        console.print(
            f"study in {tuning.output}: {tuning.trials} trials of {tuning.tokens:,} tokens, "
            f"{tuning.tokens // (batch * context):,} steps with the plan's batch of {batch}; "
            "trial 0 is the plan's own settings",
            soft_wrap=True,
        )
        try:
            for trial in run_trials(tuning, display):
                bits = trial["bits_per_byte"]
                console.print(
                    f"{trial['trial']:>4}  {f'{bits:.3f}' if bits else '–':>6}  {trial['state']:<11} "
                    f"{duration(trial['seconds']):>10}  {_settings(trial['settings'])}",
                    soft_wrap=True,
                )
            result = conclude(tuning, display)
        except KeyboardInterrupt:
            console.print("stopped; the same command goes on")
            return 130
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("trial", "bits per byte", *result["top"][0]["settings"]):
        table.add_column(name.replace("_", " "), justify="right")
    for trial in result["top"]:
        chosen = [_number(value) for value in trial["settings"].values()]
        table.add_row(str(trial["trial"]), f"{trial['bits_per_byte']:.3f}", *chosen)
    console.print("\nthe best of them", style="bold")
    console.print(table)
    console.print()
    print_findings(explain(result), result["charts"])
    command = shlex.join(["xinye", "pretrain", *settings.files, "--config", result["config"]])
    console.print(f"train with them: {command} --time …", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0


def _settings(values: dict[str, Any]) -> str:
    return "  ".join(f"{name} {_number(value)}" for name, value in values.items())


def _number(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}"
