"""`xinye distill`"""

from typing import Any

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
from xinye.cli.pretrain import make_settings
from xinye.cli.training import check_resume
from xinye.errors import XinyeError
from xinye.planning.settings import PretrainSettings


def main(arguments: list[str]) -> int:
    parser = Parser(
        "distill",
        "Train a small model on text and on the predictions of a larger one, its teacher, whose "
        "tokenizer it takes.\n"
        "Compare it with the same model trained without a teacher for as long. Takes the flags of "
        "pretrain, too.\n"
        "Without the comparison: xinye pretrain FILES --teacher TEACHER.",
        "xinye distill runs/novel novel.txt --size 1M --time 10min -o runs/small",
    )
    parser.add_argument(
        "teacher", nargs="?", metavar="TEACHER", help="a run, or any model's folder"
    )
    parser.add_files()
    parser.add_switches(
        resume="go on with what was begun in -o",
        overwrite="replace the run in -o",
        json="print one JSON object at the end",
    )
    parser.add_fields(PretrainSettings, {"output": "-o"}, positional=("teacher", "files"))
    values = parser.values(arguments)
    overwrite, resume, as_json = (values.pop(name) for name in ("overwrite", "resume", "json"))
    check_resume(resume, overwrite, values)
    if values.get("teacher") is None:
        values.pop("teacher", None)
        if not resume and "config" not in values:
            raise XinyeError("name the teacher, then the text: xinye distill runs/novel novel.txt")
    if not (resume or "from" in values or "config" in values):
        values.setdefault("size", "1M")
    settings = make_settings(values, resume)

    from xinye.studies.compare import distill, explain_distillation

    stopped = "stopped; go on with: xinye distill --resume and the same -o"
    with Display() as display, exit_when_stopped(stopped):
        result = distill(settings, display, overwrite, resume)
    columns = ("model", "parameters", "bits per byte", "tokens/s", "steps", "trained")
    console.print()
    print_table(columns, [row_of(model) for model in result["models"]], on=console)
    print_findings(explain_distillation(result["models"]))
    if as_json:
        print_json(result)
    return 0


def row_of(model: dict[str, Any]) -> list[str]:
    """A model in the table."""
    trained = ["", "before"]
    if "steps" in model:
        trained = [f"{model['steps']:,}", duration(model["seconds"])]
    return [
        model["role"],
        f"{model['parameters']:,}",
        f"{model['bits_per_byte']:.3f}",
        f"{model['tokens_per_second']:,.0f}",
        *trained,
    ]
