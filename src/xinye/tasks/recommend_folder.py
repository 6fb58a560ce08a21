"""What a run's folder holds besides the network: the catalogue, what reads texts, the rankers that
count, and the histories of the users."""

from dataclasses import replace
from pathlib import Path

from xinye.checkpoints.item_folders import ITEMS, write_catalogue
from xinye.ranking.fitted import Fitted
from xinye.ranking.history_file import write_histories
from xinye.tasks.recommend_data import ItemData


def write_recommender(run: Path, data: ItemData, weights: dict[str, float]) -> None:
    """Write all that `xinye recommend` needs besides the network. What counts is counted anew on
    all events."""
    catalogue = [*data.items, *data.events.rare]
    write_catalogue(run, catalogue)
    data.texts.save(run / ITEMS)
    histories = replace(data.events.histories, item_count=len(data.items))
    Fitted.fit(histories).save(run / ITEMS, weights)
    users, ids = data.everything.users, [item.id for item in data.everything.items]
    write_histories(run / ITEMS, users, data.everything.histories, ids)
    whole = data.events.whole or data.events  # those with rare items, too
    ids = [item.id for item in whole.items]
    write_histories(run / ITEMS, whole.users, whole.histories, ids)
