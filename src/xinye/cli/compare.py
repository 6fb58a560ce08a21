"""`xinye compare`"""

from xinye.cli.arguments import Parser
from xinye.cli.output import (
    Display,
    console,
    duration,
    exit_when_stopped,
    print_findings,
    print_json,
    print_table,
)
from xinye.cli.pretrain import BUDGETS, make_settings
from xinye.planning.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "compare",
        "Train architectures on the same text for the same budget and compare them. Takes the "
        "flags of pretrain, too.",
        "xinye compare novel.txt --architectures modern,gpt2,lstm --size 1M --time 3min -o "
        "runs/compare",
    )
    parser.add_files()
    parser.add_argument(
        "--architectures", default="modern,gpt2,lstm", metavar="A,B", help="(modern,gpt2,lstm)"
    )
    parser.add_switches(
        overwrite="replace the comparison in -o", json="print one JSON object at the end"
    )
    parser.add_fields(
        PretrainSettings, {"output": "-o"}, positional=("files", "from_", "architecture")
    )
    values = parser.values(arguments)
    architectures = values.pop("architectures").split(",")
    overwrite, as_json = values.pop("overwrite"), values.pop("json")
    if not any(name in values for name in (*BUDGETS, "config")):
        values["time"] = "3min"
    settings = make_settings({"size": "1M", **values})

    from xinye.studies.compare import compare, explain_comparison

    stopped = "interrupted; nothing was compared"
    with Display(show_plan=False) as display, exit_when_stopped(stopped):
        result = compare(settings, architectures, display, overwrite)
    runs = result["runs"]
    rows = [
        (
            run["architecture"],
            f"{run['parameters']:,}",
            f"{run['steps']:,}",
            f"{run['tokens_per_second']:,.0f}",
            duration(run["seconds"]),
            f"{run['validation']['loss']:.3f}",
            f"{run['validation']['bits_per_byte']:.3f}",
        )
        for run in runs
    ]
    columns = ("architecture", "parameters", "steps", "tokens/s", "time", "loss", "bits per byte")
    print_table(columns, rows, on=console)
    by_context = [
        (f"{each[0]['context']:,}", *(f"{row['bits_per_byte']:.3f}" for row in each))
        for each in zip(*(run["by_position"] for run in runs), strict=True)
    ]
    if by_context:
        head = "\nbits per byte of the same tokens, by how much is seen before them"
        console.print(head, style="bold")
        names = [run["architecture"] for run in runs]
        print_table(("tokens of context", *names), by_context, left=(), on=console)
    print_findings(explain_comparison(runs), result["charts"])
    if as_json:
        print_json(result)
    return 0
