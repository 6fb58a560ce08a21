"""Written answers beside quoted ones: how often a model's answer from passages is shown, and how
often it contains the right one.

    python benchmarks/composing.py SmolLM2-135M-Instruct.Q4_1.gguf --questions 100

The questions are of XQuAD en, drawn with seed 0; the passages are found by BM25 among all 240
paragraphs. `written` are the answers as the model wrote them, `shown` those after the check of
their numbers and names, and `best sentence` is the baseline, which needs no model: the sentence of
the best passage with the most of the question's terms. An answer is right if it contains one of the
given answers, in any case. `words` is the mean length of an answer. Data is read in place from
`--data`. Prints one JSON object last.
"""

import argparse
import json
import random
import statistics
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from common import machine, progress, report

import xinye
from xinye.generation.sampling import ChatSampling
from xinye.jobs.composing import Composed, compose
from xinye.retrieval.index import Index, rarity_of
from xinye.retrieval.results import Found
from xinye.retrieval.sentences import best_sentence

SAMPLING = ChatSampling(temperature=0, max_tokens=80)


class Question(NamedTuple):
    text: str
    answers: tuple[str, ...]
    passage: str


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="a chat model")
    parser.add_argument(
        "--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data", metavar="FOLDER"
    )
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--passages", type=int, default=3, help="that the model reads")
    parser.add_argument("-o", "--output", type=Path, help="write question and answers to this file")
    options = parser.parse_args()
    facts = machine("torch", "bm25s")
    questions = read(options.data / "xquad_en_zh" / "xquad.en.json")
    paragraphs = [*dict.fromkeys(each.passage for each in questions)]
    index = Index.of(paragraphs)
    random.Random(0).shuffle(questions)
    questions = questions[: options.questions]
    engine = xinye.load(options.model).engine
    composed, quoted, seconds = list[Composed](), list[str](), list[float]()
    for number, question in enumerate(questions, 1):
        found = search(index, paragraphs, question.text, options.passages)
        begin = time.perf_counter()
        composed.append(compose(engine, question.text, found, SAMPLING))
        seconds.append(time.perf_counter() - begin)
        sentence = best_sentence(question.text, [found[0].text])
        quoted.append(sentence.text if sentence else "")
        progress(f"{number} of {len(questions)}: {seconds[-1]:.1f} s")
        if options.output:
            written = {"written": composed[-1].written, "shown": composed[-1].text}
            with options.output.open("a", encoding="utf-8") as file:
                file.write(json.dumps(question._asdict() | written) + "\n")
    report(
        model=options.model,
        questions=len(questions),
        passages=options.passages,
        fallen_back=share([each.fallen_back for each in composed]),
        cited_right=share(cites(*pair) for pair in zip(composed, questions, strict=True)),
        written=judged([each.written for each in composed], questions),
        shown=judged([each.text for each in composed], questions),
        shown_as_written=judged_kept(composed, questions),
        best_sentence=judged(quoted, questions),
        seconds=round(statistics.median(seconds), 2),
        machine=facts,
    )


def read(path: Path) -> list[Question]:
    """The questions of a SQuAD file."""
    return [
        Question(
            asked["question"], tuple(each["text"] for each in asked["answers"]), part["context"]
        )
        for article in json.loads(path.read_text("utf-8"))["data"]
        for part in article["paragraphs"]
        for asked in part["qas"]
    ]


def search(index: Index, paragraphs: list[str], question: str, count: int) -> list[Found]:
    scores = index.scores(rarity_of(question, [index]))
    return [
        Found(paragraphs[number], float(scores[number]), "", "", "", None, 0)
        for number in np.argsort(-scores, kind="stable")[:count]
    ]


def is_right(text: str, question: Question) -> bool:
    return any(answer.casefold() in text.casefold() for answer in question.answers)


def cites(composed: Composed, question: Question) -> bool:
    """Whether an answer cites the paragraph of the question."""
    return any(each.source.text == question.passage for each in composed.citations)


def judged(texts: list[str], questions: list[Question]) -> dict[str, float]:
    pairs = zip(texts, questions, strict=True)
    words = statistics.mean(len(text.split()) for text in texts) if texts else 0.0
    return {"right": share(is_right(*pair) for pair in pairs), "words": round(words, 1)}


def judged_kept(composed: list[Composed], questions: list[Question]) -> dict[str, float]:
    """The answers that are shown as the model wrote them, and those that are not."""
    pairs = [*zip(composed, questions, strict=True)]
    kept = [is_right(each.written, question) for each, question in pairs if not each.fallen_back]
    other = [is_right(each.written, question) for each, question in pairs if each.fallen_back]
    return {"right": share(kept), "right_of_those_fallen_back": share(other)}


def share(found: Iterable[bool]) -> float:
    values = [*found]
    return round(100 * statistics.mean(values), 1) if values else 0.0


if __name__ == "__main__":
    main()
