"""What a run's folder holds besides the network: the catalogue, what reads texts, the rankers that
count, and the histories of the users."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from xinye.checkpoints.folders import ITEMS
from xinye.checkpoints.item_folders import write_catalogue
from xinye.checkpoints.load import load_any
from xinye.ranking.catalogue import Unlearned
from xinye.ranking.fitted import Fitted
from xinye.ranking.history_file import write_histories
from xinye.ranking.item_texts import language_vectors
from xinye.tasks.recommend_data import ItemData
from xinye.tasks.recommend_results import Results


def write_recommender(run: Path, data: ItemData, results: Results) -> None:
    """Write all that `xinye recommend` needs besides the network. The rankers that count are
    fitted again, on all events."""
    catalogue = [*data.items, *data.events.rare]
    write_catalogue(run, catalogue)
    data.texts.save(run / ITEMS)
    unlearned(data).save(run / ITEMS)
    histories = replace(data.events.histories, item_count=len(data.items))
    Fitted.fit(histories, results.penalty).save(run / ITEMS, results.mixes)
    users, ids = data.everything.users, [item.id for item in data.everything.items]
    write_histories(run / ITEMS, users, data.everything.histories, ids)


def unlearned(data: ItemData) -> Unlearned:
    """What is saved of the items that the network did not learn, so that a language model does not
    have to read them again."""
    features, rare = data.features[data.learned :], data.events.rare
    if rare:
        vectors = language_vectors(*load_any(data.texts.model)) if data.texts.model else None
        features = np.concatenate((features, data.texts.features(rare, vectors)))
    counts = data.everything.histories.counts().tolist()
    uses = {item.id: count for item, count in zip(data.everything.items, counts, strict=True)}
    items = [*data.items[data.learned :], *rare]
    return Unlearned(features, np.array([uses[item.id] for item in items], np.int64))
