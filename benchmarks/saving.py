"""How long a checkpoint that is saved while training goes on holds the training up.

    python benchmarks/saving.py [--size 15M] [--steps 80]

Two processes train a model that is split between them; in the second half of the run they begin to
save after every tenth step. `stall_in_steps` is by how many steps those ten steps, with the call,
are longer than ten steps of the first half; `call_seconds` is how long the loop waits for the call.
One process that saves the same model at once stands beside them.
"""

import argparse
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

EVERY = 10
LINE = "Whether 'tis nobler in the mind to suffer, or to take arms against a sea of troubles."


class Saving(Session):
    """A session that saves after every tenth step of the second half, and notes when."""

    def take_steps(self) -> None:
        self.ends: list[float] = []  # of each step
        self.calls: list[float] = []  # the seconds of each call to save
        super().take_steps()
        half = self.plan.steps // 2
        usual = statistics.median(b - a for a, b in zip(self.ends, self.ends[1:half], strict=False))
        saves = range(half, self.plan.steps - EVERY, EVERY)
        stalls = [(self.ends[at + EVERY] - self.ends[at]) / usual - EVERY for at in saves]
        found = {
            "step_seconds": usual,
            "call_seconds": self.calls,
            "stall_in_steps": stalls,
            "largest_stall_in_steps": max(stalls),
        }
        if self.group.first:
            Path(os.environ["FOUND"]).write_text(json.dumps(found), "utf-8")

    def after(self, record: Step) -> bool:
        self.ends.append(time.perf_counter())
        ended = super().after(record)
        at = record.step - 1
        if at >= self.plan.steps // 2 and at % EVERY == 0:
            self.save()
            self.calls.append(time.perf_counter() - self.ends[-1])
        return ended


def worker(size: str, steps: int) -> None:
    """One of the processes that train."""
    train.Session = Saving  # type: ignore[misc]
    settings = PretrainSettings(
        files=("text.txt",), output=Path("run"), size=size, steps=steps, evaluations=1, optimizer="adamw",
        context=128, batch_size=8, micro_batch_size=4, parallel="fsdp", vocab_size=300, prompt="Whether",
    )  # fmt: skip
    train.pretrain(settings, overwrite=True)


def measured(processes: int, arguments: list[str]) -> dict[str, Any]:
    """What so many processes found."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = (f"{number} {LINE}\n\n" for number in range(5000))
        (folder / "text.txt").write_text("".join(lines), "utf-8")
        start = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes)]
        command = [*start, str(Path(__file__).resolve()), "--worker", *arguments]
        threads = str(max(1, (os.cpu_count() or 1) // processes))
        environment = os.environ | {"FOUND": str(folder / "found"), "OMP_NUM_THREADS": threads}
        subprocess.run(command, cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
        return json.loads((folder / "found").read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="15M")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.worker:
        worker(asked.size, asked.steps)
        return
    before = machine("torch")
    arguments = ["--size", asked.size, "--steps", str(asked.steps)]
    found = {f"processes_{count}": measured(count, arguments) for count in (1, 2)}
    report(machine=before, size=asked.size, steps=asked.steps, **found)


if __name__ == "__main__":
    main()
