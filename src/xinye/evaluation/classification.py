"""Metrics of predicted labels, and the table by class (also for spans)."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from xinye.evaluation.word_counts import Labels

FIGURES = ("precision", "recall", "f1-score")
Table = dict[str, dict[str, float]]
Figures = dict[str, Any]  # metrics by name, as in result.json; `table` holds a row for each class


def measure(right: Labels, predicted: Labels, labels: Sequence[str], several: bool) -> Figures:
    """The metrics of predicted labels.

    `accuracy` (with several labels, a text counts as right only if all its labels are), `macro_f1`,
    the `table` by class with its averages, and, with single labels, the `confusion` matrix, whose
    rows are the right labels.
    """
    pairs = [(set(truth), set(guess)) for truth, guess in zip(right, predicted, strict=True)]
    seen: set[str] = set().union(*right, *predicted)
    names = [label for label in labels if several or label in seen]
    table = class_table(pairs, str, names)
    result: Figures = {
        "accuracy": sum(truth == guess for truth, guess in pairs) / len(right),
        "macro_f1": table["macro avg"]["f1-score"],
        "table": rounded(table),
    }
    if not several:
        both = Counter((truth[0], guess[0]) for truth, guess in zip(right, predicted, strict=True))
        counts = [[both[row, column] for column in names] for row in names]
        result["confusion"] = {"labels": names, "counts": counts}
    return result


def class_table(
    pairs: Sequence[tuple[set[Any], set[Any]]],
    class_of: Callable[[Any], str],
    names: Sequence[str] | None = None,
) -> Table:
    """A table with precision, recall, F1 and support of each class, and their micro, macro and
    weighted averages.

    Each pair holds the right and the predicted items of one text, and `class_of` names an item's
    class. Without `names`, all classes that occur get a row.
    """
    correct = Counter(class_of(each) for right, found in pairs for each in right & found)
    guessed = Counter(class_of(each) for _, found in pairs for each in found)
    support = Counter(class_of(each) for right, _ in pairs for each in right)
    names = sorted(support | guessed) if names is None else names
    table = {name: _row(correct[name], guessed[name], support[name]) for name in names}
    rows = list(table.values())
    table["micro avg"] = _row(correct.total(), guessed.total(), support.total())
    for name, weights in ("macro", [1] * len(rows)), ("weighted", [row["support"] for row in rows]):
        means = {figure: _mean([row[figure] for row in rows], weights) for figure in FIGURES}
        table[f"{name} avg"] = means | {"support": support.total()}
    return table


def rounded(table: Table) -> Table:
    """The table with all values rounded to five places."""
    return {
        name: {key: round(value, 5) for key, value in row.items()} for name, row in table.items()
    }


def _row(correct: int, guessed: int, support: int) -> dict[str, float]:
    precision = correct / guessed if guessed else 0.0
    recall = correct / support if support else 0.0
    f1 = 2 * correct / (guessed + support) if guessed + support else 0.0
    return {"precision": precision, "recall": recall, "f1-score": f1, "support": support}


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    weighted = (value * weight for value, weight in zip(values, weights, strict=True))
    return sum(weighted) / (sum(weights) or 1)
