"""`xinye distill`"""

from typing import Any

from xinye.cli.arguments import Parser
from xinye.cli.pretrain import make_settings
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "distill",
        "Train a small model on text and on the predictions of a larger one, its teacher, whose tokenizer it takes.\n"
        "Compare it with the same model trained without a teacher for as long. Takes the flags of pretrain, too.\n"
        "Without the comparison: xinye pretrain FILES --teacher TEACHER.",
        "xinye distill runs/novel novel.txt --size 1M --time 10min -o runs/small",
    )
    parser.add_argument(
        "teacher", nargs="?", metavar="TEACHER", help="a run, or any model's folder"
    )
    parser.add_argument("files", nargs="*", metavar="FILES", help="files, folders or globs of text")
    parser.add_argument(
        "--resume", action="store_true", default=False, help="go on with what was begun in -o"
    )
    parser.add_argument(
        "--overwrite", action="store_true", default=False, help="replace the run in -o"
    )
    parser.add_argument(
        "--json", action="store_true", default=False, help="print one JSON object at the end"
    )
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("teacher", "files"))
    values = parser.values(arguments)
    options = {name: values.pop(name) for name in ("overwrite", "resume")}
    as_json = values.pop("json")
    if all(options.values()):
        raise XinyeError(
            "--resume goes on with a run and --overwrite replaces it: give one of them"
        )
    if values.get("teacher") is None:
        values.pop("teacher", None)
        if not options["resume"] and "config" not in values:
            raise XinyeError("name the teacher, then the text: xinye distill runs/novel novel.txt")
    small = (
        {"size": "1M"} if not (options["resume"] or "from" in values or "config" in values) else {}
    )
    settings = make_settings({**small, **values}, options["resume"])

    from rich.table import Table

    from xinye.cli.output import Display, console, duration, print_findings, print_json
    from xinye.studies.distill import distill, explain

    with Display() as display:
        result = distill(settings, display, **options)
    if result is None:
        console.print("stopped; go on with: xinye distill --resume and the same -o")
        return 130
    table = Table(box=None, padding=(0, 2, 0, 0))
    for name in ("model", "parameters", "bits per byte", "tokens/s", "steps", "trained"):
        table.add_column(name, justify="left" if name == "model" else "right")
    for model in result["models"]:
        table.add_row(*_row(model, duration))
    console.print()
    console.print(table)
    console.print()
    print_findings(explain(result["models"]), ())
    if as_json:
        print_json(result)
    return 0


def _row(model: dict[str, Any], duration: Any) -> list[str]:
    trained = (
        [f"{model['steps']:,}", duration(model["seconds"])] if "steps" in model else ["", "before"]
    )
    figures = (
        f"{model['parameters']:,}",
        f"{model['bits_per_byte']:.3f}",
        f"{model['tokens_per_second']:,.0f}",
    )
    return [model["role"], *figures, *trained]
