"""Thirty steps of a tiny model on Chinese and on English stories: the losses are those that were recorded.

Exactly, where the record was made on such a processor, with the same instruction sets, libraries and number of threads;
else within 1e-3, since processors round sums differently. After a
change that is meant to change them, renew the record and say why in the commit:

    python tests/recipes/test_golden.py
"""

import hashlib
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch

from xinye import machine as hardware
from xinye.data.stories import stories
from xinye.recipes.pretrain import pretrain
from xinye.recipes.settings import PretrainSettings

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


def losses(folder: Path, language: str) -> list[float]:
    text = folder / f"{language}.txt"
    text.write_text("\n\n".join(stories(60, language)), "utf-8")
    settings = PretrainSettings(
        files=(str(text),), document_separator="\n\n", output=folder / f"run-{language}", steps=30, evaluations=1,
        size="1M", layers=2, width=64, context=64, batch_size=8, micro_batch_size=4, dropout=0.1, vocab_size=600,
        dtype="float32", compile="no",
    )  # fmt: skip
    assert pretrain(settings) is not None
    lines = (settings.output / "training" / "metrics.jsonl").read_text("utf-8").splitlines()  # type: ignore[operator]
    return [record["loss"] for record in map(json.loads, lines) if record["kind"] == "step"]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_losses_are_those_on_record(tmp_path: Path, language: str) -> None:
    record = json.loads(RECORD.read_text("utf-8"))
    found = losses(tmp_path, language)
    if record["machine"] == machine():
        assert found == record[language]
    else:
        assert found == pytest.approx(record[language], abs=1e-3)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        renewed = {"machine": machine(), **{language: losses(Path(name), language) for language in ("zh", "en")}}
    RECORD.write_text(json.dumps(renewed, indent=1) + "\n", "utf-8")
    sys.exit(0)
