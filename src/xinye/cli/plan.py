"""`xinye plan`"""

import shlex

from xinye.cli.arguments import Parser
from xinye.cli.pretrain import make_settings
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "plan",
        "Which size gives the lowest bits per byte in a time: two short runs of each, a tenth of the time in all\n"
        "(of little time a quarter), and a scaling law fitted to them. Takes the flags of pretrain, too.",
        "xinye plan novel.txt --size 1M,5M,15M --time 1h -o runs/plan",
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument(
        "--size", default="1M,5M,15M", metavar="A,B", help="the sizes to compare (1M,5M,15M)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the plan in -o"
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    without = (
        "files",
        "from_",
        "size",
        "tokens",
        "epochs",
        "steps",
        "layers",
        "width",
        "batch_size",
        "evaluations",
    )
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=without)
    values = parser.values(arguments)
    sizes, overwrite, as_json = (
        values.pop("size").split(","),
        values.pop("overwrite"),
        values.pop("json"),
    )
    settings = make_settings({**values, "size": sizes[0]}, resume=False)
    if settings.time is None:
        raise XinyeError("name the time that there will be for training, such as --time 1h")

    from rich.table import Table

    from xinye.cli.output import Brief, console, duration, print_findings, print_json
    from xinye.studies.scaling import begin, conclude, explain, run_short

    with Brief() as display:
        planning = begin(settings, sizes, display, overwrite)
        cost = duration(planning.share * planning.seconds)
        console.print(f"short runs of about {cost} in all, to foresee a run of {settings.time}")
        try:
            for run in run_short(planning, display):
                console.print(
                    f"{run['size']:>6}  {run['tokens']:>11,} tokens in {run['steps']:,} steps of {run['batch_size']}: "
                    f"{run['bits_per_byte']:.3f} bits per byte, {duration(run['seconds'])}"
                )
        except KeyboardInterrupt:
            console.print("interrupted; nothing was planned")
            return 130
    result = conclude(planning)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in (
        "size",
        "parameters",
        "steps",
        "tokens",
        "epochs",
        "bits per byte",
        "90 % interval",
        "best",
    ):
        table.add_column(name, justify="right")
    for size in result["sizes"]:
        table.add_row(
            size["size"], f"{size['parameters']:,}", f"{size['steps']:,}", f"{size['tokens']:,}",
            f"{size['epochs']:.1f}", f"{size['bits_per_byte']:.3f}", f"{size['low']:.3f}–{size['high']:.3f}",
            f"{size['chance_of_best']:.0%}",
        )  # fmt: skip
    console.print(f"\nto be expected in {settings.time}", style="bold")
    console.print(table)
    console.print()
    print_findings(explain(result), result["charts"])
    command = shlex.join(["xinye", "pretrain", *settings.files, "--config", result["config"]])
    console.print(f"train it with: {command}", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0
