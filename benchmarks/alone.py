"""What leaving a run alone costs: the stall of one checkpoint in steps, and two processes against
one.

    python benchmarks/alone.py [FILES…] [--size 15M] [--steps 12] [--rounds 2]

Trains on the FILES (else the built-in stories) for some steps and looks at the run's own figures:
the time of saving, divided by the times it saved and by the median of a step; then the same run
with `--processes 2`, in turn.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import machine, report

from xinye.demo.stories import stories


def train(
    folder: Path, name: str, files: list[str], options: argparse.Namespace, *more: str
) -> dict[str, Any]:
    """The figures of a run of some steps: seconds of a step, seconds of a checkpoint, tokens per
    second."""
    command = [
        *(sys.executable, "-m", "xinye", "pretrain", *files, "-o", str(folder / name)),
        *(
            "--size",
            options.size,
            "--steps",
            str(options.steps),
            "--evaluations",
            "3",
            "--compile",
            "no",
            *more,
        ),
    ]
    subprocess.run(command, check=True, capture_output=True)
    training = folder / name / "training"
    result = json.loads((training / "result.json").read_text("utf-8"))
    records = [
        json.loads(line) for line in (training / "metrics.jsonl").read_text("utf-8").splitlines()
    ]
    seconds = statistics.median(
        record["seconds"] for record in records[2:] if record["kind"] == "step"
    )
    saves = sum(record["kind"] == "validation" for record in records) + 1
    step_tokens = statistics.median(
        record["tokens"] for record in records if record["kind"] == "step"
    )
    return {
        "parameters": result["parameters"],
        "step_seconds": round(seconds, 3),
        "checkpoint_seconds": round(result["time_seconds"]["saving"] / saves, 3),
        "checkpoint_steps": round(result["time_seconds"]["saving"] / saves / seconds, 3),
        "tokens_per_second": round(step_tokens / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*")
    parser.add_argument("--size", default="15M")
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = options.files
        if not files:
            (folder / "stories.txt").write_text(
                "\n".join(stories(5000, "zh") + stories(5000, "en")), "utf-8"
            )
            files = [str(folder / "stories.txt")]
        rounds = [
            (
                train(folder, f"one-{i}", files, options),
                train(folder, f"two-{i}", files, options, "--processes", "2"),
            )
            for i in range(options.rounds)
        ]
    ratios = [two["tokens_per_second"] / one["tokens_per_second"] for one, two in rounds]
    report(
        benchmark="alone",
        machine=machine("torch"),
        rounds=[{"one process": one, "two processes": two} for one, two in rounds],
        two_to_one=round(statistics.median(ratios), 3),
    )


if __name__ == "__main__":
    main()
