"""Prepares the data of the task recommend: events and items, the splits, and features of texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xinye.checkpoints.load import load_any
from xinye.data.encodings import bad_bytes
from xinye.data.files import file_size, fingerprint
from xinye.data.notes import Notes
from xinye.data.spreadsheets import sheet_named
from xinye.errors import XinyeError, plural
from xinye.observer import Observer
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.plan import Draft
from xinye.ranking.histories import Histories
from xinye.ranking.item_texts import ItemTexts, item_text, language_vectors
from xinye.ranking.items import Item
from xinye.ranking.split import Split, of_items, split_by
from xinye.tasks.bad_records import bad_records
from xinye.tasks.recommend_items import read_items, record_files
from xinye.tasks.recommend_records import Events, learned, read_events
from xinye.tasks.records import OnBad, refuse

SPLITS = {
    "last": "the last event of each user is predicted, the one before it is for validation",
    "time": "the last tenth of all events is predicted, the tenth before it is for validation",
}


@dataclass
class ItemData:
    """Data that are ready for training.

    The items `events.items` are in the order of the network's rows: first the `learned` ones, then
    those that are held out of training.
    """

    events: Events
    everything: Events  # with the items that have too few events
    learned: int  # items that are trained
    split: Split  # of the events with learned items
    texts: ItemTexts
    features: np.ndarray  # (n, F), of the items' texts
    fingerprint: str
    facts: dict[str, Any]

    @property
    def items(self) -> list[Item]:
        return self.events.items


def prepare_items(settings: FinetuneSettings, plan: Draft, observer: Observer) -> ItemData:
    """Read, check and split the events. Adds facts to the plan, and warns of findings."""
    observer.stage("reading the events")
    notes = Notes()
    everything = read_all(settings, settings.data, notes)
    events = learned(everything, settings.min_events)
    count = len(events.items)
    held_out = held_out_items(count, settings.new_items, settings.seed)
    events = in_order(events, held_out)
    split = split_by(settings.split, without(events.histories, count - len(held_out)))
    if len(held_out) and not of_items(
        events.histories, np.arange(count) >= count - len(held_out), 1
    ):
        raise XinyeError(
            f"--new-items {settings.new_items:g}: nobody used one of the held-out items after "
            "another one, so there is nothing to evaluate on; hold out more, or leave it out"
        )
    observer.stage("reading the texts of the items")
    texts, features = texts_of(settings.model, events.items, count - len(held_out))
    findings = [*notes.sentences(), *events.findings]
    _note(plan, settings, events, split)
    files = item_files(settings)
    facts = {
        "files": len(files),
        "bytes": sum(map(file_size, files)),
        "documents": events.histories.event_count,
        "users": len(events.users),
        "items": len(events.items),
        "order": events.order,
        "split": settings.split,
        "findings": findings,
    }
    for finding in findings:
        observer.warn(f"note: {finding}")
    return ItemData(
        events=events,
        everything=everything,
        learned=count - len(held_out),
        split=split,
        texts=texts,
        features=features,
        fingerprint=fingerprint(files),
        facts=facts,
    )


def read_all(
    settings: FinetuneSettings,
    files: Sequence[str],
    notes: Notes,
    on_bad: OnBad = refuse,
    to_learn: bool = True,
) -> Events:
    """The events of files with the items of the settings, read as the settings say."""
    with (
        bad_bytes(settings.bad_bytes, notes),
        sheet_named(settings.sheet),
        bad_records(settings.bad_records),
    ):
        items = read_items(settings.items, settings, notes, on_bad)
        return read_events(files, settings, items, notes, on_bad, to_learn)


def item_files(settings: FinetuneSettings) -> list[Path]:
    """All files of events and items."""
    return record_files((*settings.data, *settings.items), Notes())


def held_out_items(count: int, share: float, seed: int) -> np.ndarray:
    """The items that are left out of training, drawn at random. Raises `XinyeError` if too few are
    left."""
    held_out = np.random.default_rng(seed).permutation(count)[: round(share * count)]
    if share and not len(held_out):
        raise XinyeError(f"--new-items {share:g} of {plural(count, 'item')} is none: give more")
    return np.sort(held_out)


def in_order(events: Events, held_out: np.ndarray) -> Events:
    """The events with the held-out items numbered last."""
    if not len(held_out):
        return events
    order = np.concatenate((np.delete(np.arange(len(events.items)), held_out), held_out))
    numbers = np.empty(len(order), np.int32)
    numbers[order] = np.arange(len(order), dtype=np.int32)
    histories = replace(events.histories, items=numbers[events.histories.items])
    return replace(events, histories=histories, items=[events.items[item] for item in order])


def without(histories: Histories, learned: int) -> Histories:
    """The histories without the items from number `learned` on."""
    kept = histories.kept(histories.items < learned)
    return replace(kept, item_count=learned)


def texts_of(model: str, items: Sequence[Item], learned: int) -> tuple[ItemTexts, np.ndarray]:
    """What turns texts into features, by a language model or from the terms of the learned items;
    and the features of all items."""
    if not model:
        texts = ItemTexts.fit(items[:learned])
        return texts, texts.features(items)
    vectors = language_vectors(*load_any(model))
    found = vectors([item_text(item) for item in items])
    texts = ItemTexts.of_vectors(found[:learned], model)
    return texts, texts.features(items, lambda _: found)


def _note(plan: Draft, settings: FinetuneSettings, events: Events, split: Split) -> None:
    """Add the numbers of events, users and items to the plan."""
    plan.note("training_records", split.training.event_count, ", ".join(settings.data))
    plan.note("validation_records", len(split.validation), SPLITS[settings.split])
    plan.note("known_users", len(events.users), f"their events in {events.order}")
    least = f"with {plural(settings.min_events, 'event')} or more"
    plan.note("known_items", len(events.items), least)
