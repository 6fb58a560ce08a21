"""What a run's folder holds besides the network: the catalogue, what reads texts, the rankers that
count, and the histories of the users."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from xinye.checkpoints.folders import ITEMS
from xinye.checkpoints.item_folders import write_catalogue
from xinye.checkpoints.load import load_any
from xinye.ranking.catalogue import save_features
from xinye.ranking.fitted import Fitted
from xinye.ranking.history_file import write_histories
from xinye.ranking.item_texts import language_vectors
from xinye.tasks.recommend_data import ItemData


def write_recommender(run: Path, data: ItemData, weights: dict[str, float]) -> None:
    """Write all that `xinye recommend` needs besides the network. What counts is counted anew on
    all events."""
    catalogue = [*data.items, *data.events.rare]
    write_catalogue(run, catalogue)
    data.texts.save(run / ITEMS)
    write_features(run / ITEMS, data)
    histories = replace(data.events.histories, item_count=len(data.items))
    Fitted.fit(histories).save(run / ITEMS, weights)
    users, ids = data.everything.users, [item.id for item in data.everything.items]
    write_histories(run / ITEMS, users, data.everything.histories, ids)


def write_features(folder: Path, data: ItemData) -> None:
    """Write the features of the items that the network did not learn, so that a language model does
    not have to read them again."""
    rare = data.events.rare
    found = data.features[data.learned :]
    if rare:
        vectors = language_vectors(*load_any(data.texts.model)) if data.texts.model else None
        found = np.concatenate((found, data.texts.features(rare, vectors)))
    save_features(folder, found)
