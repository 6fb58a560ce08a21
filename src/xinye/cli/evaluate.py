"""`xinye evaluate`"""

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from xinye.cli.arguments import ANY_MODEL, JSON, Fields, Parser, flag
from xinye.cli.output import Display, answer, print_result, print_table
from xinye.cli.tasks import show_measured
from xinye.errors import XinyeError, checked
from xinye.evaluation.plots import line_chart, save_chart
from xinye.libraries import need
from xinye.planning.job_settings import EvaluateSettings, ZeroShotSettings
from xinye.runs.folder import Figures
from xinye.tasks.registry import find_task

if TYPE_CHECKING:  # it brings torch
    from xinye.jobs.evaluate import Evaluation

SOURCES = {"validation": "text held back from training", "files": "files", "text": "text"}
BASELINES = {
    "five_gram": "5-gram, Kneser-Ney",
    "xz_after_training_text": "xz -9e after the training text",
    "xz": "xz -9e",
    "gzip": "gzip -9",
}


def main(arguments: list[str]) -> int:
    given = Parser(
        "evaluate",
        "How well a model predicts a text: perplexity and bits per byte, beside what counting and "
        "compressing make of the same text. Without FILES it is the part of a run's own text that "
        "was held back from training.\nWith --data: how well it does its task; one that has "
        "learned none is asked for the records' labels, or, with\na --task that writes, answers.",
        "xinye evaluate runs/novel",
        ANY_MODEL,
        flag("files", "FILES", "files, folders or globs of text", nargs="*"),
        flag("--data", "FILE", "records of a task", [], action="append"),
        flag("--task", "TASK", "of a model that has learned none: what to judge it on"),
        flag("--plot", "FILE.svg", "draw --by-position as a chart", type=Path),
        JSON,
        Fields(EvaluateSettings),
        Fields(ZeroShotSettings),
    ).read(arguments)
    values, names = given.settings, ZeroShotSettings.model_fields
    asked = {name: values.pop(name) for name in names if name in values}
    checked(EvaluateSettings, values, "evaluate")
    checked(ZeroShotSettings, asked, "evaluate")
    if given.plot and not values.get("by_position"):
        raise XinyeError("--plot draws what --by-position measures; give both")
    if given.plot:
        need("--plot", "matplotlib")

    from xinye.api import load

    model = load(given.model, "float32")
    files = [*given.files, *given.data]
    if given.data or asked or given.task or model.learned_task:
        with Display() as display:
            judged = model.evaluate_task(files, task=given.task, observer=display, **asked)
        return print_result(judged, given.json, show_task)
    with Display() as display:
        evaluation = model.evaluate(files, observer=display, **values)
    if not given.json:
        show(evaluation, model.gpt.config.parameters)
    if given.plot and evaluation.by_position:
        contexts = [row["context"] for row in evaluation.by_position]
        bits = [row["bits_per_byte"] for row in evaluation.by_position]
        line = {evaluation.model: (contexts, bits)}
        chart = line_chart(line, "tokens of context", "bits per byte", log_x=True)
        save_chart(chart, given.plot)
    return print_result(evaluation, given.json)


def show(evaluation: "Evaluation", parameters: int) -> None:
    """The model among its baselines, and what it means, on standard output."""
    text = evaluation.text
    answer.print(
        f"{evaluation.model}: {parameters:,} parameters, context {evaluation.context:,}, stride "
        f"{evaluation.stride:,}\n{SOURCES[text['source']]}: {text['documents']:,} "
        f"document{'s' * (text['documents'] != 1)}, {evaluation.bytes:,} bytes, "
        f"{evaluation.tokens:,} tokens\n",
        soft_wrap=True,
    )
    names = ("bits_per_byte", "bits_per_character", "perplexity")
    ranked = {evaluation.model: {name: getattr(evaluation, name) for name in names}}
    for key, name in BASELINES.items():
        if baseline := evaluation.baselines[key]:
            ranked[name] = baseline
    rows = [
        (
            name,
            f"{row['bits_per_byte']:.3f}",
            f"{row['bits_per_character']:.3f}",
            f"{row['perplexity']:,.2f}" if "perplexity" in row else "",
        )
        for name, row in sorted(ranked.items(), key=lambda item: item[1]["bits_per_byte"])
    ]
    print_table(("", "bits per byte", "bits per character", "perplexity"), rows)
    answer.print(f"\n{meaning(evaluation)}", soft_wrap=True)
    if evaluation.by_position:
        show_by_position(evaluation.by_position)
    if evaluation.rope_scaling:
        show_rope_scaling(evaluation.rope_scaling)
    for note in evaluation.notes:
        answer.print(f"note: {note}", soft_wrap=True)


def show_task(judged: Figures) -> None:
    """A model of a task beside its baseline, on standard output."""
    answer.print(
        f"{judged['model']}: {judged['records']:,} records of {', '.join(judged['files'])}",
        soft_wrap=True,
    )
    figures = find_task(judged["task"]).words.figures
    show_measured(figures, judged["measured"], judged["baseline"], judged.get("majority"))
    for note in judged["notes"]:
        answer.print(f"note: {note}", soft_wrap=True)


def show_by_position(positions: list[Figures]) -> None:
    gains = [
        f"{before['bits_per_byte'] - row['bits_per_byte']:.3f}"
        for before, row in pairwise(positions)
    ]
    rows = [
        (f"{row['context']:,}", f"{row['loss']:.3f}", f"{row['bits_per_byte']:.3f}", gain)
        for row, gain in zip(positions, ["", *gains], strict=True)
    ]
    answer.print()
    print_table(("tokens of context", "loss", "bits per byte", "gain"), rows)
    *_, shorter, longest = positions
    answer.print(
        f"\nThe same {longest['tokens']:,} tokens each time: from {shorter['context']:,} to "
        f"{longest['context']:,} tokens of context gains {gains[-1]} bits per byte.",
        soft_wrap=True,
    )


def show_rope_scaling(scalings: list[Figures]) -> None:
    contexts = sorted({row["context"] for row in scalings})
    by_name: dict[str, list[float]] = {}
    for row in scalings:
        name = "none" if row["rope_type"] == "none" else f"{row['rope_type']}:{row['factor']:g}"
        by_name.setdefault(name, []).append(row["bits_per_byte"])
    rows = [(name, *(f"{each:.3f}" for each in bits)) for name, bits in by_name.items()]
    answer.print()
    print_table(("RoPE scaling", *(f"context {context:,}" for context in contexts)), rows)
    best = min(by_name, key=lambda name: by_name[name][-1])
    answer.print(
        f"\nBits per byte of the same {scalings[0]['tokens']:,} tokens each time: "
        f"{by_name['none'][0]:.3f} in the trained context of {contexts[0]:,}, and "
        f"{by_name[best][-1]:.3f} in {contexts[-1]:,} with {best}.",
        soft_wrap=True,
    )


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
