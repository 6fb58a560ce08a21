"""A GPT over items on MovieLens: NDCG@10 of the next film, and of films it has never seen.

    python benchmarks/recommend.py FOLDER [--size 1M] [--seeds 1] [--new-items 0.1] [--set dropout=0.2 …]

FOLDER holds ratings.csv and movies.csv of a MovieLens data set (grouplens.org/datasets/movielens).
Films with fewer than five ratings are left out. Of each user the last film is for testing, the one
before for validation, the rest is for training. All films that the user has not rated are ranked;
intervals are 95 % over users. `--set` changes a rule of `ItemRules`.

With `--new-items` this share of the films is left out of training. `new` is the NDCG@10 of events
with them and `old` that of other events, both among all films. `offset` is added to the logits of
new films. `mass` is the probability that the network gives to them, and `share` their share of the
events: offset 0 is right if these two agree. Prints one JSON object last.
"""

import argparse
import csv
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import machine, progress, report
from torch import Tensor

from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.planning.units import parse_count
from xinye.ranking.chunks import Chunks
from xinye.ranking.histories import Histories
from xinye.ranking.item_rules import ItemRules, shape_of
from xinye.ranking.item_texts import ItemTexts
from xinye.ranking.items import Item
from xinye.ranking.judging import Judged, Spread, judge
from xinye.ranking.split import Split, of_items, split_by
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.schedule import Schedule

LEAST = 5  # ratings of a film
JUDGED = 3000  # events with new films
OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Films(NamedTuple):
    """The films, those that are learned first, and what each user rated."""

    items: list[Item]
    learned: int
    histories: Histories
    split: Split  # of the events with learned films


def read(folder: Path, new_items: float) -> Films:
    """The films and histories of a data set."""
    with (folder / "ratings.csv").open(encoding="utf-8") as file:
        rows = [(r["userId"], r["movieId"], int(r["timestamp"])) for r in csv.DictReader(file)]
    with (folder / "movies.csv").open(encoding="utf-8") as file:
        films = {row["movieId"]: row for row in csv.DictReader(file)}
    ratings = Counter(film for _, film, _ in rows)
    kept = [film for film in films if ratings[film] >= LEAST]
    order = np.random.default_rng(7).permutation(len(kept))
    held_out = set(order[: round(new_items * len(kept))].tolist())
    kept = [kept[i] for i in sorted(range(len(kept)), key=lambda i: (i in held_out, i))]
    number = {film: place for place, film in enumerate(kept)}
    users = defaultdict(list)
    for user, film, _ in sorted(rows, key=lambda row: (row[0], row[2])):
        if film in number:
            users[user].append(number[film])
    items = [
        Item(film, films[film]["title"], tags=tuple(films[film]["genres"].split("|")))
        for film in kept
    ]
    histories = Histories.of(list(users.values()), len(items))
    learned = len(items) - len(held_out)
    known = replace(histories.kept(histories.items < learned), item_count=learned)
    return Films(items, learned, histories, split_by("last", known))


def train(films: Films, rules: ItemRules, size: int, seed: int) -> tuple[ItemGPT, ItemTexts]:
    """A network that has learned all but the last two films of each user."""
    torch.manual_seed(seed)
    items = films.items[: films.learned]
    texts = ItemTexts.fit(items)
    config = shape_of(size, len(items), texts.width, rules.context)
    config = replace(config, dropout=rules.dropout)
    features = torch.from_numpy(texts.features(items))
    network = ItemGPT(GPT(config), features, rules.id_dropout)
    network.initialize(seed)
    chunks = Chunks(films.split.training, rules.context, seed)
    batch = rules.batch_size
    steps = round(rules.epochs * len(chunks) / batch)
    optimization = Optimization(
        rules.optimizer,  # type: ignore[arg-type]
        rules.learning_rate,
        rules.matrix_learning_rate,
        rules.weight_decay,
        dtype=torch.float32,
    )
    schedule = Schedule([(0, steps)], round(rules.warmup * steps))
    loop = Loop(
        loss_sum=network.loss,
        parameters=list(network.parameters()),
        optimizers=make_optimizers(network, optimization),
        micro_batches=lambda step: chunks.micro_batches(step * batch, batch, batch),
        rate=schedule.rate,
        seed=seed,
    )
    for step in loop.take(0, lambda: steps):
        if step.step % max(1, steps // 10) == 0:
            epochs = step.step * batch / len(chunks)
            progress(f"  {epochs:.1f} epochs: loss {step.loss:.3f}")
    return network, texts


def next_films(network: ItemGPT, films: Films) -> dict[str, Any]:
    """NDCG@10 of the last film of each user and of the one before."""
    split, count = films.split, films.learned
    return {
        "validation": ndcg(judge(network, split.validation, count)),
        "test": ndcg(judge(network, split.test, count)),
    }


def ndcg(judged: Judged) -> dict[str, float]:
    spread = Spread.of(judged.ndcg)
    return {"ndcg": round(spread.mean, 4), "±": round(spread.interval, 4)}


@dataclass
class WithNewFilms:
    """Ranks learned films and, by their texts, new ones. `mass` collects the probability of the new
    ones in each case."""

    network: ItemGPT
    rows: Tensor
    offset: float
    name: str = "with new films"

    def __post_init__(self) -> None:
        self.mass: list[float] = []

    def scores(self, histories: Sequence[np.ndarray]) -> np.ndarray:
        learned = self.network.config.vocab_size
        scores = self.network.scores(histories, self.rows)
        scores[:, learned:] += self.offset
        chances = scores.copy()
        for row, history in zip(chances, histories, strict=True):
            row[history] = -np.inf
        softmax = torch.from_numpy(chances).softmax(-1)
        self.mass += softmax[:, learned:].sum(-1).tolist()
        return scores


def new_films(network: ItemGPT, texts: ItemTexts, films: Films) -> dict[str, Any]:
    """NDCG@10 of events with new films and with others, by the offset of new films."""
    rows = network.vectors(torch.from_numpy(texts.features(films.items[films.learned :])))
    count, all_events = len(films.items), films.histories
    is_new = np.arange(count) >= films.learned
    new = of_items(all_events, is_new, JUDGED)
    last = split_by("last", all_events)
    old = [case for case in (*last.validation, *last.test) if not is_new[case.target]]
    result: dict[str, Any] = {"share": round(float(is_new[all_events.items].mean()), 3)}
    for offset in OFFSETS:
        ranker = WithNewFilms(network, rows, offset)
        figures: dict[str, Any] = {"old": ndcg(judge(ranker, old, count))}
        figures["mass"] = round(float(np.mean(ranker.mass)), 3)
        figures["new"] = ndcg(judge(ranker, new, count))
        result[f"offset {offset:g}"] = figures
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", default="1M")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--new-items", type=float, default=0.0)
    parser.add_argument("--set", nargs="*", default=[], metavar="RULE=VALUE")
    options = parser.parse_args()
    facts = machine("torch", "numpy")
    changed = dict(each.split("=", 1) for each in options.set)
    usual = asdict(ItemRules())
    rules = replace(
        ItemRules(), **{name: type(usual[name])(value) for name, value in changed.items()}
    )
    films = read(options.folder, options.new_items)
    runs = []
    for seed in range(options.seeds):
        begin = time.perf_counter()
        network, texts = train(films, rules, parse_count(options.size), seed)
        run: dict[str, Any] = {"training_seconds": round(time.perf_counter() - begin)}
        run |= next_films(network, films) if not options.new_items else {}
        run |= new_films(network, texts, films) if options.new_items else {}
        progress(f"seed {seed}: {run}")
        runs.append(run)
    report(
        benchmark="recommend",
        users=len(films.histories),
        films=len(films.items),
        events=films.histories.event_count,
        parameters=sum(weight.numel() for weight in network.parameters()),
        width=network.config.hidden_size,
        rules=asdict(rules),
        runs=runs,
        machine=facts,
    )


if __name__ == "__main__":
    main()
