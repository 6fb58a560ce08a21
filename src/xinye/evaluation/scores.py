"""Precision, recall and F1 of each class, and their averages: the same table for labels and for
spans.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

FIGURES = ("precision", "recall", "f1-score")
Table = dict[str, dict[str, float]]


def class_table(
    pairs: Iterable[tuple[set[Any], set[Any]]],
    class_of: Callable[[Any], str],
    names: Sequence[str] | None = None,
) -> Table:
    """A row of each class and of the averages (micro, macro, weighted by support), from what is
    right and what was found in each text. The classes are those that occur, or these `names`.
    """
    correct: Counter[str] = Counter()
    guessed: Counter[str] = Counter()
    support: Counter[str] = Counter()
    for right, found in pairs:
        correct.update(map(class_of, right & found))
        guessed.update(map(class_of, found))
        support.update(map(class_of, right))
    names = sorted(support | guessed) if names is None else names
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


def rounded(table: Table) -> Table:
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
