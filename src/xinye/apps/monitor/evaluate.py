"""Tests a monitor on the labelled texts that were kept apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xinye.apps.monitor.analysis import Analyst
from xinye.apps.monitor.documents import Analysis
from xinye.apps.monitor.labelled import Labelled
from xinye.apps.monitor.monitor_folder import MonitorFolder
from xinye.errors import XinyeError
from xinye.evaluation.classification import class_table


@dataclass(frozen=True)
class Score:
    """What a role reaches on so many texts: micro F1 of topics, macro F1 of moods. `baseline` is
    that of TF-IDF with logistic regression, None for a model that was not trained with the
    monitor. `by_label` is the F1 of each topic or mood."""

    texts: int
    score: float
    baseline: float | None
    by_label: dict[str, float]


def evaluate_monitor(folder: Path) -> dict[str, Score]:
    """The scores of a monitor by role. Raises `XinyeError` if it is damaged, or has no texts to
    test on."""
    monitor = MonitorFolder.read(folder)
    found = scores(monitor.analyst(), monitor.test, monitor.report.get("trained", {}))
    if not found:
        raise XinyeError(
            f"{folder}: there are no texts to test on; prepare the monitor again with "
            "--test-share 0.1"
        )
    return found


def scores(
    analyst: Analyst, test: Sequence[Labelled], trained: Mapping[str, Mapping[str, float | None]]
) -> dict[str, Score]:
    """The scores of a monitor's models by role. `trained` has the baseline of each role."""
    analyses = analyst.analyse([("", each.text) for each in test])
    pairs = [*zip(test, analyses, strict=True)]
    found = {}
    for role, model in (("topics", analyst.models.topics), ("mood", analyst.models.mood)):
        labelled = [_labels(role, *pair) for pair in pairs if _is_labelled(role, pair[0])]
        if model is None or not labelled:
            continue
        names = sorted({label for right, _ in labelled for label in right})
        table = class_table(labelled, str, names)
        average = "micro avg" if role == "topics" else "macro avg"
        by_label = {name: table[name]["f1-score"] for name in names}
        baseline = trained.get(role, {}).get("baseline")
        found[role] = Score(len(labelled), table[average]["f1-score"], baseline, by_label)
    return found


def _is_labelled(role: str, labelled: Labelled) -> bool:
    return labelled.topics is not None if role == "topics" else bool(labelled.mood)


def _labels(role: str, labelled: Labelled, said: Analysis) -> tuple[set[str], set[str]]:
    """The right labels of a text, and those that the monitor says."""
    if role == "mood":
        return {labelled.mood}, {said.mood}
    return {*(labelled.topics or ())}, {topic for topic, _ in said.topics}
