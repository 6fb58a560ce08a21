"""What it costs to note every step: metrics.jsonl, and each tracker beside it.

    python benchmarks/tracking.py [--steps N]

A small network takes real steps, one variant after the other. `noting_milliseconds` is what the
loop waits for notes, per step, the last write included; `of_step` is its share of a step;
`processor_milliseconds` is all that this process works for it, threads included (Weights & Biases
has a process of its own beside).
"""

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from common import in_turn, machine, report
from throughput import Shape, make_model

from xinye.data.batches import Batch
from xinye.planning.settings import TRACKERS
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.trackers import Trackers

# 1M, the smallest by name
SHAPE = Shape(layers=2, width=192, context=256, batch=8, vocabulary=1024, steps=0)
ROUNDS = 3


def run(names: list[str], steps: int) -> dict[str, float]:
    """Seconds of a step, and of noting it."""
    model = make_model(SHAPE, "modern", torch.float32)
    tokens = torch.randint(SHAPE.vocabulary, (SHAPE.batch, SHAPE.context))
    batch = Batch(tokens, tokens.roll(-1, dims=1), None, None)
    optimizers = make_optimizers(model, Optimization("muon", 1e-2, 0.02, 0.1))
    loss = partial(lambda batch: model.loss(batch.tokens, batch.targets))
    loop = Loop(loss, list(model.parameters()), optimizers, lambda _: [batch], lambda _: 1.0)
    records = loop.take(0, lambda: steps)
    training, noting, working = [], 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "training").mkdir()
        trackers = Trackers(names, Path(folder), {}, 0, print)
        assert len(trackers.trackers) == len(names)
        with open(Path(folder) / "training" / "metrics.jsonl", "w", encoding="utf-8") as metrics:
            for record in records:
                training.append(record.seconds)
                begin, before = time.perf_counter(), time.process_time()
                noted = {"kind": "step", **asdict(record)}
                metrics.write(json.dumps(noted) + "\n")
                metrics.flush()
                trackers.step(record, steps)
                noting, working = (
                    noting + time.perf_counter() - begin,
                    working + time.process_time() - before,
                )
        begin, before = time.perf_counter(), time.process_time()
        trackers.ended(KeyboardInterrupt())
        noting, working = (
            noting + time.perf_counter() - begin,
            working + time.process_time() - before,
        )
    return {
        "step": statistics.median(training),
        "noting": noting / steps,
        "working": working / steps,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    facts = machine("torch", "tensorboard", "wandb", "mlflow-skinny")
    variants = {"metrics.jsonl": partial(run, [], options.steps)}
    variants |= {f"and {name}": partial(run, [name], options.steps) for name in TRACKERS}
    rows: dict[str, dict[str, Any]] = {}
    for name, rounds in in_turn(variants, ROUNDS).items():
        middle = {
            figure: statistics.median(each[figure] for each in rounds) for figure in rounds[0]
        }
        rows[name] = {
            "step_milliseconds": round(1000 * middle["step"], 1),
            "noting_milliseconds": round(1000 * middle["noting"], 3),
            "of_step": round(middle["noting"] / middle["step"], 4),
            "processor_milliseconds": round(1000 * middle["working"], 3),
        }
    report(benchmark="tracking", machine=facts, steps=options.steps, variants=rows)


if __name__ == "__main__":
    main()
