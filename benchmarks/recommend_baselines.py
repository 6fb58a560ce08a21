"""The rankers that only count, on MovieLens: NDCG@10, new films by their texts, speed, memory.

    python benchmarks/recommend_baselines.py FOLDER [--new-items 0.1] [--events 10M]

FOLDER holds ratings.csv and movies.csv, split as in `recommend.py`. `validation` is measured on
rankers fitted on training events, `test` on those fitted on validation events, too; the weights of
the mixes come from validation. `gain` is the paired difference from item-Markov. Intervals are
95 % over users. `request_ms` is the time in which EASE, item-Markov and both kinds of popularity
score one history.

With `--new-items` this share of the films is left out of what is counted, and events with them are
predicted among all films. With `--events` the rankers are also fitted on so many invented events of
100,000 users with 20,000 items, each in its own process; `gigabytes` is the most memory of it, with
about 0.2 for ten million events themselves. Prints one JSON object last.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import in_own_process, machine, peak_gigabytes, progress, report
from recommend import JUDGED, Films, ndcg, read

from xinye.planning.units import parse_count
from xinye.ranking.fitted import Fitted
from xinye.ranking.histories import Histories
from xinye.ranking.item_texts import TextLikeness
from xinye.ranking.judging import Ranker, difference, judge
from xinye.ranking.mix import Mix
from xinye.ranking.rankers import EASE, ItemKNN, ItemMarkov, Popular, Recent
from xinye.ranking.split import of_items

KINDS: dict[str, Callable[[Histories], Ranker]] = {
    kind.name: kind.fit for kind in (Popular, Recent, ItemKNN, EASE, ItemMarkov)
}
USERS, ITEMS = 100_000, 20_000  # of the invented events


def next_films(films: Films) -> dict[str, Any]:
    """The figures of each ranker and of two mixes, on validation and test."""
    split, count = films.split, films.learned
    before: dict[str, Ranker] = {}
    fitted: dict[str, Ranker] = {}
    seconds: dict[str, float] = {}
    for name, fit in KINDS.items():
        before[name] = fit(split.training)
        begin = time.process_time()
        fitted[name] = fit(split.training_and_validation)
        seconds[name] = round(time.process_time() - begin, 2)
    weights: dict[str, list[float]] = {}
    for name, parts in (
        ("EASE + item-Markov", ("EASE", "item-Markov")),
        ("mix", ("EASE", "item-Markov", "most popular", "popular of late")),
    ):
        before[name] = mix = Mix.learn([before[part] for part in parts], split.validation, name)
        fitted[name] = Mix([fitted[part] for part in parts], mix.weights, name)
        weights[name] = mix.weights.round(3).tolist()
    tested = {name: judge(ranker, split.test, count) for name, ranker in fitted.items()}
    result: dict[str, Any] = {}
    for name, judged in tested.items():
        gain = difference(judged, tested["item-Markov"])
        result[name] = {
            "validation": ndcg(judge(before[name], split.validation, count)),
            "test": ndcg(judged),
            "hit_rate": round(float(judged.hits.mean()), 4),
            "coverage": round(judged.coverage, 3),
            "gain": {"ndcg": round(gain.mean, 4), "±": round(gain.interval, 4)},
        }
        result[name] |= {"fit_seconds": seconds[name]} if name in seconds else {}
        result[name] |= {"weights": weights[name]} if name in weights else {}
        progress(f"{name}: {result[name]}")
    return result


def new_films(films: Films) -> dict[str, Any]:
    """NDCG@10 of events with films that were never counted, among all films."""
    count = len(films.items)
    cases = of_items(films.histories, np.arange(count) >= films.learned, JUDGED)
    known = replace(films.split.training_and_validation, item_count=count)
    rankers: Sequence[Ranker] = (Popular.fit(known), TextLikeness.fit(films.items))
    return {each.name: ndcg(judge(each, cases, count)) for each in rankers}


def request_ms(films: Films) -> dict[str, float]:
    """Milliseconds of processor for one history, by all rankers of a recommender."""
    rankers = Fitted.fit(films.split.training_and_validation).rankers
    taken = []
    for case in films.split.test:
        begin = time.process_time()
        for ranker in rankers:
            ranker.scores([case.history])
        taken.append(1000 * (time.process_time() - begin))
    return {"median": round(float(np.median(taken)), 2), "p99": round(np.quantile(taken, 0.99), 2)}


def invented(events: int) -> Histories:
    """Events whose items are drawn independently, a few much more often than others."""
    each = events // USERS
    chances = 1 / np.arange(1, ITEMS + 1) ** 0.8
    items = np.random.default_rng(0).choice(ITEMS, each * USERS, p=chances / chances.sum())
    times = np.tile(np.arange(each, dtype=float), USERS)
    starts = np.arange(USERS + 1, dtype=np.int64) * each
    return Histories(starts, items.astype(np.int32), ITEMS, times)


def fit_one(name: str, events: int) -> None:
    """Print how long one ranker is fitted on invented events, and the memory that it takes."""
    histories = invented(events)
    begin = time.process_time()
    KINDS[name](histories)
    seconds = time.process_time() - begin
    report(seconds=round(seconds, 1), gigabytes=peak_gigabytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--new-items", type=float, default=0.0)
    parser.add_argument("--events", type=parse_count, default=0)
    parser.add_argument("--fit", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.fit:
        fit_one(options.fit, options.events)
        return
    facts = machine("numpy", "scipy")
    films = read(options.folder, options.new_items)
    figures: dict[str, Any] = {}
    if options.new_items:
        figures["new_films"] = new_films(films)
    else:
        figures = {"next_films": next_films(films), "request_ms": request_ms(films)}
    if options.events:
        arguments = (str(options.folder), "--events", str(options.events), "--fit")
        figures["invented"] = {name: in_own_process(*arguments, name) for name in KINDS}
    report(
        benchmark="recommend_baselines",
        users=len(films.histories),
        films=len(films.items),
        events=films.histories.event_count,
        **figures,
        machine=facts,
    )


if __name__ == "__main__":
    main()
