"""How often the documents of the demo's desks answer, and how often rightly.

    OMP_NUM_THREADS=1 python benchmarks/support_documents.py

The questions in `support_questions_zh.jsonl` and `support_questions_en.jsonl` are written by hand,
those with a passage from the handbooks and as many near them that these do not answer. Beside the
desk stands the same knowledge base as it calibrates itself, on questions made of its passages.
Prints one JSON object last.
"""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import progress, report

from xinye.apps.support.messages import Message
from xinye.apps.support.prepare import prepare
from xinye.apps.support.prepare_settings import PrepareSettings
from xinye.apps.support.replies import Answerer
from xinye.demo.support import Shop
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.refusal import calibrate_itself, judge


def main() -> None:
    found = {}
    for language in ("zh", "en"):
        with tempfile.TemporaryDirectory() as folder:
            found[language] = figures(language, Path(folder))
        progress(f"{language}: {found[language]}")
    report(benchmark="support documents", results=found)


def figures(language: str, folder: Path) -> dict[str, Any]:
    """The figures of a language's shop. A pair counts quoted passages, and right ones."""
    shop = Shop(language)
    shop.write_log(folder / "log.csv")
    (folder / "handbook").mkdir()
    shop.write_handbook(folder / "handbook")
    desk = folder / "desk"
    names = [str(folder / "handbook")]
    prepare(
        PrepareSettings(logs=[str(folder / "log.csv")], output=desk, knowledge=names, time="0s")
    )
    asked = Path(__file__).with_name(f"support_questions_{language}.jsonl")
    rows = [json.loads(line) for line in asked.read_text("utf-8").splitlines()]
    bot = Answerer.read(desk)
    replies = [bot.answer([Message.of_customer(row["question"])]) for row in rows]
    base, _ = KnowledgeBase.build(folder / "own", names)
    calibrate_itself(base, bot.desk.settings.precision)
    return {
        "questions": len(rows),
        "answerable": sum(bool(row["passage"]) for row in rows),
        "by the FAQ": sum(each.kind == "faq" for each in replies),
        "quoted": counted(rows, [each.text if each.kind == "passage" else "" for each in replies]),
        "calibrated by itself": counted(rows, [quoted(base, row["question"]) for row in rows]),
    }


def quoted(base: KnowledgeBase, question: str) -> str:
    """The passage that a base answers with by itself; "" if it refuses."""
    found = base.search(question, 5)
    verdict = judge(base, question, found)
    return "" if verdict is None or verdict.refused else found[0].text


def counted(rows: Sequence[dict[str, Any]], texts: Sequence[str]) -> tuple[int, int]:
    right = [
        bool(row["passage"]) and row["passage"] in text
        for row, text in zip(rows, texts, strict=True)
        if text
    ]
    return len(right), sum(right)


if __name__ == "__main__":
    main()
