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
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from common import machine, progress, report

from xinye.model.gpt import GPT
from xinye.model.items import ItemGPT
from xinye.planning.units import parse_count
from xinye.ranking.chunks import Chunks
from xinye.ranking.histories import Histories
from xinye.ranking.item_rules import ItemRules, shape_of
from xinye.ranking.item_texts import ItemTexts
from xinye.ranking.items import Item
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.schedule import Schedule

LEAST = 5  # ratings of a film
TOP = 10
JUDGED = 2000  # events with new films, and as many with others
OFFSETS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Case(NamedTuple):
    """Films that a user rated, and the next one."""

    history: np.ndarray
    target: int


class Films(NamedTuple):
    """The films, those that are learned first, and what each user rated, oldest first."""

    items: list[Item]
    learned: int
    histories: list[np.ndarray]


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
    histories = [np.array(history, np.int32) for history in users.values()]
    return Films(items, len(kept) - len(held_out), histories)


def train(films: Films, rules: ItemRules, size: int, seed: int) -> tuple[ItemGPT, ItemTexts]:
    """A network that has learned all but the last two films of each user."""
    torch.manual_seed(seed)
    training = [history[:-2] for history in films.histories]
    learned = [history[history < films.learned] for history in training]
    items = films.items[: films.learned]
    texts = ItemTexts.fit(items)
    config = shape_of(size, len(items), texts.width, rules.context)
    config = replace(config, dropout=rules.dropout)
    features = torch.from_numpy(texts.features(items))
    network = ItemGPT(GPT(config), features, rules.id_dropout, rules.label_smoothing)
    network.initialize(seed)
    chunks = Chunks(Histories.of(learned, len(items)), rules.context, seed)
    batch = rules.batch_size
    steps = round(rules.epochs * len(chunks) / batch)
    optimization = Optimization(
        rules.optimizer,  # type: ignore[arg-type]
        rules.learning_rate,
        rules.matrix_learning_rate,
        rules.weight_decay,
        dtype=torch.float32,
    )
    schedule = Schedule([(0, steps)], round(rules.warmup * steps), decay=rules.decay)
    loop = Loop(
        loss_sum=network.loss,
        parameters=list(network.parameters()),
        optimizers=make_optimizers(network, optimization),
        micro_batches=lambda step: chunks.micro_batches(step * batch, batch, batch),
        rate=schedule.rate,
        seed=seed,
    )
    for step in loop.take(range(steps)):
        if step.step % max(1, steps // 10) == 0:
            epochs = step.step * batch / len(chunks)
            progress(f"  {epochs:.1f} epochs: loss {step.loss:.3f}")
    return network, texts


def gains(scores: np.ndarray, cases: Sequence[Case]) -> np.ndarray:
    """The NDCG@10 of each case; films of its history are not ranked."""
    found = np.zeros(len(cases))
    for place, (row, case) in enumerate(zip(scores, cases, strict=True)):
        row = row.copy()
        row[case.history] = -np.inf
        rank = int((row > row[case.target]).sum())
        found[place] = 1 / np.log2(rank + 2) if rank < TOP else 0.0
    return found


def interval(found: np.ndarray) -> dict[str, float]:
    deviation = 1.96 * found.std(ddof=1) / len(found) ** 0.5
    return {"ndcg": round(float(found.mean()), 4), "±": round(float(deviation), 4)}


def next_films(network: ItemGPT, films: Films) -> dict[str, Any]:
    """NDCG@10 of the last film of each user and of the one before."""
    result = {}
    for name, at in (("validation", -2), ("test", -1)):
        cases = [Case(history[:at], history[at]) for history in films.histories]
        result[name] = interval(gains(network.scores([case.history for case in cases]), cases))
    return result


def new_films(network: ItemGPT, texts: ItemTexts, films: Films) -> dict[str, Any]:
    """NDCG@10 of events with new films and with others, by the offset of new films."""
    events = [
        Case(history[:at], history[at])
        for history in films.histories
        for at in range(1, len(history))
    ]
    new = [case for case in events if case.target >= films.learned]
    last = [
        Case(history[:at], history[at])
        for history in films.histories
        for at in (-2, -1)
        if history[at] < films.learned
    ]
    draw = np.random.default_rng(1)
    chosen = [new[i] for i in draw.permutation(len(new))[:JUDGED]]
    rows = network.vectors(torch.from_numpy(texts.features(films.items[films.learned :])))
    scores = network.scores([case.history for case in chosen], rows)
    others = network.scores([case.history for case in last], rows)
    result: dict[str, Any] = {"share": round(len(new) / len(events), 3)}
    for offset in OFFSETS:
        for each in (scores, others):
            each[:, films.learned :] += offset
        left = others.copy()
        for row, case in zip(left, last, strict=True):
            row[case.history] = -1e4
        chances = torch.from_numpy(left).softmax(-1)[:, films.learned :].sum(-1)
        result[f"offset {offset:g}"] = {
            "new": interval(gains(scores, chosen)),
            "old": interval(gains(others, last)),
            "mass": round(float(chances.mean()), 3),
        }
        for each in (scores, others):
            each[:, films.learned :] -= offset
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
        events=sum(map(len, films.histories)),
        parameters=sum(weight.numel() for weight in network.parameters()),
        width=network.config.hidden_size,
        rules=asdict(rules),
        runs=runs,
        machine=facts,
    )


if __name__ == "__main__":
    main()
