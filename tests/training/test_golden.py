"""Thirty steps of a tiny model on Chinese and on English stories, and what is taught to it by each
method: the losses are those that were recorded.

On one thread, and exactly, where the record was made on such a processor, with the same instruction
sets and libraries; else within 1e-3, since processors round sums differently. After a change
that is meant to change them, renew the record and say why in the commit:

    python tests/training/test_golden.py
"""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from xinye import machine as hardware
from xinye.demo.stories import stories
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.planning.settings import PretrainSettings
from xinye.tasks.exercises import notes, reviews
from xinye.training.train import finetune, pretrain

RECORD = Path(__file__).with_name("golden.json")


def machine() -> dict[str, Any]:
    """All that the last digits of a loss depend on."""
    instructions = hashlib.blake2b(hardware.instruction_sets().encode(), digest_size=8).hexdigest()
    return {
        "processor": hardware.processor(),
        "instruction_sets": instructions,
        "instruction_limits": {name: os.environ.get(name) for name in hardware.LIMITS},
        "threads": torch.get_num_threads(),
        "libraries": {name: version(name) for name in ("torch", "numpy", "tokenizers")},
    }


def pretrained(folder: Path, language: str) -> list[float]:
    text = folder / f"{language}.txt"
    text.write_text("\n\n".join(stories(60, language)), "utf-8")
    run = folder / f"run-{language}"
    settings = PretrainSettings(
        files=(str(text),), document_separator="\n\n", output=run, steps=30, evaluations=1,
        size="1M", layers=2, width=64, context=64, batch_size=8, micro_batch_size=4, dropout=0.1, vocab_size=600,
        dtype="float32", compile="no",
    )  # fmt: skip
    assert pretrain(settings) is not None
    return losses(run)


def answers(count: int, language: str) -> list[dict[str, Any]]:
    return [{"prompt": row["text"], "response": row["label"]} for row in reviews(count, language)]


RECORDS: dict[str, Any] = {"classify": reviews, "tag": notes, "chat": answers}
TAUGHT = (
    ("classify", "full"),
    *(("classify", method) for method in ("head", "lora", "adalora", "prefix", "adapter")),
    ("tag", "full"),
    ("chat", "full"),
    ("chat", "lora"),
)


def finetuned(folder: Path, task: str, method: str) -> list[float]:
    """Of the Chinese model, on records of the tea shop, with dropout and blotted-out tokens."""
    records, run = folder / f"{task}.jsonl", folder / f"{task}-{method}"
    records.write_text("".join(json.dumps(row) + "\n" for row in RECORDS[task](40, "zh")), "utf-8")
    settings = FinetuneSettings(
        model=str(folder / "run-zh"), task=task, data=(str(records),), method=method, output=run, epochs=2,
        evaluations=1, batch_size=8, micro_batch_size=4, dropout=0.1, dtype="float32", augment=("mask",),
        control=False,
    )  # fmt: skip
    finetune(settings)
    return losses(run)


def losses(run: Path) -> list[float]:
    lines = (run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    return [record["loss"] for record in map(json.loads, lines) if record["kind"] == "step"]


def all_of_them(folder: Path) -> dict[str, list[float]]:
    found = {language: pretrained(folder, language) for language in ("zh", "en")}
    return found | {f"{task} {method}": finetuned(folder, task, method) for task, method in TAUGHT}


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_the_losses_are_those_on_record(tmp_path: Path) -> None:
    record, found = json.loads(RECORD.read_text("utf-8")), all_of_them(tmp_path)
    if record.pop("machine") == machine():
        assert found == record
    else:
        assert found.keys() == record.keys()
        assert all(found[name] == pytest.approx(record[name], abs=1e-3) for name in found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        renewed = {"machine": machine(), **all_of_them(Path(name))}
    RECORD.write_text(json.dumps(renewed, indent=1) + "\n", "utf-8")
    sys.exit(0)
