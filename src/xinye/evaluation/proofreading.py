"""Metrics of corrected texts, counted by sentences as in the shared task SIGHAN 2015 (Tseng et al.
2015, "Introduction to SIGHAN 2015 Bake-off for Chinese Spelling Check").

A sentence counts as detected only if all places of its errors were found and no other, and as
corrected only if all of them became what they should be. Precision is the share of these among the
sentences that were changed, recall their share among the sentences with errors. `clean_changed` is
the share of the sentences without errors that were changed: the task's false positive rate.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xinye.evaluation.classification import Figures
from xinye.evaluation.edits import Edit, change, steps_between, units_of

MOST_CHANGED = 0.03  # of the sentences without errors, as a model chooses its threshold


@dataclass(frozen=True)
class Pair:
    """A text with errors, or without, and the correct text."""

    wrong: str
    right: str


class Candidate(NamedTuple):
    """A possible edit, and how much more probable it is than no change, in nats."""

    edit: Edit
    evidence: float


def chosen(candidates: Iterable[Candidate], threshold: float) -> list[Candidate]:
    """The candidates with more evidence than the threshold, in order. Of those that overlap only
    the most evident one is among them."""
    kept: list[Candidate] = []
    for each in sorted(candidates):
        if each.evidence <= threshold:
            continue
        if kept and each.edit.start < kept[-1].edit.end:
            if each.evidence <= kept[-1].evidence:
                continue
            kept.pop()
        kept.append(each)
    return kept


def edits_between(wrong: str, right: str) -> list[Edit]:
    """The edits that turn one text into another; one edit of all of it if they differ too much."""
    ours, theirs = units_of(wrong), units_of(right)
    steps = steps_between([unit.text for unit in ours], [unit.text for unit in theirs])
    if steps is None:
        return [Edit(0, len(wrong), right)]
    return [change(wrong, ours, *step) for step in steps]


def measure(pairs: Sequence[Pair], corrected: Sequence[str]) -> Figures:
    """The metrics of corrected texts: `correction_f1`, `correction_precision`, `correction_recall`,
    the same for `detection`, and `clean_changed` if a text has no error. Spaces do not count."""
    changed = detected = right = wrong = clean = clean_changed = 0
    for pair, text in zip(pairs, corrected, strict=True):
        needed, made = edits_between(pair.wrong, pair.right), edits_between(pair.wrong, text)
        changed += bool(made)
        clean += not needed
        clean_changed += bool(made) and not needed
        wrong += bool(needed)
        detected += bool(needed) and _places(made) == _places(needed)
        right += bool(needed) and made == needed
    return (
        _scores("correction", right, changed, wrong)
        | _scores("detection", detected, changed, wrong)
        | ({"clean_changed": clean_changed / clean} if clean else {})
    )


def _places(edits: Iterable[Edit]) -> list[tuple[int, int]]:
    return [(edit.start, edit.end) for edit in edits]


def _scores(name: str, right: int, changed: int, wrong: int) -> dict[str, float]:
    return {
        f"{name}_f1": 2 * right / max(1, changed + wrong),
        f"{name}_precision": right / max(1, changed),
        f"{name}_recall": right / max(1, wrong),
    }


def best_threshold(
    pairs: Sequence[Pair], candidates: Sequence[Sequence[Candidate]], most_changed: float
) -> float:
    """The threshold for which the correction F1 is best and at most a share `most_changed` of the
    texts without errors is changed; infinity if no change is worth it.

    A text is right for each threshold between the evidence of its wrong candidates and that of its
    right ones, so one pass over the sorted borders finds the best.
    """
    wrong = clean = 0
    events: list[tuple[float, int, int, int]] = []  # threshold, right, changed, clean and changed
    for pair, found in zip(pairs, candidates, strict=True):
        needed = edits_between(pair.wrong, pair.right)
        wrong += bool(needed)
        clean += not needed
        good: list[float] = []
        bad = [-math.inf]
        right_ones = same_effect(pair.wrong, needed, (edit for edit, _ in found))
        for edit, evidence in found:
            (good if edit in right_ones else bad).append(evidence)
        if found:
            top = max(each.evidence for each in found)
            events.append((top, 0, 1, int(not needed)))
        if needed and len(good) == len(needed) and min(good) > max(bad):
            events += [(min(good), 1, 0, 0), (max(bad), -1, 0, 0)]
    best, threshold = 0.0, math.inf
    right = changed = clean_changed = 0
    events.sort(reverse=True)
    for number, (evidence, more_right, more_changed, more_clean) in enumerate(events):
        right += more_right
        changed += more_changed
        clean_changed += more_clean
        below = events[number + 1][0] if number + 1 < len(events) else -math.inf
        if below == evidence or math.isinf(evidence):
            continue
        f1 = 2 * right / max(1, changed + wrong)
        if clean_changed <= most_changed * clean and f1 > best:
            best = f1
            threshold = evidence - 1.0 if math.isinf(below) else (evidence + below) / 2
    return threshold


def same_effect(text: str, needed: Iterable[Edit], edits: Iterable[Edit]) -> set[Edit]:
    """Those of some edits of a text that do what one of the `needed` ones does."""
    effects = _Effects(text)
    right = {effects.of(edit) for edit in needed}
    return {edit for edit in edits if effects.of(edit) in right}


class _Effects:
    """Says which edits of a text have the same effect: of two equal units either may be deleted,
    and a unit may be inserted before or behind an equal one."""

    def __init__(self, text: str) -> None:
        self.units = units_of(text)
        self.last = [*range(len(self.units))]  # for each unit, the last of the equal ones in a row
        for at in reversed(range(len(self.units) - 1)):
            if self.units[at].text == self.units[at + 1].text:
                self.last[at] = self.last[at + 1]

    def of(self, edit: Edit) -> tuple[str, int, str]:
        """What an edit does, the last unit at which it could be done, and the new unit."""
        new = edit.replacement.strip()
        at = bisect_left(self.units, edit.start, key=lambda unit: unit.start)
        if edit.start == edit.end:
            if at < len(self.units) and self.units[at].text == new:
                at = self.last[at] + 1
            return "insert", at, new
        if not new:
            return "delete", self.last[at], new
        return "replace", at, new
