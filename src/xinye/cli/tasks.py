"""`xinye classify`, `xinye tag`, and how figures of a task look in the terminal."""

from pathlib import Path
from typing import Any

from xinye.cli.arguments import Parser, read_stdin
from xinye.errors import XinyeError, checked
from xinye.planning.settings import ZeroShotSettings

FIGURES = {  # what a figure is called, and how it is written
    "accuracy": ("accuracy", "{:.1%}"),
    "macro_f1": ("macro F1", "{:.1%}"),
    "span_f1": ("span F1", "{:.1%}"),
    "loss": ("loss", "{:.3f}"),
    "bits_per_byte": ("bits per byte", "{:.3f}"),
    "ended": ("ended", "{:.0%}"),
    "exact": ("word for word", "{:.0%}"),
    "answer_tokens": ("tokens", "{:.1f}"),
}
CONFUSED = 12  # labels at most for which the table of confusions is shown


def classify(arguments: list[str]) -> int:
    parser = _parser(
        "classify",
        "The label of a text, with its probability, by a model that learned them; or by any model, with --labels.",
        'xinye classify runs/novel "送得快，汤还是热的" --labels 正面,负面',
    )
    parser.add_argument(
        "--pair", default=None, metavar="TEXT", help="the second text, where the model judges pairs"
    )
    parser.add_fields(ZeroShotSettings, {})
    values = parser.values(arguments)
    model, text, pair, as_json = (values.pop(name) for name in ("model", "text", "pair", "json"))
    checked(ZeroShotSettings, values, "classify")
    texts = read_texts(text)
    given: list[Any] = [(text, pair) for text in texts] if pair is not None else texts

    from xinye.api import load
    from xinye.cli.output import Display, answer, print_json

    loaded = load(model)
    with Display() as display:
        results = loaded.classify(given, watcher=display, **values)
    if as_json:
        print_json(
            {
                "results": [
                    {"text": text, **result} for text, result in zip(texts, results, strict=True)
                ]
            }
        )
        return 0
    for text, result in zip(texts, results, strict=True):
        labels = result["labels"] if "labels" in result else [result["label"]]
        said = (
            ", ".join(f"{label} {result['probabilities'][label]:.1%}" for label in labels)
            or "(no label)"
        )
        if len(texts) > 1:
            answer.print(f"{said}\t{text}", soft_wrap=True)
            continue
        answer.print(said)
        others = [item for item in result["probabilities"].items() if item[0] not in labels]
        for label, probability in sorted(others, key=lambda item: -item[1])[:10]:
            answer.print(f"  {label} {probability:.1%}")
    return 0


def tag(arguments: list[str]) -> int:
    summary = "The spans of a text that are of some type, by a model that learned them."
    values = _parser("tag", summary, 'xinye tag runs/model "沈知秋认为"').values(arguments)
    texts = read_texts(values["text"])

    from xinye.api import load
    from xinye.cli.output import answer, print_json

    results = load(values["model"]).tag(texts)
    if values["json"]:
        print_json(
            {
                "results": [
                    {"text": text, "spans": spans}
                    for text, spans in zip(texts, results, strict=True)
                ]
            }
        )
        return 0
    for text, spans in zip(texts, results, strict=True):
        if len(texts) > 1:
            answer.print(text, soft_wrap=True)
        for span in spans:
            words = f"{span['start']}–{span['end']}  {span['type']}  {span['text']}  {span['probability']:.1%}"
            answer.print(f"{'  ' * (len(texts) > 1)}{words}", soft_wrap=True)
        if not spans:
            answer.print(f"{'  ' * (len(texts) > 1)}(nothing)")
    return 0


def _parser(verb: str, summary: str, example: str) -> Parser:
    parser = Parser(verb, summary, example)
    parser.add_argument(
        "model", metavar="MODEL", help=f"the folder of a run of xinye finetune --task {verb}"
    )
    parser.add_argument(
        "text", metavar="TEXT", help="or a file of one text a line, or - for standard input"
    )
    parser.add_argument("--json", action="store_true", default=False, help="print one JSON object")
    return parser


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


def written(value: float, figure: str) -> str:
    return FIGURES[figure][1].format(value)


def show_measured(
    measured: dict[str, Any], baseline: dict[str, Any] | None, beside: dict[str, Any] | None = None
) -> None:
    """The model beside its baseline, or something else, the table by class, and which labels are taken for which."""
    from xinye.cli.evaluate import new_table
    from xinye.cli.output import answer

    rows = [
        ("this model", measured),
        *((other["name"], other) for other in (baseline, beside) if other),
    ]
    names = [name for name in FIGURES if all(name in figures for _, figures in rows)]
    table = new_table("", *(FIGURES[name][0] for name in names))
    for title, figures in rows:
        table.add_row(title, *(written(figures[name], name) for name in names))
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
