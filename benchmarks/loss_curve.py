"""Draw the loss curve of a run.

python benchmarks/loss_curve.py runs/novel -o docs/novels.svg
"""

import argparse
import json
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    lines = (arguments.run / "training" / "metrics.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [record for record in records if record["kind"] == "step"]
    validated = [record for record in records if record["kind"] in ("validation", "result")]
    minutes, spent = [], 0.0
    for record in steps:
        spent += record["seconds"] / 60
        minutes.append(spent)
    width = max(1, len(steps) // 100)
    losses = [record["loss"] for record in steps]
    smooth = [
        sum(losses[max(0, i - width) : i + 1]) / (i + 1 - max(0, i - width))
        for i in range(len(losses))
    ]
    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(minutes, smooth, color="#9ccc65", label="training, nats per token")
    at = [minutes[record["step"] - 1] for record in validated]
    axes.plot(
        at,
        [record["loss"] for record in validated],
        "o-",
        color="#2e7d32",
        ms=3,
        label="validation",
    )
    axes.set(xlabel="minutes of training", ylabel="loss")
    axes.grid(alpha=0.25)
    second = axes.twinx()
    second.plot(
        at,
        [record["bits_per_byte"] for record in validated],
        "--",
        color="#90a4ae",
        label="bits per byte",
    )
    second.set_ylabel("bits per byte")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(arguments.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
