"""How long a checkpoint that is saved while training goes on holds the training up.

    python benchmarks/saving.py [--size 15M] [--steps 30] [--every 5] [--context 256]

Two processes train a model that is split between them, and begin to save after every fifth step.
`stall_in_steps` is by how many steps those five, with the call, are longer than five of the usual
length, which is the median of the last three of them: by then the checkpoint is on the disk.
`call_seconds` is how long the loop waits for the call. One process that saves the same model at
once stands beside them. The steps are as long as the plan makes them, unless a batch or a
context is given.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, report

from xinye.planning.settings import PretrainSettings
from xinye.training import train
from xinye.training.loop import Step
from xinye.training.session import Session

LINE = "Whether 'tis nobler in the mind to suffer, or to take arms against a sea of troubles."


class Saving(Session):
    """A session that saves after every few steps, and notes when."""

    def take_steps(self) -> None:
        self.ends: list[float] = []  # of each step
        self.calls: list[float] = []  # the seconds of each call to save
        super().take_steps()
        every = int(os.environ["EVERY"])
        lengths = [after - before for before, after in itertools.pairwise(self.ends)]
        stalls = []
        for at in range(every, self.plan.steps - every, every):
            window = lengths[at : at + every]
            stalls.append(sum(window) / statistics.median(window[every // 2 :]) - every)
        found = {
            "step_seconds": statistics.median(lengths),
            "call_seconds": self.calls,
            "stall_in_steps": stalls,
            "median_stall_in_steps": statistics.median(stalls),
            "largest_stall_in_steps": max(stalls),
        }
        if self.group.first:
            Path(os.environ["FOUND"]).write_text(json.dumps(found), "utf-8")

    def after(self, record: Step) -> bool:
        self.ends.append(time.perf_counter())
        ended = super().after(record)
        at = record.step - 1
        if at and at % int(os.environ["EVERY"]) == 0:
            self.save()
            self.calls.append(time.perf_counter() - self.ends[-1])
        return ended


def worker(asked: argparse.Namespace) -> None:
    """One of the processes that train."""
    train.Session = Saving  # type: ignore[misc]
    settings = PretrainSettings(
        files=("text.txt",), output=Path("run"), size=asked.size, steps=asked.steps, evaluations=1,
        optimizer="adamw", context=asked.context, batch_size=asked.batch_size, parallel="fsdp",
        vocab_size=300, prompt="Whether",
    )  # fmt: skip
    train.pretrain(settings, overwrite=True)


def measured(processes: int, every: int, arguments: list[str]) -> dict[str, Any]:
    """What so many processes found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (f"{number} {LINE}\n\n" for number in range(5000))
        (folder / "text.txt").write_text("".join(lines), "utf-8")
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command = [*start, str(Path(__file__).resolve()), "--worker", *arguments]
        threads = str(max(1, (os.cpu_count() or 1) // processes))
        environment = os.environ | {
            "FOUND": str(folder / "found"),
            "EVERY": str(every),
            "OMP_NUM_THREADS": threads,
        }
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return json.loads((folder / "found").read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="15M")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--every", type=int, default=5, help="how many steps between two saves")
    parser.add_argument("--batch-size", type=int, help="texts in a step")
    parser.add_argument("--context", type=int, help="tokens in a text")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked)
        return
    before = machine("torch")
    arguments = sys.argv[1:]
    found = {f"processes_{count}": measured(count, asked.every, arguments) for count in (1, 2)}
    report(machine=before, asked=vars(asked), **found)


if __name__ == "__main__":
    main()
