"""A training step of a model that computes its loss in chunks of tokens, beside one that computes
all logits at once; and how exact PyTorch's own `linear_cross_entropy` is.

    python benchmarks/loss_chunks.py [--steps 3]

8 windows of 512 tokens, forward and backward, bf16, eager. Seconds are those of the fastest of the
steps after the first; memory is the peak of the process beside what it held before the first step.
Each has a process of its own. The sums are those of the losses of 4,096 random states and targets.
"""

import argparse
import time
from typing import Any

import torch
import torch.nn.functional as F
from common import in_own_process, machine, peak_gigabytes, report

from xinye.model import loss
from xinye.model.gpt import GPT
from xinye.planning.network import network
from xinye.planning.settings import PretrainSettings

SHAPES = {"8x384": (8, 384, 32_000), "6x256": (6, 256, 6_400)}  # layers, width, vocabulary
WINDOWS, CONTEXT = 8, 512


def measure(shape: str, how: str, steps: int) -> dict[str, Any]:
    """The seconds of the fastest step, and the memory."""
    layers, width, vocabulary = SHAPES[shape]
    model = GPT(network(PretrainSettings(), 0, vocabulary, CONTEXT, width, layers)).train()
    model.initialize(0)
    model.compute_dtype = torch.bfloat16
    tokens = torch.randint(vocabulary, (WINDOWS, CONTEXT))
    loss.pays = lambda weight, tokens: how == "chunks"
    before, seconds = peak_gigabytes(), []
    for _ in range(1 + steps):
        start = time.perf_counter()
        model.loss(tokens, tokens.roll(-1, 1)).backward()
        seconds.append(round(time.perf_counter() - start, 2))
        model.zero_grad()
    return {"seconds": min(seconds[1:]), "gigabytes": round(peak_gigabytes() - before, 2)}


def sums() -> dict[str, float]:
    """The sum of the losses of states in bf16: with logits in fp32, ours, and PyTorch's in
    chunks."""
    torch.manual_seed(0)
    states = torch.randn(WINDOWS * CONTEXT, 384, dtype=torch.bfloat16)
    weight = (torch.randn(4_000, 384) / 384**0.5).bfloat16()
    targets = torch.randint(4_000, (WINDOWS * CONTEXT,))
    found = {
        "fp32": F.cross_entropy(states.float() @ weight.float().T, targets, reduction="sum"),
        "ours": loss.cross_entropy_of_states(states, weight, targets),
        "linear_cross_entropy": torch.nn.functional.linear_cross_entropy(
            states,
            weight,
            targets,
            reduction="sum",
            options=torch.nn.LinearCrossEntropyOptions(),
        ),
    }
    return {name: round(float(value)) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        return report(**measure(*options.alone, options.steps))

    steps = ("--steps", str(options.steps))
    cells = {
        f"{shape}, {how}": in_own_process(*steps, "--alone", shape, how)
        for shape in SHAPES
        for how in ("whole", "chunks")
    }
    report(benchmark="loss chunks", machine=machine("torch"), **cells, sums=sums())


if __name__ == "__main__":
    main()
