"""Tests a monitor on the labelled texts that were kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xinye.apps.chance import Counts, likely_mean, likely_share, luck
from xinye.apps.monitor.analysis import Analyst
from xinye.apps.monitor.calibration import Calibrations
from xinye.apps.monitor.documents import Analysis
from xinye.apps.monitor.labelled import Labelled, is_labelled, labels_of
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.errors import XinyeError
from xinye.evaluation.classification import Table, class_table

AVERAGES = {"topics": "micro", "mood": "macro"}  # of F1, what a role is judged by
Judged = list[tuple[set[str], set[str]]]  # of each text, the right labels and those that are said


@dataclass(frozen=True)
class Score:
    """What a role reaches on so many texts: micro F1 of topics, macro F1 of moods. On many texts it
    would be in the interval `likely`, with a confidence of 95%. `baseline` is that of word counts,
    None for a model that was not trained with the monitor. `calibrated` says whether its
    probabilities are, and `by_label` is the F1 of each topic or mood."""

    texts: int
    score: float
    likely: tuple[float, float]
    baseline: float | None
    calibrated: bool
    by_label: dict[str, float]


def evaluate_monitor(folder: Path) -> dict[str, Score]:
    """The scores of a monitor by role. Raises `XinyeError` if it is damaged, or has no texts to
    test on."""
    monitor = MonitorFolder.read(folder)
    analyst = monitor.analyst()
    said = judged(analyst, monitor.test)
    found = scores(monitor.calibrations, said, monitor.report.get("trained", {}))
    if not found:
        raise XinyeError(
            f"{folder}: there are no texts to test on; prepare the monitor again with "
            "--test-share 0.1"
        )
    return found


def judged(analyst: Analyst, test: Sequence[Labelled]) -> dict[str, Judged]:
    """What a monitor's models say of the texts that have labels of each role."""
    analyses = analyst.analyse([("", each.text) for each in test])
    pairs = [*zip(test, analyses, strict=True)]
    models = {"topics": analyst.models.topics, "mood": analyst.models.mood}
    found = {
        role: [_labels(role, *pair) for pair in pairs if is_labelled(role, pair[0])]
        for role, model in models.items()
        if model
    }
    return {role: labels for role, labels in found.items() if labels}


def scores(
    calibrations: Calibrations,
    found: Mapping[str, Judged],
    trained: Mapping[str, Mapping[str, float | None]],
) -> dict[str, Score]:
    """The scores of a monitor's models by role. `trained` has the baseline of each role."""
    made = {}
    for role, labelled in found.items():
        names = _names(labelled)
        table = _table(labelled)
        score = f1(role, labelled)
        supports = [int(table[name]["support"]) for name in names]
        scaling = calibrations.topics if role == "topics" else calibrations.mood
        made[role] = Score(
            len(labelled),
            score,
            likely(role, score, len(labelled), supports),
            trained.get(role, {}).get("baseline"),
            scaling.texts > 0,
            {name: table[name]["f1-score"] for name in names},
        )
    return made


def f1(role: str, found: Judged) -> float:
    """What a role is judged by: micro F1 of topics, macro F1 of moods. A right label that the model
    does not know counts, too."""
    return _table(found)[f"{AVERAGES[role]} avg"]["f1-score"]


def _table(found: Judged) -> Table:
    return class_table(found, str, _names(found))


def likely(role: str, score: float, texts: int, supports: Sequence[int]) -> tuple[float, float]:
    """Between what a score on so many texts would be on many. `supports` are the texts of each
    label, the rarest of which decides most in a macro average."""
    return likely_share(score, texts) if role == "topics" else likely_mean(score, supports)


def gained_by_luck(role: str, old: Judged, new: Judged) -> float:
    """How likely luck alone makes the new answers so much better than the old ones, on the same
    texts."""
    names = _names(old)
    if role == "topics":  # a topic that is wrongly said counts, even if no text has it
        names = sorted({*names}.union(*(said for _, said in (*old, *new))))
    number = len(names)

    def counts(found: Judged) -> Counts:
        return np.array(
            [
                [*(name in right & said for name in names), *(name in right for name in names)]
                + [name in said for name in names]
                for right, said in found
            ],
            dtype=np.float64,
        )

    def score(sums: Counts) -> Counts:
        hits, right, said = sums[:, :number], sums[:, number : 2 * number], sums[:, 2 * number :]
        if role == "topics":
            return 2 * hits.sum(1) / np.maximum(right.sum(1) + said.sum(1), 1)
        return (2 * hits / np.maximum(right + said, 1)).mean(1)

    return luck(counts(old), counts(new), score)


def _names(found: Judged) -> list[str]:
    """The labels that texts have."""
    return sorted({label for right, _ in found for label in right})


def _labels(role: str, labelled: Labelled, said: Analysis) -> tuple[set[str], set[str]]:
    """The right labels of a text, and those that the monitor says."""
    names = {said.mood} if role == "mood" else {topic for topic, _ in said.topics}
    return {*labels_of(role, labelled)}, names
