"""Tatoeba's English and Chinese sentences: the parts to train and to judge on, and the baselines.

    python benchmarks/tatoeba.py -o tatoeba

Writes `training.tsv`, `validation.tsv` and `test.tsv` with the columns `en` and `zh`. Pairs that share a
sentence stay in the same part, so no sentence of the test occurs in training. Judges a translation memory,
and a phrase table with a trigram model, on the test. Data is read in place from `--data`. Prints one JSON
object last.
"""

import argparse
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from common import machine, report

from xinye.evaluation.translation import Pair, measure, signatures, translated
from xinye.evaluation.translation_by_phrases import phrases
from xinye.evaluation.translation_memory import memory
from xinye.tasks.translate_records import components

FILE = Path("tatoeba_en_zh", "cmn.txt")
VALIDATION, TEST = 500, 1000  # pairs
BASELINES = {"translation memory": memory, "phrase table with a trigram model": phrases}
Pairs = list[tuple[str, str]]  # English and Chinese


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("-o", "--output", type=Path, help="write the three parts to this folder")
    options = parser.parse_args()
    facts = machine("sacrebleu", "scikit-learn")
    training, validation, test = split(options.data / FILE)
    if options.output:
        write(options.output, training=training, validation=validation, test=test)
    asked = directions(test)
    report(
        benchmark="tatoeba",
        pairs=[len(training), len(validation), len(test)],
        figures={name: judged(name, directions(training), asked) for name in BASELINES},
        signatures=signatures(asked),
        machine=facts,
    )


def split(path: Path) -> tuple[Pairs, Pairs, Pairs]:
    """The pairs to train on, to choose by and to test on, by connected components of equal
    sentences (seed 0). Equal pairs count once."""
    lines = path.read_text("utf-8").splitlines()
    pairs = list(dict.fromkeys((line.split("\t")[0], line.split("\t")[1]) for line in lines))
    groups: defaultdict[int, Pairs] = defaultdict(list)
    for pair, group in zip(pairs, components(pairs), strict=True):
        groups[group].append(pair)
    shuffled = list(groups.values())
    random.Random(0).shuffle(shuffled)
    training, validation, test = Pairs(), Pairs(), Pairs()
    for group in shuffled:
        if len(test) + len(group) <= TEST:
            test += group
        elif len(validation) + len(group) <= VALIDATION:
            validation += group
        else:
            training += group
    return training, validation, test


def directions(pairs: Pairs) -> list[Pair]:
    """Each pair in both directions."""
    return [Pair(en, zh, "zh") for en, zh in pairs] + [Pair(zh, en, "en") for en, zh in pairs]


def judged(name: str, training: list[Pair], test: list[Pair]) -> dict[str, Any]:
    """The figures of a baseline, and its seconds of processor time."""
    start = time.process_time()
    written = translated(BASELINES[name], training, test)
    return {**measure(written, test), "seconds": round(time.process_time() - start)}


def write(folder: Path, **parts: Pairs) -> None:
    """The parts as tables of two columns."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, pairs in parts.items():
        write_pairs(folder / f"{name}.tsv", pairs)


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Pairs as a table of two columns."""
    rows = [("en", "zh"), *pairs]
    path.write_text("".join("\t".join(row) + "\n" for row in rows), "utf-8")


if __name__ == "__main__":
    main()
