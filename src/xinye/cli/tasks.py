"""The verbs of tasks, such as `xinye classify`, and how figures of a task look in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye.cli.arguments import JSON, Fields, Parser, flag, read_stdin
from xinye.cli.output import Display, answer, print_json, print_table
from xinye.data.sources import read_lines
from xinye.errors import XinyeError, checked
from xinye.runs.folder import Figures
from xinye.runs.report import rank_table
from xinye.runs.words import Figure
from xinye.tasks.registry import TASKS, find_task

CONFUSED = 12  # labels at most for which the table of confusions is shown


def use(verb: str, arguments: list[str]) -> int:
    """`xinye VERB`: what a model says of texts by a task that it has learned."""
    entry = TASKS[verb]
    pair = flag("--pair", "TEXT", "the second text, where the model judges pairs")
    given = Parser(
        verb,
        entry.more or entry.summary,
        entry.example or f'xinye {verb} runs/model "…"',
        flag("model", "MODEL", f"the folder of a run of xinye finetune --task {verb}"),
        flag("text", "TEXT", "or a file of one text a line, or - for standard input"),
        JSON,
        *([pair] if entry.takes_pairs else []),
        *([Fields(entry.question)] if entry.question else []),
    ).read(arguments)
    if entry.question:
        checked(entry.question, given.settings, verb)
    texts = read_texts(given.text)
    inputs: list[Any] = texts
    if entry.takes_pairs and given.pair is not None:
        inputs = [(text, given.pair) for text in texts]

    from xinye.api import load

    loaded, task = load(given.model), find_task(verb)
    with Display() as display:
        results = loaded.use(verb, inputs, observer=display, **given.settings)
    answers = list(zip(texts, results, strict=True))
    if given.json:
        print_json({"results": [{"text": text, **task.told(result)} for text, result in answers]})
        return 0
    for text, result in answers:
        for line in task.lines(text, result, len(texts) == 1):
            answer.print(line, soft_wrap=True)
    return 0


def read_texts(given: str) -> list[str]:
    """The text itself, or the lines of a file or of standard input."""
    if given == "-":
        texts = [line for line in read_stdin().split("\n") if line.strip()]
    elif len(given) < 1000 and "\n" not in given and Path(given).is_file():
        texts = [line for _, line in read_lines(Path(given)) if line.strip()]
    else:
        texts = [given]
    if not texts or not texts[0].strip():
        raise XinyeError("the text is empty")
    return texts


def show_measured(
    figures: Sequence[Figure],
    measured: Figures,
    baseline: Figures | None,
    beside: Figures | None = None,
) -> None:
    """The model beside its baseline, or something else, the table by class, and which labels are
    taken for which."""
    others = {other["name"]: other for other in (baseline, beside) if other}
    models = {"this model": measured} | others
    known = [figure for figure in figures if all(figure.name in row for row in models.values())]
    rows = [
        [name, *(figure.written(row[figure.name]) for figure in known)]
        for name, row in models.items()
    ]
    answer.print()
    print_table(("", *(figure.short for figure in known)), rows)
    answer.print()
    if "table" in measured:
        show_classes(measured, baseline)


def show_classes(measured: Figures, baseline: Figures | None) -> None:
    """The table by class, and which labels are taken for which."""
    columns = ["precision", "recall", "f1-score"]
    rows = [
        [name, *(f"{row[column]:.3f}" for column in columns), f"{row['support']:,}"]
        for name, row in measured["table"].items()
    ]
    columns.append("support")
    if baseline:
        columns.append("baseline f1")
        for row in rows:
            its = baseline["table"].get(row[0])
            row.append(f"{its['f1-score']:.3f}" if its else "")
    print_table(("", *columns), rows)
    confusion = measured.get("confusion")
    if confusion and len(confusion["labels"]) <= CONFUSED:
        rows = [
            [label, *(f"{count:,}" if count else "·" for count in counts)]
            for label, counts in zip(confusion["labels"], confusion["counts"], strict=True)
        ]
        answer.print()
        print_table(("right ↓  said →", *confusion["labels"]), rows)
        answer.print()


def show_ranks(ranks: dict[str, int]) -> None:
    """Where AdaLoRA has kept its ranks: a row a layer, a column a matrix."""
    names, layers = rank_table(ranks)
    rows = [
        [f"layer {layer}", *(str(row[name]) for name in names)] for layer, row in layers.items()
    ]
    answer.print()
    print_table(("rank of each change", *names), rows)
