"""The verbs of tasks, such as `xinye classify`, and how figures of a task look in the terminal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser, read_stdin
from xinye.errors import XinyeError, checked
from xinye.runs.words import Figure
from xinye.tasks.registry import TASKS, find_task

CONFUSED = 12  # labels at most for which the table of confusions is shown


def use(verb: str, arguments: list[str]) -> int:
    """`xinye VERB`: what a model says of texts by a task that it has learned."""
    entry = TASKS[verb]
    parser = Parser(
        verb, entry.more or entry.summary, entry.example or f'xinye {verb} runs/model "…"'
    )
    parser.add_argument(
        "model", metavar="MODEL", help=f"the folder of a run of xinye finetune --task {verb}"
    )
    parser.add_argument(
        "text", metavar="TEXT", help="or a file of one text a line, or - for standard input"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    if entry.takes_pairs:
        parser.add_argument(
            "--pair",
            default=None,
            metavar="TEXT",
            help="the second text, where the model judges pairs",
        )
    if entry.question:
        parser.add_fields(entry.question, {})
    values = parser.values(arguments)
    model, text, as_json = (values.pop(name) for name in ("model", "text", "json"))
    pair = values.pop("pair", None)
    if entry.question:
        checked(entry.question, values, verb)
    texts = read_texts(text)
    given: list[Any] = texts if pair is None else [(each, pair) for each in texts]

    from xinye.api import load
    from xinye.cli.output import Display, answer, print_json

    loaded, task = load(model), find_task(verb)
    with Display() as display:
        results = loaded.use(verb, given, observer=display, **values)
    if as_json:
        told = [
            {"text": each, **task.told(result)} for each, result in zip(texts, results, strict=True)
        ]
        print_json({"results": told})
        return 0
    for each, result in zip(texts, results, strict=True):
        for line in task.lines(each, result, len(texts) == 1):
            answer.print(line, soft_wrap=True)
    return 0


def read_texts(given: str) -> list[str]:
    """The text itself, or the lines of a file or of standard input."""
    if given == "-":
        texts = [line for line in read_stdin().split("\n") if line.strip()]
    elif len(given) < 1000 and "\n" not in given and Path(given).is_file():
        from xinye.data.sources import read_lines

        texts = [line for _, line in read_lines(Path(given)) if line.strip()]
    else:
        texts = [given]
    if not texts or not texts[0].strip():
        raise XinyeError("the text is empty")
    return texts


def show_measured(
    figures: Sequence[Figure],
    measured: dict[str, Any],
    baseline: dict[str, Any] | None,
    beside: dict[str, Any] | None = None,
) -> None:
    """The model beside its baseline, or something else, the table by class, and which labels are
    taken for which."""
    from xinye.cli.evaluate import new_table
    from xinye.cli.output import answer

    rows = [
        ("this model", measured),
        *((other["name"], other) for other in (baseline, beside) if other),
    ]
    known = [figure for figure in figures if all(figure.name in row for _, row in rows)]
    table = new_table("", *(figure.short for figure in known))
    for title, row in rows:
        table.add_row(title, *(figure.written(row[figure.name]) for figure in known))
    answer.print("", table, "", sep="\n")
    if "table" not in measured:
        return
    columns = ("precision", "recall", "f1-score")
    table = new_table("", *columns, "support", *(["baseline f1"] if baseline else []))
    for name, row in measured["table"].items():
        cells = [f"{row[column]:.3f}" for column in columns] + [f"{row['support']:,}"]
        if baseline:
            cells.append(
                f"{baseline['table'][name]['f1-score']:.3f}" if name in baseline["table"] else ""
            )
        table.add_row(name, *cells)
    answer.print(table)
    confusion = measured.get("confusion")
    if confusion and len(confusion["labels"]) <= CONFUSED:
        table = new_table("right ↓  said →", *confusion["labels"])
        for label, counts in zip(confusion["labels"], confusion["counts"], strict=True):
            table.add_row(label, *(f"{count:,}" if count else "·" for count in counts))
        answer.print("", table, sep="\n")


def show_ranks(ranks: dict[str, int]) -> None:
    """Where AdaLoRA has kept its ranks: a row a layer, a column a matrix."""
    from xinye.cli.evaluate import new_table
    from xinye.cli.output import answer
    from xinye.runs.report import rank_table

    names, rows = rank_table(ranks)
    table = new_table("rank of each change", *names)
    for layer, row in rows.items():
        table.add_row(f"layer {layer}", *(str(row[name]) for name in names))
    answer.print("", table)
