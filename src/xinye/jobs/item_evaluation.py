"""Evaluates a recommender: again on the events that its run held out, or on later events."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xinye.checkpoints import item_folders
from xinye.data.notes import Notes
from xinye.errors import XinyeError, plural
from xinye.evaluation.classification import Figures
from xinye.jobs.recommending import Recommender
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.ranking.judging import judge
from xinye.ranking.split import Case, drawn
from xinye.runs.folder import RunFolder
from xinye.tasks.recommend import Recommend
from xinye.tasks.recommend_data import prepare_items, read_all
from xinye.tasks.recommend_records import Events
from xinye.tasks.recommend_results import (
    MOST_CASES,
    beside_each_other,
    compared,
    limits,
    rankers_of,
    results_of,
)
from xinye.tasks.settings import task_settings


def evaluate(folder: Path, files: Sequence[str], observer: Observer) -> Figures:
    """The figures of the run's mix next to the GPT alone and the baselines. Without files they are
    those of the events that the training held out; else of each user's last event in the files,
    after all that the run knew of the user and that came before in the files."""
    settings = settings_of(folder)
    about: Figures = {"model": str(folder), "task": Recommend.verb}
    if files:
        return about | on_later_events(folder, settings, files, observer)
    network = item_folders.read(folder).network
    data = prepare_items(settings, Draft(settings=settings), observer)
    if RunFolder(folder).about().get("text") != data.fingerprint:
        raise XinyeError(
            f"{folder}: its events or items have changed since the training; give other events "
            "with --data"
        )
    figures = results_of(network, data, observer).figures
    about["files"], about["records"] = list(settings.data), figures.pop("users")
    about["notes"] = figures.pop("findings") + figures.pop("compared")
    return about | figures


def settings_of(folder: Path) -> FinetuneSettings:
    """The settings of a recommender's run. Raises `XinyeError` if they are damaged."""
    run = RunFolder(folder)
    return task_settings(run.about().get("settings", {}), str(run.settings_file))


def on_later_events(
    folder: Path, settings: FinetuneSettings, files: Sequence[str], observer: Observer
) -> Figures:
    """The figures on the last event of each user in the files. What counts is counted on the events
    of the run only."""
    observer.stage("reading the events")
    recommender, notes = Recommender.load(folder), Notes()
    events = read_all(settings, files, notes, to_learn=False)
    cases, unknown = later_cases(recommender, events)
    if not cases:
        raise XinyeError(f"{', '.join(files)}: no user has a new event with an item of the run")
    observer.stage("evaluating the model and the baselines")
    fitted, some = recommender.fitted, drawn(cases, MOST_CASES)
    rankers = rankers_of(recommender.gpt(), fitted, recommender.mixes)
    judged = {ranker.name: judge(ranker, some, fitted.item_count) for ranker in rankers}
    found = [*notes.sentences(), *events.findings]
    if unknown:
        found.append(f"{plural(unknown, 'event')} with items that the run did not learn: left out")
    return beside_each_other(judged, {}) | {
        "files": list(files),
        "records": len(some),
        "notes": [*found, *limits(len(cases), fitted), *compared(judged)],
    }


def later_cases(recommender: Recommender, events: Events) -> tuple[list[Case], int]:
    """For each user the last event whose item is new to the user, and the number of events whose
    items have no scores."""
    numbers, count = recommender.catalogue.numbers, recommender.fitted.item_count
    known = np.array([numbers.get(item.id, count) for item in events.items], np.int64)
    cases, unknown = [], 0
    for place, user in enumerate(events.users):
        before = recommender.users.history(user)
        history = [] if before is None else [item for item in before.tolist() if item < count]
        later = known[events.histories[place]]
        unknown += int((later >= count).sum())
        had = {*history}
        new = [item for item in later.tolist() if item < count and item not in had]
        if new and (history or len(new) > 1):
            cases.append(Case(place, np.array([*history, *new[:-1]], np.int64), new[-1]))
    return cases, unknown
