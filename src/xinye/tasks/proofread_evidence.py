"""How much evidence there is for an edit: what the language model says of it, weighed by a logistic
regression, so that the evidence is the log-odds that the edit is right."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import log, log1p
from typing import Any, Self

import numpy as np

from xinye.errors import XinyeError
from xinye.evaluation.proofreading import (
    MOST_CHANGED,
    Candidate,
    Pair,
    best_threshold,
    chosen,
    edits_between,
    same_effect,
)
from xinye.libraries import need
from xinye.tasks.proofread_candidates import KINDS
from xinye.tasks.proofread_search import Weighing

FEATURES = (
    *KINDS,  # 1 for the kind of the edit
    *(f"gain_{kind}" for kind in KINDS),  # the gain of the text, for an edit of this kind
    "loss",  # the gain, if it is below 0
    "left",  # the gain of the first token that differs
    "own", "next",  # log-probabilities of the text's tokens there
    "behind_best",  # by how much the gain is below that of the best edit of the text
    "over_near",  # by how much it is above that of any other edit at the place or beside it
    "length", "times",  # logarithms of the text's length and of how often people made this edit
)  # fmt: skip
ALONE = 20.0  # nats over the others, of an edit that has none near it
FEW = 20  # right edits: from fewer, no weights are learned
FOLDS = 5
MOST = 1e6  # the largest weight that is believed
NO_EDIT = float("inf")  # the threshold of a proofreader that changes nothing


def features(part: Weighing) -> np.ndarray:
    """The features of the edits of a part of a text, (N, F)."""
    gains = np.array([each.gain for each in part.edits])
    units = np.array([each.option.unit for each in part.edits])
    table = np.zeros((len(part.edits), len(FEATURES)))
    for row, each in enumerate(part.edits):
        near = np.abs(units - units[row]) <= 1
        near[row] = False
        kind = KINDS.index(each.option.kind)
        table[row, kind] = 1
        table[row, len(KINDS) + kind] = each.gain
        table[row, 2 * len(KINDS) :] = (
            min(each.gain, 0.0),
            each.left,
            each.own,
            each.next,
            each.gain - gains.max(),
            each.gain - gains[near].max() if near.any() else ALONE,
            log(len(part.text)),
            log1p(each.option.times),
        )
    return table


@dataclass(frozen=True)
class Evidence:
    """The `weights` of `FEATURES`, and the `threshold` that the evidence of an edit must exceed."""

    weights: tuple[float, ...]
    threshold: float

    def candidates(self, parts: Iterable[Weighing]) -> list[Candidate]:
        """The edits of all parts of a text with their evidence, in order. Of edits that touch each
        other only the most evident one is among them."""
        return without_neighbours(
            Candidate(each.option.edit, float(evidence))
            for part in parts
            for each, evidence in zip(part.edits, features(part) @ self.weights, strict=True)
        )

    def chosen(self, parts: Iterable[Weighing]) -> list[Candidate]:
        """The edits to make, in order."""
        return chosen(self.candidates(parts), self.threshold)

    def to_json(self) -> dict[str, Any]:
        """The evidence as it is saved; the threshold of a proofreader that changes nothing is
        null."""
        threshold = None if self.threshold == NO_EDIT else self.threshold
        return {"threshold": threshold, "weights": dict(zip(FEATURES, self.weights, strict=True))}

    @classmethod
    def from_json(cls, data: Any, where: str) -> Self:
        """The evidence that was saved. Raises `XinyeError` for something else."""
        saved = data if isinstance(data, dict) else {}
        weights, threshold = saved.get("weights"), saved.get("threshold", "")
        numbers = [*weights.values()] if isinstance(weights, dict) else []
        known = [*numbers] if threshold is None else [*numbers, threshold]
        are_numbers = all(type(each) in (int, float) and abs(each) < MOST for each in known)
        if not are_numbers or list(weights or ()) != list(FEATURES):
            raise XinyeError(
                f"{where}: the weights of its edits are damaged; fine-tune the model again"
            )
        threshold = NO_EDIT if threshold is None else float(threshold)
        return cls(tuple(map(float, numbers)), threshold)


def learned(
    pairs: Sequence[Pair], found: Sequence[Sequence[Weighing]]
) -> tuple[Evidence, list[list[Candidate]]]:
    """The evidence learned from pairs with their weighed edits, and the candidates of each pair as
    they are without having learned from it. On these the threshold is chosen: the correction F1
    is best and at most `MOST_CHANGED` of the texts without errors are changed."""
    right: list[bool] = []
    for pair, parts in zip(pairs, found, strict=True):
        edits = [each.option.edit for part in parts for each in part.edits]
        good = same_effect(pair.wrong, edits_between(pair.wrong, pair.right), edits)
        right += [edit in good for edit in edits]
    groups = [number for number, parts in enumerate(found) for part in parts for _ in part.edits]
    folds, count = _folds(groups, right)
    if sum(right) < FEW or count < 2:
        candidates = [USUAL.candidates(parts) for parts in found]
        if all(pair.wrong == pair.right for pair in pairs):
            return USUAL, candidates  # nothing tells which threshold finds errors
        return replace(USUAL, threshold=best_threshold(pairs, candidates, MOST_CHANGED)), candidates
    need("the weights of edits", "sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import PredefinedSplit, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    table = np.concatenate([features(part) for parts in found for part in parts])
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=3000))
    unseen = cross_val_predict(
        model, table, right, cv=PredefinedSplit(folds), method="decision_function"
    )
    rows = iter(unseen.tolist())
    candidates = [
        without_neighbours(
            Candidate(each.option.edit, next(rows)) for part in parts for each in part.edits
        )
        for parts in found
    ]
    scale, regression = [step for _, step in model.fit(table, right).steps]
    weights = regression.coef_[0] / scale.scale_
    # each edit has one kind, so the constant belongs to all kinds
    weights[: len(KINDS)] += regression.intercept_[0] - weights @ scale.mean_
    evidence = Evidence(tuple(weights.tolist()), best_threshold(pairs, candidates, MOST_CHANGED))
    return evidence, candidates


def joined(first: Sequence[Candidate], again: Sequence[Candidate]) -> list[Candidate]:
    """The edits of a text, and those of the text with these edits made, as edits of the first one.
    Of the second ones those are left out that touch what was edited before."""
    found, rest, longer = [*first], [*again], 0
    for edit, _ in first:
        start = edit.start + longer
        end = start + len(edit.replacement)
        while rest and rest[0].edit.end < start:
            found.append(_moved(rest.pop(0), -longer))
        while rest and rest[0].edit.start <= end:
            rest.pop(0)
        longer += len(edit.replacement) - (edit.end - edit.start)
    return sorted([*found, *(_moved(each, -longer) for each in rest)])


def _moved(candidate: Candidate, by: int) -> Candidate:
    return candidate._replace(edit=candidate.edit.moved(by))


def _folds(groups: Sequence[int], right: Sequence[bool]) -> tuple[list[int], int]:
    """The fold of each edit, so that those of a text stay together and every fold has a text with a
    right one, and how many folds there are, up to `FOLDS`."""
    with_right = {group for group, good in zip(groups, right, strict=True) if good}
    count = min(FOLDS, len(with_right))
    ordered = sorted(set(groups), key=lambda group: (group not in with_right, group))
    fold = {group: number % max(1, count) for number, group in enumerate(ordered)}
    return [fold[group] for group in groups], count


def without_neighbours(candidates: Iterable[Candidate]) -> list[Candidate]:
    """The candidates in order, without those that touch a more evident one: two edits side by side
    are mostly one error, corrected twice. The trigram baseline's `chosen` forbids only overlaps."""
    kept: list[Candidate] = []
    for each in sorted(candidates, key=lambda each: -each.evidence):
        at = bisect_left(kept, each.edit, key=lambda other: other.edit)
        beside = kept[max(0, at - 1) : at + 1]
        if all(each.edit.end < other.edit.start or other.edit.end < each.edit.start
               for other in beside):  # fmt: skip
            kept.insert(at, each)
    return kept


# Learned from the Chinese base of benchmarks/chinese_base.py; for models that learned no weights.
USUAL = Evidence(
    (
        *(-0.5, -2.4, -0.3, -0.5, -4.7, -2.1),
        *(0.34, 0.58, 0.38, 0.34, 1.45, 0.59),
        *(0.0, 0.18, 0.27, 0.0, 0.18, 0.06, -0.54, 0.77),
    ),
    threshold=0.5,
)
