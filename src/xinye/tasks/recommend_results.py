"""Evaluates a recommender at the end of its training: the GPT, the mix and the baselines, all by
the same cases."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.errors import plural
from xinye.model.items import ItemGPT
from xinye.observer import Observer
from xinye.ranking.fitted import GPT, Fitted
from xinye.ranking.item_texts import TextLikeness
from xinye.ranking.judging import Judged, Ranker, Spread, difference, judge
from xinye.ranking.mix import Mix, beside
from xinye.ranking.rankers import ItemKNN, Popular
from xinye.ranking.split import drawn, of_items
from xinye.tasks.recommend import Recommend
from xinye.tasks.recommend_data import ItemData

MOST_CASES = 20_000  # users who are judged at most
NEW_CASES = 3_000  # events with held-out items that are predicted at most


@dataclass(frozen=True)
class Results:
    """What `result.json` holds of a recommender, and the weights of its mix by name."""

    figures: dict[str, Any]
    weights: dict[str, float]


def results_of(network: ItemGPT, data: ItemData, observer: Observer) -> Results:
    """The figures of a network, of the mix with and without it, and of the baselines."""
    observer.stage("evaluating the model and the baselines")
    split, count = data.split, data.learned
    before, fitted = Fitted.fit(split.training), Fitted.fit(split.training_and_validation)
    learned = {
        name: Mix.learn(some, split.validation, name) for name, some in mixed(network, before)
    }
    rankers: list[Ranker] = [
        *(Mix(some, learned[name].weights, name) for name, some in mixed(network, fitted)),
        network,
        fitted.markov,
        fitted.ease,
        ItemKNN.fit(split.training_and_validation),
        fitted.popular,
    ]
    cases = drawn(split.test, MOST_CASES)
    judged = {ranker.name: judge(ranker, cases, count) for ranker in rankers}
    rows = {name: {"name": name, **each.figures()} for name, each in judged.items()}
    if count < len(data.items):
        for name, spread in new_item_figures(network, data, learned["the mix"]).items():
            row = rows.setdefault(name, {"name": name})
            row["new_items_ndcg_at_10"] = spread.mean
            row["new_items_interval"] = spread.interval
    model = {key: value for key, value in rows["the mix"].items() if key != "name"}
    others = ("item-Markov", "EASE", "item-kNN", "most popular", "similar texts")
    figures = {
        "measured": model,
        "mixes": [rows["the GPT alone"], rows["the mix without the GPT"]],
        "baseline": rows[Recommend.baseline_name],
        "other_baselines": [rows[name] for name in others if name in rows],
        "findings": data.facts["findings"],
        "compared": [*limits(len(split.test), fitted), *compared(judged, Recommend.baseline_name)],
        "users": len(cases),
    }
    names = (GPT, *(each.name for each in fitted.rankers))
    weights = dict(zip(names, learned["the mix"].weights.tolist(), strict=True))
    return Results(figures | {"weights": weights}, weights)


def mixed(network: ItemGPT, fitted: Fitted) -> Iterator[tuple[str, Sequence[Ranker]]]:
    """What each mix consists of, by its name."""
    yield "the mix", (network, *fitted.rankers)
    yield "the mix without the GPT", fitted.rankers
    yield Recommend.baseline_name, fitted.rankers[:2]


@dataclass(frozen=True)
class WithNewItems:
    """Ranks the items that a network learned, and after them new items by the features (m, F) of
    their texts."""

    network: ItemGPT
    features: Tensor
    name: str = "the GPT alone"

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        return self.network.scores(histories, self.network.vectors(self.features))


@dataclass(frozen=True)
class MixWithNewItems:
    """Ranks the `known` items by a mix, and new items beside them by the GPT."""

    mix: Mix
    gpt: WithNewItems
    known: int
    name: str = "the mix"

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        known = [history[history < self.known] for history in histories]
        pairs = zip(self.mix.scores(known), self.gpt.scores(histories), known, strict=True)
        return np.stack(
            [
                beside(mixed, gpt, ~np.isin(np.arange(self.known), history))
                for mixed, gpt, history in pairs
            ]
        )


def compared(judged: dict[str, Judged], baseline: str) -> list[str]:
    """Sentences about what the GPT adds to the mix, and about the GPT alone."""
    mix, gpt = judged["the mix"], judged["the GPT alone"]
    users = plural(len(mix.ranks), "user")
    added = difference(mix, judged["the mix without the GPT"])
    alone = difference(gpt, judged[baseline])
    return [
        f"with the GPT, NDCG@10 of the mix changes by {added.mean:+.4f} ± {added.interval:.4f} "
        f"(95 %, paired by {users})",
        f"NDCG@10 of the GPT alone differs from that of {baseline} by {alone.mean:+.4f} ± "
        f"{alone.interval:.4f} (95 %, paired by {users})",
    ]


def limits(users: int, fitted: Fitted) -> list[str]:
    """Sentences about what the figures of so many users leave out."""
    found = []
    if users > MOST_CASES:
        found.append(f"evaluated on {MOST_CASES:,} of {plural(users, 'user')}, drawn at random")
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
