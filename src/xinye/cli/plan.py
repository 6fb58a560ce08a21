"""`xinye plan`"""

from xinye.cli.arguments import Parser
from xinye.cli.output import (
    Brief,
    console,
    duration,
    exit_when_stopped,
    print_findings,
    print_json,
    print_table,
)
from xinye.cli.pretrain import make_settings
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings

DERIVED = ("from_", "tokens", "epochs", "steps", "layers", "width", "batch_size", "evaluations")


def main(arguments: list[str]) -> int:
    parser = Parser(
        "plan",
        "Which size gives the lowest bits per byte in a time: two short runs of each, a tenth of "
        "the time in all\n"
        "(of little time a quarter), and a scaling law fitted to them. Takes the flags of "
        "pretrain, too.",
        "xinye plan novel.txt --size 1M,5M,15M --time 1h -o runs/plan",
    )
    parser.add_files()
    parser.add_argument(
        "--size",
        default="1M,5M,15M",
        metavar="A,B",
        help="the sizes to compare (1M,5M,15M)",
    )
    parser.add_switches(overwrite="replace the plan in -o", json="print one JSON object at the end")
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("files", "size", *DERIVED))
    values = parser.values(arguments)
    overwrite, as_json = values.pop("overwrite"), values.pop("json")
    sizes = values.pop("size").split(",")
    settings = make_settings({**values, "size": sizes[0]})
    if settings.time is None:
        raise XinyeError("name the time that there will be for training, such as --time 1h")

    from xinye.studies.scaling import begin, conclude, explain, run_short
    from xinye.studies.shared import config_command

    with Brief() as display:
        planning = begin(settings, sizes, display, overwrite)
        cost = duration(planning.share * planning.seconds)
        console.print(f"short runs of about {cost} in all, to foresee a run of {settings.time}")
        with exit_when_stopped("interrupted; nothing was planned"):
            for run in run_short(planning, display):
                console.print(
                    f"{run['size']:>6}  {run['tokens']:>11,} tokens in {run['steps']:,} steps of "
                    f"{run['batch_size']}: {run['bits_per_byte']:.3f} bits per byte, "
                    f"{duration(run['seconds'])}"
                )
    result = conclude(planning)
    rows = [
        (
            size["size"],
            *(f"{size[name]:,}" for name in ("parameters", "steps", "tokens")),
            f"{size['epochs']:.1f}",
            f"{size['bits_per_byte']:.3f}",
            f"{size['low']:.3f}–{size['high']:.3f}",
            f"{size['chance_of_best']:.0%}",
        )
        for size in result["sizes"]
    ]
    columns = ("size", "parameters", "steps", "tokens", "epochs", "bits per byte")
    console.print(f"\nto be expected in {settings.time}", style="bold")
    print_table((*columns, "90 % interval", "best"), rows, left=(), on=console)
    print_findings(explain(result), result["charts"])
    command = config_command(result["config"], settings)
    console.print(f"train it with: {command}", soft_wrap=True)
    if as_json:
        print_json(result)
    return 0
