"""How many questions a knowledge base answers at 95 % precision, when it cannot answer half of them.

    python benchmarks/refusal.py

| questions | base | calibrated on |
|---|---|---|
| 300 of CMRC dev | all its paragraphs, without those of half of the questions | CMRC trial and DRCD in simplified characters, or questions made of the base's own passages |
| 150 of doctors' records, cut at 80 characters | the titles of the 1,000 records, without those of half of the questions | 700 other records, or the base's own titles |

Right is an answer if the passage shown first is the question's own. The threshold comes from the calibration
alone; `at_best` is the number at the threshold that these very questions would choose. Data is read in
place from `--data`. Prints one JSON object last.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from chinese_base import FAQ, doctors_records, squad
from common import machine, progress, report

from xinye.data.files import write_json_lines
from xinye.retrieval.confidence import Calibration, Example
from xinye.retrieval.evaluation import Question
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import examples

PRECISION = 0.95
Asked = list[tuple[str, str]]  # a question, and the title of its passage


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    options = parser.parse_args()
    facts = machine("bm25s", "scikit-learn")
    with tempfile.TemporaryDirectory() as folder:
        figures = {
            "cmrc": cmrc(options.data, Path(folder)),
            "doctors": doctors(options.data, Path(folder)),
        }
    report(benchmark="refusal", precision=PRECISION, **figures, machine=facts)


def cmrc(data: Path, folder: Path) -> dict[str, Any]:
    import opencc

    trial = read_squad(data / "cmrc2018_zh/cmrc2018_trial.json", "trial")
    drcd = read_squad(data / "drcd_zh/DRCD_dev.json", "drcd", opencc.OpenCC("t2s").convert)
    random.Random(1).shuffle(drcd[1])
    other = base_of(folder / "other", trial[0] | drcd[0])
    learned = examples(other, with_places(trial[1] + drcd[1][:1000]))
    return measured(
        *read_squad(data / "cmrc2018_zh/cmrc2018_dev.json", "dev"), 300, folder / "cmrc", learned
    )


def doctors(data: Path, folder: Path) -> dict[str, Any]:
    records = doctors_records(data)
    known, other = records[:FAQ], records[FAQ : 2 * FAQ]
    base = base_of(folder / "titles", titles_of(other))
    learned = examples(base, with_places(random.Random(2).sample(asks_of(other), 700)))
    return measured(titles_of(known), asks_of(known), 150, folder / "doctors", learned)


def measured(
    passages: dict[str, str], asked: Asked, count: int, folder: Path, learned: list[Example]
) -> dict[str, Any]:
    """The figures of so many of the questions, the passages of half of which are left out."""
    chosen = random.Random(0).sample(asked, count)
    hidden: set[str] = set()
    for _, title in chosen:
        if sum(other in hidden for _, other in chosen) < count / 2:
            hidden.add(title)
    base = base_of(folder, {title: text for title, text in passages.items() if title not in hidden})
    questions = [
        Question(question) if title in hidden else Question(question, ((title, ""),))
        for question, title in chosen
    ]
    tested = examples(base, questions)
    own = Calibration.load(base.folder)
    right = np.array([each.right for each in tested])
    scores = np.array([each.score for each in tested])
    result: dict[str, Any] = {
        "questions": len(tested),
        "without_passage": sum(title in hidden for _, title in chosen),
        "first_passage_right": int(right.sum()),
        "bm25_score": {"at_best": at_best(scores, right)},
    }
    calibration = Calibration.fit(learned, PRECISION)
    least = calibration.threshold()
    if least.score is not None:
        result["bm25_score"] |= answered(scores >= least.score, right)
    for name, each in (("other_questions", calibration), ("own_passages", own)):
        if each:
            confidences = np.array([each.confidence(row.features) for row in tested])
            threshold = each.threshold(PRECISION).confidence
            result[name] = {
                **answered(confidences >= threshold, right),
                "at_best": at_best(confidences, right),
                "threshold": threshold,
                "weights": each.weights,
            }
    progress(json.dumps(result, ensure_ascii=False))
    return result


def answered(chosen: Any, right: Any) -> dict[str, Any]:
    precision = round(float(right[chosen].mean()), 3) if chosen.any() else None
    return {"answered": int(chosen.sum()), "precision": precision}


def at_best(values: Any, right: Any) -> int:
    """How many questions could be answered at the precision by any threshold."""
    order = np.argsort(-values, kind="stable")
    precisions = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    reached = np.flatnonzero(precisions >= PRECISION)
    return int(reached[-1]) + 1 if len(reached) else 0


# -- data ------------------------------------------------------------------------------------------


def read_squad(
    path: Path, name: str, convert: Callable[[str], str] = str
) -> tuple[dict[str, str], Asked]:
    """The passages by a title of their own, which tells nothing of them, and the questions."""
    passages, asked = dict[str, str](), Asked()
    for number, passage in enumerate(squad(json.loads(convert(path.read_text("utf-8"))))):
        title = f"{name}{number}"
        passages[title] = passage["context"]
        asked += [(each["question"], title) for each in passage["qas"] if each["question"].strip()]
    return passages, asked


def titles_of(records: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {f"record{number}": record["title"] for number, record in enumerate(records)}


def asks_of(records: Sequence[dict[str, Any]]) -> Asked:
    asked = [(record["ask"][:80], f"record{number}") for number, record in enumerate(records)]
    return [(ask, title) for ask, title in asked if ask.strip()]


def with_places(asked: Asked) -> list[Question]:
    return [Question(question, ((title, ""),)) for question, title in asked]


def base_of(folder: Path, passages: dict[str, str]) -> KnowledgeBase:
    rows = [{"title": title, "text": text} for title, text in passages.items()]
    write_json_lines(folder.with_suffix(".jsonl"), rows)
    return KnowledgeBase.build(folder, [folder.with_suffix(".jsonl")])[0]


if __name__ == "__main__":
    main()
