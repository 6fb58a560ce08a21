"""How well a FAQ is matched, and what it refuses, beside BM25 with a threshold.

    OMP_NUM_THREADS=1 python benchmarks/support.py medical egret scope

| row | FAQ | asked |
|---|---|---|
| medical | titles of 1,000 doctors' records, without those of half of the questions | 300 of their patients' own words, cut at 80 characters |
| egret | 2,907 questions of a developers' forum | a tenth of them, reworded by the rules of `rewording.py` |
| intents | banking77's training part, with the network that `tasks.py banking77 -o` trained (`--model`) | its test part |
| scope | banking77 without a quarter of its intents; the forum | questions of these intents; patients' questions |

`medical` learns from the other records, unless title or question is nearly one of the 1,000: from all but 2,000 the
words, from these 2,000 weights and threshold. `egret` learns from questions that it makes of the FAQ's own. Data is read in place from `--data`. Prints one JSON object last.
"""

import argparse
import csv
import json
import random
import re
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chinese_base import FAQ, doctors_records
from common import machine, progress, report
from rewording import reworded

from xinye import api
from xinye.apps.support.classes import Classes
from xinye.apps.support.intents import Intents
from xinye.apps.support.matching import FAQMatcher, made_questions
from xinye.retrieval.confidence import lowest
from xinye.retrieval.index import Index, rarity_of

PRECISION = 0.95
CUT = 80  # characters of a patient's question
ASKED = 300
NEAR = 0.8  # share of common pairs of characters, from which on texts are nearly equal
CALIBRATED = 2000  # records whose questions the weights and the threshold come from
TENTHS = (0, 3, 4, 5, 6)  # seeds of `egret`; 1 and 2 were looked at while the matcher was written
DRAWS = 3  # of the questions of `medical` and the intents of `scope`
SCOPE = 600  # questions of each side of `scope`
Texts = Sequence[str]
Records = Sequence[dict[str, Any]]
Scorer = Callable[[str], tuple[int | None, float]]  # the entry for a question, and how sure that is


def main() -> None:
    rows: dict[str, Callable[..., dict[str, Any]]]
    rows = {"medical": medical, "egret": egret, "scope": scope, "intents": intents}
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", choices=rows)
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--model", type=Path, metavar="RUN", help="the network of `intents`")
    options = parser.parse_args()
    if "intents" in options.rows and not options.model:
        parser.error("intents needs --model")
    facts = machine("scikit-learn", "bm25s", "pypinyin")
    results = {}
    for row in options.rows:
        begin = time.perf_counter()
        results[row] = rows[row](options.data, *((options.model,) if row == "intents" else ()))
        results[row]["seconds"] = round(time.perf_counter() - begin, 1)
        progress(f"{row}: {json.dumps(results[row], ensure_ascii=False)}")
    report(benchmark="support", precision=PRECISION, rows=results, machine=facts)


def matching(matcher: FAQMatcher) -> Scorer:
    def score(question: str) -> tuple[int | None, float]:
        found = matcher.match(question)
        return (found.entry, found.confidence) if found else (None, 0.0)

    return score


def bm25(questions: Texts, entries: Sequence[int]) -> Scorer:
    index = Index.of(questions)

    def score(question: str) -> tuple[int | None, float]:
        scores = index.scores(rarity_of(question, [index]))
        return entries[int(scores.argmax())], float(scores.max())

    return score


# -- medical ---------------------------------------------------------------------------------------


def medical(data: Path) -> dict[str, Any]:
    records = doctors_records(data)
    tested, other = records[:FAQ], unlike(records[:FAQ], records[FAQ:])
    calibrated, learned = other[:CALIBRATED], unlike(other[:CALIBRATED], other[CALIBRATED:])
    matchers = {
        "matcher": medical_matcher(learned, calibrated, answers=False),
        "matcher_with_answers": medical_matcher(learned, calibrated, answers=True),
    }
    baseline = fixed_threshold(titles(calibrated), asks(calibrated))
    draws = [draw(matchers, baseline, tested, seed) for seed in range(DRAWS)]
    return {"learned_from": len(learned), "calibrated_on": len(calibrated), "draws": draws}


def medical_matcher(learned: Records, calibrated: Records, answers: bool) -> FAQMatcher:
    matcher = FAQMatcher()
    matcher.learn([*zip(asks(learned), titles(learned), strict=True)])
    numbers = range(len(calibrated))
    matcher.fit(titles(calibrated), numbers, answers_of(calibrated) if answers else None)
    matcher.calibrate([*zip(asks(calibrated), numbers, strict=True)], PRECISION)
    return matcher


def draw(
    matchers: dict[str, FAQMatcher], baseline: float, records: Records, seed: int
) -> dict[str, Any]:
    chosen = random.Random(seed).sample(range(len(records)), ASKED)
    hidden = {*chosen[: ASKED // 2]}
    known = [number for number in range(len(records)) if number not in hidden]
    wordings = [titles(records)[number] for number in known]
    questions = asks(records)
    found = {"bm25": answered(bm25(wordings, known), questions, chosen, hidden, baseline)}
    for name, matcher in matchers.items():
        told = answers_of(records) if name == "matcher_with_answers" else {}
        matcher.fit(wordings, known, {number: told[number] for number in known if told})
        least = matcher.threshold(PRECISION)
        found[name] = answered(matching(matcher), questions, chosen, hidden, least)
    return found


def answered(
    score: Scorer, questions: Texts, chosen: Sequence[int], hidden: set[int], least: float | None
) -> dict[str, Any]:
    """How many of the questions are answered from a threshold on, how many of these answers are
    right, and how many answers the threshold that these very questions would choose would give."""
    found = [score(questions[number]) for number in chosen]
    right = np.array(
        [entry == n and n not in hidden for (entry, _), n in zip(found, chosen, strict=True)]
    )
    values = np.array([value for _, value in found])
    given = values >= (np.inf if least is None else least)
    order = np.argsort(-values, kind="stable")
    reached = np.flatnonzero(right[order].cumsum() / np.arange(1, len(order) + 1) >= PRECISION)
    return {
        "answered": int(given.sum()),
        "right": int(right[given].sum()),
        "at_best": int(reached[-1]) + 1 if len(reached) else 0,
        "first_right": int(right.sum()),
    }


def fixed_threshold(wordings: Texts, questions: Texts) -> float:
    """The BM25 score from which on answers are precise, with each question asked with its title and
    without it."""
    index = Index.of(wordings)
    values, right = [], []
    for number, question in enumerate(questions):
        scores = index.scores(rarity_of(question, [index]))
        for _ in range(2):
            values.append(float(scores.max()))
            right.append(int(scores.argmax()) == number)
            scores[number] = 0
    found = lowest(np.array(values), np.array(right), PRECISION)
    return float("inf") if found is None else found


def unlike(tested: Records, others: Records) -> list[dict[str, Any]]:
    """The other records whose title and question are not nearly those of a tested one."""
    seen = {key: [pairs_of(record[key]) for record in tested] for key in ("title", "ask")}
    return [
        record
        for record in others
        if not any(
            len(own & pairs) >= NEAR * len(own | pairs)
            for key in seen
            for own in [pairs_of(record[key])]
            for pairs in seen[key]
        )
    ]


def pairs_of(text: str) -> frozenset[str]:
    text = re.sub(r"[\W_]+", "", text)
    return frozenset(text[at : at + 2] for at in range(max(1, len(text) - 1)))


def answers_of(records: Records) -> dict[int, str]:
    return {number: record["answer"] for number, record in enumerate(records)}


def titles(records: Records) -> list[str]:
    return [record["title"] for record in records]


def asks(records: Records) -> list[str]:
    return [record["ask"][:CUT] for record in records]


# -- egret -----------------------------------------------------------------------------------------


def egret(data: Path) -> dict[str, Any]:
    questions, answers = forum(data)
    entries = [*range(len(questions))]
    scorers = {
        "bm25": bm25(questions, entries),
        "matcher": matching(forum_matcher(questions)),
        "matcher_with_answers": matching(forum_matcher(questions, answers)),
    }
    draws = [recall(scorers, reworded_tenth(questions, seed)) for seed in TENTHS]
    shown = [(questions[number], text) for text, number in reworded_tenth(questions, 0)[:5]]
    means = {name: round(float(np.mean([each[name] for each in draws])), 1) for name in scorers}
    return {"recall_at_1": means, "draws": draws, "examples": shown}


def recall(scorers: dict[str, Scorer], asked: Sequence[tuple[str, int]]) -> dict[str, float]:
    """The share of the questions, in %, whose own entry comes first."""
    return {
        name: round(100 * sum(score(text)[0] == number for text, number in asked) / len(asked), 1)
        for name, score in scorers.items()
    }


def forum(data: Path) -> tuple[list[str], dict[int, str]]:
    """The questions of the forum, every second line, and their answers."""
    with zipfile.ZipFile(data / "dialog_corpus_zh/egret-wenda-corpus.zip") as archive:
        name = next(each for each in archive.namelist() if each.endswith("/egret_wenda_lines.txt"))
        lines = archive.read(name).decode("utf-8").splitlines()
    rows = [line.split(" +++$+++ ") for line in lines]
    texts = {int(row[0]): row[2].strip() for row in rows if len(row) > 2}
    asked = [number for number in sorted(texts) if number % 2 == 0 and texts[number]]
    answers = {at: texts.get(number + 1, "") for at, number in enumerate(asked)}
    return [texts[number] for number in asked], answers


def forum_matcher(questions: list[str], answers: dict[int, str] | None = None) -> FAQMatcher:
    entries = [*range(len(questions))]
    matcher = FAQMatcher()
    matcher.fit(questions, entries, answers)
    matcher.calibrate(made_questions(questions, entries), PRECISION, made=True)
    return matcher


def reworded_tenth(questions: Texts, seed: int) -> list[tuple[str, int]]:
    rng = random.Random(seed)
    chosen = rng.sample(range(len(questions)), len(questions) // 10)
    return [(reworded(questions[number], rng), number) for number in chosen]


# -- scope -----------------------------------------------------------------------------------------


def scope(data: Path) -> dict[str, Any]:
    questions, answers = forum(data)
    patients = asks(random.Random(0).sample(doctors_records(data), SCOPE))
    own = [text for text, _ in reworded_tenth(questions, 0)]
    scorers = {
        "bm25": bm25(questions, range(len(questions))),
        "matcher": matching(forum_matcher(questions, answers)),
    }
    return {
        "egret_and_patients": {
            name: auroc(score, own, patients) for name, score in scorers.items()
        },
        "banking77": [banking(data, seed) for seed in range(DRAWS)],
    }


def banking(data: Path, seed: int) -> dict[str, float]:
    """AUROC of questions of known and of held-out intents. A fifth of the training questions
    calibrates."""
    parts = banking_parts(data)
    rng = random.Random(seed)
    names = sorted({intent for _, intent in parts["train"]})
    strange = {*rng.sample(names, len(names) // 4)}
    numbers = {name: at for at, name in enumerate(names)}
    known = [(text, numbers[label]) for text, label in parts["train"] if label not in strange]
    rng.shuffle(known)
    held, learned = known[: len(known) // 5], known[len(known) // 5 :]
    wordings, entries = [text for text, _ in learned], [number for _, number in learned]
    matcher = FAQMatcher()
    matcher.fit(wordings, entries)
    matcher.calibrate(held, PRECISION)
    tested = rng.sample(parts["test"], len(parts["test"]))
    inside = [text for text, label in tested if label not in strange][:SCOPE]
    outside = [text for text, label in tested if label in strange][:SCOPE]
    scorers = {
        "bm25": bm25(wordings, entries),
        "tfidf_and_logistic": classifier(known),
        "matcher": matching(matcher),
    }
    scorers["mean_of_both"] = mean(scorers["tfidf_and_logistic"], scorers["matcher"])
    return {name: auroc(score, inside, outside) for name, score in scorers.items()}


def banking_parts(data: Path) -> dict[str, list[tuple[str, str]]]:
    """The questions of banking77 with their intents, to train and to test."""
    parts = {}
    for part in ("train", "test"):
        with (data / f"banking77_en/{part}.csv").open(encoding="utf-8", newline="") as file:
            parts[part] = [(row["text"], row["category"]) for row in csv.DictReader(file)]
    return parts


def mean(one: Scorer, other: Scorer) -> Scorer:
    """The mean confidence of two, if they agree; half of it if not."""

    def score(question: str) -> tuple[int | None, float]:
        (entry, first), (rival, second) = one(question), other(question)
        return entry, (first + second) / (2 if entry == rival else 4)

    return score


def classifier(known: Sequence[tuple[str, int]]) -> Scorer:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        LogisticRegression(C=10, max_iter=300),
    )
    model.fit([text for text, _ in known], [number for _, number in known])

    def score(question: str) -> tuple[int | None, float]:
        shares = model.predict_proba([question])[0]
        return int(model.classes_[shares.argmax()]), float(shares.max())

    return score


def auroc(score: Scorer, inside: Texts, outside: Texts) -> float:
    from sklearn.metrics import roc_auc_score

    values = [score(text)[1] for text in (*inside, *outside)]
    return round(float(roc_auc_score([1] * len(inside) + [0] * len(outside), values)), 3)


# -- intents ---------------------------------------------------------------------------------------


def intents(data: Path, run: Path) -> dict[str, Any]:
    """Accuracies, in %, of the linear model, of the network, and of both."""
    parts = banking_parts(data)
    begin = time.perf_counter()
    words = Classes.learn(*map(list, zip(*parts["train"], strict=True)))
    learning = time.perf_counter() - begin
    texts = [text for text, _ in parts["test"]]
    both = Intents(api.load(run), words)
    found = {
        "words": [words.probabilities(text) for text in texts],
        "network": [result["probabilities"] for result in both.network.classify(texts)],
        "both": both.probabilities(texts),
    }
    accuracies = {
        name: round(
            100
            * float(
                np.mean(
                    [
                        max(shares, key=shares.__getitem__) == label
                        for shares, (_, label) in zip(rows, parts["test"], strict=True)
                    ]
                )
            ),
            1,
        )
        for name, rows in found.items()
    }
    return {
        "accuracy": accuracies,
        "questions": len(texts),
        "seconds_to_learn_words": round(learning, 1),
    }


if __name__ == "__main__":
    main()
