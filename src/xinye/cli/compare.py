"""`xinye compare`"""

from xinye.cli.arguments import Parser
from xinye.cli.pretrain import BUDGETS, make_settings
from xinye.planning.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "compare",
        "Train architectures on the same text for the same budget and compare them. Takes the flags of pretrain, too.",
        "xinye compare novel.txt --architectures modern,gpt2,lstm --size 1M --time 3min -o runs/compare",
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument(
        "--architectures", default="modern,gpt2,lstm", metavar="A,B", help="(modern,gpt2,lstm)"
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the comparison in -o"
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    parser.add_fields(
        PretrainSettings, {"output": "-o"}, positional=("files", "from_", "architecture")
    )
    values = parser.values(arguments)
    architectures = values.pop("architectures").split(",")
    overwrite, as_json = values.pop("overwrite"), values.pop("json")
    budget = {} if any(name in values for name in (*BUDGETS, "config")) else {"time": "3min"}
    settings = make_settings({"size": "1M", **budget, **values}, resume=False)

    from rich.table import Table

    from xinye.cli.output import Display, console, duration, print_findings, print_json
    from xinye.studies.compare import compare, explain

    with Display(show_plan=False) as display:
        result = compare(settings, architectures, display, overwrite)
    if result is None:
        console.print("interrupted; nothing was compared")
        return 130
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in (
        "architecture",
        "parameters",
        "steps",
        "tokens/s",
        "time",
        "loss",
        "bits per byte",
    ):
        table.add_column(name, justify="left" if name == "architecture" else "right")
    for run in result["runs"]:
        table.add_row(
            run["architecture"], f"{run['parameters']:,}", f"{run['steps']:,}", f"{run['tokens_per_second']:,.0f}",
            duration(run["seconds"]), f"{run['validation']['loss']:.3f}", f"{run['validation']['bits_per_byte']:.3f}",
        )  # fmt: skip
    console.print(table)
    by_context = Table(box=None, padding=(0, 2, 0, 0))
    by_context.add_column("tokens of context", justify="right")
    for run in result["runs"]:
        by_context.add_column(run["architecture"], justify="right")
    for rows in zip(*(run["by_position"] for run in result["runs"]), strict=True):
        by_context.add_row(
            f"{rows[0]['context']:,}", *(f"{row['bits_per_byte']:.3f}" for row in rows)
        )
    if by_context.row_count:
        console.print(
            "\nbits per byte of the same tokens, by how much is seen before them", style="bold"
        )
        console.print(by_context)
    console.print()
    print_findings(explain(result["runs"]), result["charts"])
    if as_json:
        print_json(result)
    return 0
