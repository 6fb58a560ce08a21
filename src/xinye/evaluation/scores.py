"""Precision, recall and F1 of each class, and their averages: the same table for labels and for spans."""

from collections import Counter
from collections.abc import Sequence

FIGURES = ("precision", "recall", "f1-score")


def class_table(
    names: Sequence[str], correct: Counter[str], guessed: Counter[str], support: Counter[str]
) -> dict[str, dict[str, float]]:
    """A row of each class and of the averages (micro, macro, weighted by support), from counts by class: how often it
    was found rightly, how often it was found, and how often it was right."""
    table = {name: _row(correct[name], guessed[name], support[name]) for name in names}
    rows = list(table.values())
    total = support.total()
    macro = {figure: _mean([(row[figure], 1.0) for row in rows]) for figure in FIGURES}
    weighted = {
        figure: _mean([(row[figure], row["support"]) for row in rows]) for figure in FIGURES
    }
    table["micro avg"] = _row(correct.total(), guessed.total(), total)
    table["macro avg"] = macro | {"support": total}
    table["weighted avg"] = weighted | {"support": total}
    return table


def rounded(table: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        name: {key: round(value, 5) for key, value in row.items()} for name, row in table.items()
    }


def _row(correct: int, guessed: int, support: int) -> dict[str, float]:
    precision = correct / guessed if guessed else 0.0
    recall = correct / support if support else 0.0
    f1 = 2 * correct / (guessed + support) if guessed + support else 0.0
    return {"precision": precision, "recall": recall, "f1-score": f1, "support": support}


def _mean(values: Sequence[tuple[float, float]]) -> float:
    weights = sum(weight for _, weight in values)
    return sum(value * weight for value, weight in values) / weights if weights else 0.0
