"""Evaluates a recommender at the end of its training: the GPT, the mix and the baselines, all by
the same cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.errors import plural
from xinye.evaluation.classification import Figures
from xinye.model.items import ItemGPT
from xinye.observer import Observer
from xinye.ranking.fitted import COUNTED, THE_MIX, WITHOUT_GPT, Fitted, Mixes, best_penalty
from xinye.ranking.item_texts import TextLikeness
from xinye.ranking.judging import Judged, Ranker, Spread, difference, judge
from xinye.ranking.mix import Mix, beside
from xinye.ranking.rankers import Popular
from xinye.ranking.split import drawn, of_items
from xinye.tasks.recommend_data import ItemData

MOST_CASES = 20_000  # users who are judged at most
FEW = 100  # with fewer users, figures say little
NEW_CASES = 3_000  # events with held-out items that are predicted at most


@dataclass(frozen=True)
class Results:
    """What `result.json` holds of a recommender, the weights of its mixes, and the penalty of
    EASE."""

    figures: dict[str, Any]
    mixes: Mixes
    penalty: float


def results_of(network: ItemGPT, data: ItemData, observer: Observer) -> Results:
    """The figures of a network, of the mix with and without it, and of the baselines."""
    observer.stage("evaluating the model and the baselines")
    split, count = data.split, data.learned
    penalty = best_penalty(split.training, split.validation)
    mixes = Fitted.fit(split.training, penalty).learn_mixes(network, split.validation)
    fitted = Fitted.fit(split.training_and_validation, penalty)
    cases = drawn(split.test, MOST_CASES)
    judged = {
        ranker.name: judge(ranker, cases, count) for ranker in rankers_of(network, fitted, mixes)
    }
    new: dict[str, Spread] = {}
    if count < len(data.items):
        new = new_item_figures(network, data, fitted.mixed(network, mixes)[0])
    figures = beside_each_other(judged, new) | {
        "findings": data.facts["findings"],
        "compared": [*limits(len(split.test), fitted, len(split.validation)), *compared(judged)],
        "users": len(cases),
        "weights": mixes[THE_MIX],
        "ease_penalty": penalty,
    }
    return Results(figures, mixes, penalty)


def rankers_of(gpt: Ranker, fitted: Fitted, mixes: Mixes) -> list[Ranker]:
    """All that is evaluated: the mixes, the GPT alone, and the rankers that count."""
    return [*fitted.mixed(gpt, mixes), gpt, *fitted.rankers]


def beside_each_other(judged: Mapping[str, Judged], new: Mapping[str, Spread]) -> Figures:
    """The figures of all rankers, as `result.json` has them: the mix, the baseline and others.
    `new` are those on new items."""
    rows = {name: {"name": name, **each.figures()} for name, each in judged.items()}
    for name, spread in new.items():
        found = spread.figures("new_items_ndcg_at_10", "new_items_interval")
        rows.setdefault(name, {"name": name}).update(found)
    model = rows.pop(THE_MIX) | {"users": len(judged[THE_MIX].ranks)}
    del model["name"]
    gain = difference(judged[THE_MIX], judged[COUNTED]).figures("mean", "interval")
    return {
        "measured": model,
        "baseline": rows.pop(COUNTED) | {"gain": gain},
        "mixes": [rows.pop(ItemGPT.name), rows.pop(WITHOUT_GPT)],
        "other_baselines": [*rows.values()],
    }


@dataclass(frozen=True)
class WithNewItems:
    """Ranks the items that a network learned, and after them new items by the features (m, F) of
    their texts."""

    network: ItemGPT
    features: Tensor
    name: str = ItemGPT.name

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return self.network.scores(histories, self.network.vectors(self.features))


@dataclass(frozen=True)
class MixWithNewItems:
    """Ranks the `known` items by a mix, and new items beside them by the GPT."""

    mix: Mix
    gpt: WithNewItems
    known: int
    name: str = THE_MIX

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        known = [history[history < self.known] for history in histories]
        pairs = zip(self.mix.scores(known), self.gpt.scores(histories), known, strict=True)
        return np.stack(
            [
                beside(mixed, gpt, ~np.isin(np.arange(self.known), history))
                for mixed, gpt, history in pairs
            ]
        )


def compared(judged: Mapping[str, Judged]) -> list[str]:
    """Sentences about what the GPT adds to the mix, and about the GPT alone."""
    mix, gpt = judged[THE_MIX], judged[ItemGPT.name]
    count = len(mix.ranks)
    if count < 2:
        return []
    users = plural(count, "user")
    added, alone = difference(mix, judged[WITHOUT_GPT]), difference(gpt, judged[COUNTED])
    return [
        f"with the GPT, NDCG@10 of the mix changes by {added.mean:+.4f} ± {added.interval:.4f} "
        f"(95 %, paired by {users})",
        f"NDCG@10 of the GPT alone differs from that of {COUNTED} by {alone.mean:+.4f} ± "
        f"{alone.interval:.4f} (95 %, paired by {users})",
    ]


def limits(tested: int, fitted: Fitted, validated: int = FEW) -> list[str]:
    """Sentences about what the figures of so many users leave out. The weights of the mix were
    learned on `validated` users."""
    found = []
    if tested < FEW:
        found.append(f"only {plural(tested, 'user')} evaluated: the figures say little")
    if validated < FEW:
        users = plural(validated, "user")
        found.append(f"the weights of the mix come from only {users}, and may be chance")
    if tested > MOST_CASES:
        found.append(f"evaluated on {MOST_CASES:,} of {plural(tested, 'user')}, drawn at random")
    covered = len(fitted.ease.items)
    if covered < fitted.item_count:
        items = plural(fitted.item_count, "item")
        found.append(f"EASE covers the {covered:,} most used of {items}")
    return found


def new_item_figures(network: ItemGPT, data: ItemData, mix: Mix) -> dict[str, Spread]:
    """NDCG@10 of events with items that were held out of training, among all items, by ranker."""
    count, total = data.learned, len(data.items)
    cases = of_items(data.events.histories, np.arange(total) >= count, NEW_CASES)
    popular = Popular.fit(replace(data.split.training, item_count=total))
    gpt = WithNewItems(network, torch.from_numpy(data.features[count:]))
    rankers: Sequence[Ranker] = (
        gpt,
        MixWithNewItems(mix, gpt, count),
        popular,
        TextLikeness.fit(data.items),
    )
    users = np.array([case.user for case in cases])
    return {each.name: Spread.of(judge(each, cases, total).ndcg, users) for each in rankers}
