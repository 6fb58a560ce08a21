"""Answers to questions: from a passage, and from a knowledge base of all passages.

    python benchmarks/answers.py cmrc --model runs/chinese
    python benchmarks/answers.py xquad --model SmolLM2-135M-Instruct.Q4_1.gguf --method lora

| row | learns from | is judged on |
|---|---|---|
| cmrc | DRCD dev in simplified characters, CMRC trial, XQuAD zh | CMRC dev, from its own passage and |
| | | from a knowledge base of all its passages |
| xquad | half of the passages of XQuAD en, seed 0 | the other half |

The base of `cmrc` is that of `chinese_base.py`. F1 is that of words, a Han character being one;
beside it stands the sentence of the passage that shares most with the question. Data is read in
place from `--data`. Prints one JSON object last.
"""

import argparse
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

from chinese_base import passages, squad
from common import machine, progress, report

import xinye
from xinye.cli.output import Display
from xinye.data.files import write_json_lines
from xinye.evaluation import answers
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.sentences import best_sentence

ROWS = ("cmrc", "xquad")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("row", choices=ROWS)
    parser.add_argument("--model", required=True, help="the base to begin with")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--method", default="full", help="of fine-tuning")
    parser.add_argument("--epochs", type=float, help="of fine-tuning")
    parser.add_argument("--cloze", type=int, default=0, help="questions made from each passage")
    parser.add_argument("--other-passages", type=float, default=0.0)
    parser.add_argument("--settings", type=json.loads, default={}, help="further ones, as JSON")
    parser.add_argument("--asked", type=int, help="questions of the knowledge base (all)")
    parser.add_argument("--reader", help="a model that was fine-tuned before, judged only")
    parser.add_argument("-o", "--output", type=Path, help="keep the model in this folder")
    options = parser.parse_args()
    facts = machine("torch")
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = run(options, folder)
    told = {name: value for name, value in vars(options).items() if name not in ("data", "output")}
    report(benchmark="answers", figures=figures, settings=told, machine=facts)


def run(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    training, test = parts(options.row, options.data)
    files = {"training": folder / "training.jsonl", "test": folder / "test.jsonl"}
    for path, found in zip(files.values(), (training, test), strict=True):
        write_json_lines(path, records(found))
    figures: dict[str, Any] = {}
    begin = time.perf_counter()
    if options.reader:
        model = xinye.load(options.reader)
    else:
        model = finetuned(options, files["training"], folder)
    figures["finetuning_seconds"] = round(time.perf_counter() - begin)
    begin = time.perf_counter()
    judged = model.evaluate_task(files["test"])
    figures |= {"from_passage": judged["measured"], "best_sentence": judged["baseline"]}
    figures["evaluation_seconds"] = round(time.perf_counter() - begin)
    progress(json.dumps(figures, ensure_ascii=False))
    if options.row == "cmrc":
        figures["from_knowledge"] = from_knowledge(model, test, folder, options.asked)
    return figures


def finetuned(options: argparse.Namespace, training: Path, folder: Path) -> Any:
    settings = {"epochs": options.epochs} if options.epochs else {}
    with Display() as display:
        return xinye.finetune(
            options.model, folder / "run", task="answer", data=training, method=options.method,
            cloze=options.cloze, other_passages=options.other_passages, overwrite=True,
            observer=display, absent_answers="none", bad_records="skip", **settings,
            **options.settings,
        )  # fmt: skip


def from_knowledge(
    model: Any, test: list[dict[str, Any]], folder: Path, asked: int | None
) -> dict[str, Any]:
    """The figures of answers from a base of all passages: how often the right one is among the
    first, and how well the answers fit."""
    texts = folder / "passages.jsonl"
    write_json_lines(texts, [{"text": passage["context"]} for passage in test])
    base, _ = KnowledgeBase.build(folder / "knowledge", [texts], overwrite=True)
    questions = records(test)
    random.Random(0).shuffle(questions)
    questions = questions[:asked]
    found, first, five, sentences = [], 0, 0, []
    begin = time.perf_counter()
    for each in questions:
        answered = model.answer(each["question"], knowledge=base)
        found.append(answered.text)
        own = [passage.text in each["context"] for passage in answered.found]
        first += own[:1] == [True]
        five += any(own[:5])
        best = best_sentence(each["question"], [passage.text for passage in answered.found[:1]])
        sentences.append(best.text if best else "")
    seconds = time.perf_counter() - begin
    right = [[each["text"] for each in question["answers"]] for question in questions]
    return {
        "questions": len(questions), "recall_at_1": first / len(questions),
        "recall_at_5": five / len(questions), **answers.measure(found, right),
        "refused": sum(not text for text in found) / len(found),
        "best_sentence": answers.measure(sentences, right),
        "seconds_per_question": seconds / len(questions),
    }  # fmt: skip


def parts(row: str, data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The passages with questions to learn from, and those to be judged on."""
    if row == "cmrc":
        dev = json.loads((data / "cmrc2018_zh/cmrc2018_dev.json").read_text("utf-8"))
        return list(passages(data)), list(squad(dev))
    found = list(squad(json.loads((data / "xquad_en_zh/xquad.en.json").read_text("utf-8"))))
    random.Random(0).shuffle(found)
    return found[: len(found) // 2], found[len(found) // 2 :]


def records(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {"context": passage["context"], "question": qa["question"], "answers": qa["answers"]}
        for passage in found
        for qa in passage["qas"]
    ]


if __name__ == "__main__":
    main()
