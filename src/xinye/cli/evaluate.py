"""`xinye evaluate`"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xinye.cli.arguments import Parser
from xinye.errors import XinyeError, checked
from xinye.libraries import need
from xinye.planning.job_settings import EvaluateSettings, ZeroShotSettings

if TYPE_CHECKING:
    from rich.table import Table

    from xinye.jobs.evaluate import Evaluation

BASELINES = {
    "five_gram": "5-gram, Kneser-Ney",
    "xz_after_training_text": "xz -9e after the training text",
    "xz": "xz -9e",
    "gzip": "gzip -9",
}


def parser_of_evaluate() -> Parser:
    parser = Parser(
        "evaluate",
        "How well a model predicts a text: perplexity and bits per byte, beside what counting and "
        "compressing make of the same text. Without FILES it is the part of a run's own text that "
        "was held back from training.\nWith --data: how well it does its task; one that has "
        "learned none is asked for the records' labels, or, with\na --task that writes, answers.",
        "xinye evaluate runs/novel",
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a run, a Hugging Face folder, a GGUF file, or a downloaded model's name",
    )
    parser.add_argument(
        "files", nargs="*", default=[], metavar="FILES", help="files, folders or globs of text"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="FILE", help="records of a task"
    )
    parser.add_argument(
        "--task",
        default=None,
        metavar="TASK",
        help="of a model that has learned none: what to judge it on",
    )
    parser.add_argument(
        "--plot", type=Path, default=None, metavar="FILE.svg", help="draw --by-position as a chart"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    parser.add_fields(EvaluateSettings, {})
    parser.add_fields(ZeroShotSettings, {})
    return parser


def main(arguments: list[str]) -> int:
    values = parser_of_evaluate().values(arguments)
    names = ("model", "files", "data", "task", "plot", "json")
    model_path, files, data, task, plot, as_json = (values.pop(name) for name in names)
    asked = {name: values.pop(name) for name in ZeroShotSettings.model_fields if name in values}
    checked(EvaluateSettings, values, "evaluate")
    checked(ZeroShotSettings, asked, "evaluate")
    if plot and not values.get("by_position"):
        raise XinyeError("--plot draws what --by-position measures; give both")
    if plot:
        need("--plot", "matplotlib")

    from xinye.api import load
    from xinye.cli.output import Display, print_json

    model = load(model_path, "float32")
    if data or asked or task or model.learned_task:
        with Display() as display:
            judged = model.evaluate_task([*files, *data], task=task, observer=display, **asked)
        if as_json:
            print_json(judged)
        else:
            show_task(judged)
        return 0
    with Display() as display:
        evaluation = model.evaluate(files, observer=display, **values)
    if not as_json:
        show(evaluation, model.gpt.config.parameters)
    if plot and evaluation.by_position:
        from xinye.evaluation.plots import line_chart, save_chart

        contexts = [row["context"] for row in evaluation.by_position]
        bits = [row["bits_per_byte"] for row in evaluation.by_position]
        chart = line_chart(
            {evaluation.model: (contexts, bits)}, "tokens of context", "bits per byte", log_x=True
        )
        save_chart(chart, plot)
    if as_json:
        print_json(asdict(evaluation))
    return 0


def show(evaluation: "Evaluation", parameters: int) -> None:
    """The model among its baselines, and what it means, on standard output."""
    from xinye.cli.output import answer

    text = evaluation.text
    source = {"validation": "text held back from training", "files": "files", "text": "text"}[
        text["source"]
    ]
    answer.print(
        f"{evaluation.model}: {parameters:,} parameters, context {evaluation.context:,}, stride "
        f"{evaluation.stride:,}\n{source}: {text['documents']:,} "
        f"document{'s' * (text['documents'] != 1)}, {evaluation.bytes:,} bytes, "
        f"{evaluation.tokens:,} tokens\n",
        soft_wrap=True,
    )
    rows = [(name, evaluation.baselines[key]) for key, name in BASELINES.items()]
    figures = {
        name: getattr(evaluation, name)
        for name in ("bits_per_byte", "bits_per_character", "perplexity")
    }
    ranked = [(name, row) for name, row in [(evaluation.model, figures), *rows] if row]
    table = new_table("", "bits per byte", "bits per character", "perplexity")
    for name, row in sorted(ranked, key=lambda item: item[1]["bits_per_byte"]):
        per_token = f"{row['perplexity']:,.2f}" if "perplexity" in row else ""
        table.add_row(
            name, f"{row['bits_per_byte']:.3f}", f"{row['bits_per_character']:.3f}", per_token
        )
    answer.print(table)
    answer.print(f"\n{meaning(evaluation)}", soft_wrap=True)
    if evaluation.by_position:
        show_by_position(evaluation.by_position)
    if evaluation.rope_scaling:
        show_rope_scaling(evaluation.rope_scaling)
    for note in evaluation.notes:
        answer.print(f"note: {note}", soft_wrap=True)


def show_task(judged: dict[str, Any]) -> None:
    """A model of a task beside its baseline, on standard output."""
    from xinye.cli.output import answer
    from xinye.cli.tasks import show_measured
    from xinye.tasks.registry import find_task

    answer.print(
        f"{judged['model']}: {judged['records']:,} records of {', '.join(judged['files'])}",
        soft_wrap=True,
    )
    figures = find_task(judged["task"]).words.figures
    show_measured(figures, judged["measured"], judged["baseline"], judged.get("majority"))
    for note in judged["notes"]:
        answer.print(f"note: {note}", soft_wrap=True)


def show_by_position(rows: list[dict[str, Any]]) -> None:
    from xinye.cli.output import answer

    table = new_table("tokens of context", "loss", "bits per byte", "gain")
    before = None
    for row in rows:
        gain = "" if before is None else f"{before - row['bits_per_byte']:.3f}"
        table.add_row(
            f"{row['context']:,}", f"{row['loss']:.3f}", f"{row['bits_per_byte']:.3f}", gain
        )
        before = row["bits_per_byte"]
    answer.print("", table, "", sep="\n")
    *_, shorter, longest = rows
    answer.print(
        f"The same {longest['tokens']:,} tokens each time: from {shorter['context']:,} to "
        f"{longest['context']:,} tokens of context gains "
        f"{shorter['bits_per_byte'] - longest['bits_per_byte']:.3f} bits per byte.",
        soft_wrap=True,
    )


def show_rope_scaling(rows: list[dict[str, Any]]) -> None:
    from xinye.cli.output import answer

    contexts = sorted({row["context"] for row in rows})
    by_name: dict[str, list[float]] = {}
    for row in rows:
        name = "none" if row["rope_type"] == "none" else f"{row['rope_type']}:{row['factor']:g}"
        by_name.setdefault(name, []).append(row["bits_per_byte"])
    table = new_table("RoPE scaling", *(f"context {context:,}" for context in contexts))
    for name, bits in by_name.items():
        table.add_row(name, *(f"{each:.3f}" for each in bits))
    answer.print("", table, "", sep="\n")
    best = min(by_name, key=lambda name: by_name[name][-1])
    answer.print(
        f"Bits per byte of the same {rows[0]['tokens']:,} tokens each time: "
        f"{by_name['none'][0]:.3f} in the trained context of {contexts[0]:,}, and "
        f"{by_name[best][-1]:.3f} in {contexts[-1]:,} with {best}.",
        soft_wrap=True,
    )


def new_table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=bool(number))
    return table


def meaning(evaluation: "Evaluation") -> str:
    """One sentence that says what the figure is worth."""
    share = (
        f"The model would store this text in {100 * evaluation.bits_per_byte / 8:.0f} % of its "
        "bytes"
    )
    against = []
    fair = "xz_after_training_text" if evaluation.baselines["xz_after_training_text"] else "xz"
    for name, words in (
        ("five_gram", "a 5-gram model of the same training text"),
        (fair, BASELINES[fair]),
    ):
        if baseline := evaluation.baselines[name]:
            ratio = evaluation.bits_per_byte / baseline["bits_per_byte"]
            against.append(
                f"{100 * abs(1 - ratio):.0f} % {'less' if ratio < 1 else 'more'} than {words}"
            )
    adapts = (
        "" if ratio < 1 else " (xz goes on learning from the text as it reads; the models do not)"
    )
    return f"{share}{': ' if against else ''}{' and '.join(against)}{adapts}."
