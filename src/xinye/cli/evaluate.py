"""`xinye evaluate`; prints metrics."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from xinye.cli.arguments import (
    ANY_MODEL,
    JSON,
    Fields,
    Given,
    Parser,
    flag,
)
from xinye.cli.output import Display, answer, print_result, print_table, verbatim
from xinye.data.encodings import bad_bytes
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.notes import Notes
from xinye.errors import XinyeError, checked, plural
from xinye.evaluation.plots import line_chart, save_chart
from xinye.language import shown_word
from xinye.libraries import need
from xinye.planning.column_settings import RecordSettings, TextColumns
from xinye.planning.job_settings import EvaluateSettings, ZeroShotSettings
from xinye.runs.folder import Figures
from xinye.runs.report import rank_table
from xinye.runs.taught import taught
from xinye.runs.words import Figure
from xinye.tasks.registry import find_task

if TYPE_CHECKING:  # it brings torch
    from xinye.api import Model
    from xinye.jobs.evaluate import Evaluation

SOURCES = {
    "validation": "text held out from training",
    "corpus": "the validation part of the corpus",
    "files": "files",
    "text": "text",
}
BASELINES = {
    "five_gram": "5-gram, Kneser-Ney",
    "xz_after_training_text": "xz -9e after the training text",
    "xz": "xz -9e",
    "gzip": "gzip -9",
}
AVERAGES = ("micro avg", "macro avg", "weighted avg")
CONFUSED = 12  # the most labels for which the confusion matrix is shown


def evaluate(arguments: list[str]) -> int:
    given = Parser(
        "evaluate",
        "Measure how well a model predicts a text: perplexity and bits per byte, compared "
        "with an n-gram model and compressors. Without FILES, it uses the text that the "
        "run held out from training. With --data, or FILES with records of its task, it "
        "evaluates the model on that task. A model that was not fine-tuned is prompted to "
        "choose a label, or to answer if --task generates text.",
        "xinye evaluate runs/novel",
        ANY_MODEL,
        flag("files", "FILES", "files, folders or globs of text, or a prepared corpus", nargs="*"),
        flag("--data", "FILE", "records of a task", [], action="append"),
        flag("--task", "TASK", "the task to evaluate, for a model that was not fine-tuned for one"),
        flag("--plot", "FILE", "draw --by-position as an SVG chart", type=Path),
        JSON,
        Fields(EvaluateSettings),
        Fields(ZeroShotSettings),
        Fields(RecordSettings, TextColumns.model_fields),
    ).read(arguments)
    values = given.settings
    asked: dict[str, Any] = {}
    for kind in (ZeroShotSettings, RecordSettings):
        named = {name: values.pop(name) for name in kind.model_fields if name in values}
        checked(kind, named, "evaluate")
        asked |= named
    checked(EvaluateSettings, values, "evaluate")
    if given.plot and not values.get("by_position"):
        raise XinyeError("--plot draws the figures of --by-position; give both")
    if given.plot:
        need("--plot", "matplotlib")

    files = [*given.files, *given.data]
    if taught(Path(given.model)) == "recommend":
        return evaluate_recommender(given, files, [*asked, *values])

    from xinye.api import load

    model = load(given.model, "float32")
    of_records = given.data or asked or given.task or model.learned_task
    if of_records or holds_records(model, files, values):
        notes = Notes()
        with Display() as display, bad_bytes(values.get("bad_bytes", "refuse"), notes):
            try:
                judged = model.evaluate_task(files, task=given.task, observer=display, **asked)
            except XinyeError as error:
                hint = "" if of_records else "; if it is text, give its column: --field NAME"
                raise XinyeError(f"{error}{hint}", error.exit_code) from None
        judged["notes"] += notes.sentences()
        return print_result(judged, given.json, show_task)
    with Display() as display:
        evaluation = model.evaluate(files, observer=display, **values)
    if not given.json:
        show(evaluation, model.gpt.config.parameters)
    if given.plot and evaluation.by_position:
        contexts = [row["context"] for row in evaluation.by_position]
        bits = [row["bits_per_byte"] for row in evaluation.by_position]
        line = {evaluation.model: (contexts, bits)}
        save_chart(line_chart(line, "tokens of context", "bits per byte", log_x=True), given.plot)
    return print_result(evaluation, given.json)


def evaluate_recommender(given: Given, files: Sequence[str], settings: Sequence[str]) -> int:
    """Evaluate a recommender on the events that its training held out, or on later ones."""
    from xinye.jobs.item_evaluation import evaluate as evaluate_items

    if useless := [*settings, *(name for name in ("task", "plot") if getattr(given, name))]:
        raise XinyeError(f"{useless[0]} has no effect on a recommender; leave it out")
    with Display() as display:
        judged = evaluate_items(Path(given.model), files, display)
    return print_result(judged, given.json, show_task)


def holds_records(model: "Model", files: Sequence[str], values: dict[str, Any]) -> bool:
    """True if the files hold records for a model that writes, and not text. Settings that only
    apply to text, such as --field, mean text.
    """
    task = model.task
    if task is None or task.continues_text or values.keys() - {"bad_bytes"}:
        return False
    found = task.find_files(files)
    return any(suffix_of(path) not in PLAIN_SUFFIXES or task.is_record(path) for path in found)


def show(evaluation: "Evaluation", parameters: int) -> None:
    """Print the model among its baselines, and what that means."""
    text = evaluation.text
    answer.print(
        f"{evaluation.model}: {parameters:,} parameters, context {evaluation.context:,}, stride "
        f"{evaluation.stride:,}\n{shown_word(SOURCES[text['source']])}: "
        f"{plural(text['documents'], 'document')}, {plural(evaluation.bytes, 'byte')}, "
        f"{plural(evaluation.tokens, 'token')}\n",
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
    """Print the metrics of a model next to its baseline."""
    files = ", ".join(judged["files"])
    answer.print(
        f"{judged['model']}: evaluated on {plural(judged['records'], 'record')} of {files}",
        soft_wrap=True,
    )
    figures = find_task(judged["task"]).words.figures
    show_measured(figures, judged)
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
        f"\nMeasured on the same {longest['tokens']:,} tokens: extending the context from "
        f"{shorter['context']:,} to {longest['context']:,} tokens gains {gains[-1]} bits "
        "per byte.",
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
        f"\nBits per byte, measured on the same {scalings[0]['tokens']:,} tokens: "
        f"{by_name['none'][0]:.3f} in the trained context of {contexts[0]:,}, and "
        f"{by_name[best][-1]:.3f} in {contexts[-1]:,} with {best}.",
        soft_wrap=True,
    )


def meaning(evaluation: "Evaluation") -> str:
    """What the result means, one sentence for each comparison."""
    percent = 100 * evaluation.bits_per_byte / 8
    said = [
        (f"Used as a compressor, the model would reduce this text to {percent:.0f} % of its size.")
    ]
    fair = "xz_after_training_text" if evaluation.baselines["xz_after_training_text"] else "xz"
    ratio = 0.0
    for name, words in (
        ("five_gram", "a 5-gram model of the same training text"),
        (fair, BASELINES[fair]),
    ):
        if baseline := evaluation.baselines[name]:
            ratio = evaluation.bits_per_byte / baseline["bits_per_byte"]
            change = f"{100 * abs(1 - ratio):.0f} %"
            said.append(
                f"That is {change} less than {words}."
                if ratio < 1
                else f"That is {change} more than {words}."
            )
    if ratio >= 1:
        said.append("xz also learns from this text while it reads; the models do not.")
    return "\n".join(said)


# -- metrics of a task -----------------------------------------------------------------------------


def show_measured(figures: Sequence[Figure], result: Figures) -> None:
    """Print the model of a result next to everything that it is compared with, the table by class,
    and the confusion matrix. What a baseline has no figure for stays empty.
    """
    measured, baseline = result["measured"], result["baseline"]
    beside = [baseline, result.get("unseen"), *result.get("mixes", ())]
    beside += [*result.get("other_baselines", ()), result.get("control"), result.get("majority")]
    models = {"this model": measured} | {other["name"]: other for other in beside if other}
    known = [figure for figure in figures if figure.name in measured]
    rows = [
        [name, *("" if each.name not in row else each.written(row[each.name]) for each in known)]
        for name, row in models.items()
    ]
    answer.print()
    print_table(("", *(figure.short for figure in known)), rows)
    answer.print()
    if "table" in measured:
        show_classes(measured, baseline)


def class_name(name: str) -> Text:
    """The name of a row of the table by class: a label, or one of the averages."""
    return verbatim(shown_word(name) if name in AVERAGES else name)


def show_classes(measured: Figures, baseline: Figures | None) -> None:
    """Print the table by class, and the confusion matrix."""
    columns = ["precision", "recall", "f1-score"]
    rows: list[list[str | Text]] = [
        [class_name(name), *(f"{row[column]:.3f}" for column in columns), f"{row['support']:,}"]
        for name, row in measured["table"].items()
    ]
    columns.append("support")
    if baseline:
        columns.append("baseline f1")
        for name, row in zip(measured["table"], rows, strict=True):
            its = baseline["table"].get(name)
            row.append(f"{its['f1-score']:.3f}" if its else "")
    print_table(("", *columns), rows)
    confusion = measured.get("confusion")
    if confusion and len(confusion["labels"]) <= CONFUSED:
        rows = [
            [verbatim(label), *(f"{count:,}" if count else "·" for count in counts)]
            for label, counts in zip(confusion["labels"], confusion["counts"], strict=True)
        ]
        answer.print()
        print_table(("actual ↓  predicted →", *map(verbatim, confusion["labels"])), rows)
        answer.print()


def show_ranks(ranks: dict[str, int]) -> None:
    """Print the ranks that AdaLoRA chose: a row for each layer, a column for each matrix."""
    names, layers = rank_table(ranks)
    rows = [
        [f"layer {layer}", *(str(row[name]) for name in names)] for layer, row in layers.items()
    ]
    answer.print()
    print_table(("rank of each matrix", *names), rows)
