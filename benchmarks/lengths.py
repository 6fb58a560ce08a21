"""Memory after prompts of many lengths in bf16 on a CPU, for which oneDNN keeps code by shape.

    python benchmarks/lengths.py [--lengths N] [--multiple N]

`--multiple 1` reads the prompts in their own lengths; by default the runner rounds them up.
"""

import argparse
import random
from types import SimpleNamespace
from typing import Any

import torch
from common import machine, report

from xinye.generation.runner import LENGTHS, Runner
from xinye.generation.scheduler import Part
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT

SHORTEST, LONGEST, BLOCK = 40, 511, 32


def resident_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lengths", type=int, default=300, help="how many lengths (300)")
    parser.add_argument("--multiple", type=int, default=LENGTHS, help=f"({LENGTHS})")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = GPT(GPTConfig("llama", 2000, 128, 2, 4, 4, 32, 384, LONGEST + 1))
    model.eval().requires_grad_(False).to(torch.bfloat16)
    model.compute_dtype = torch.bfloat16
    blocks = [*range(-(-LONGEST // BLOCK))]
    runner = Runner(model, len(blocks), BLOCK)
    runner.multiple = options.multiple

    def read(length: int) -> None:
        place: Any = SimpleNamespace(read=0, blocks=blocks)
        runner.run([Part(place, [token % 2000 for token in range(length)], wanted=1)])

    lengths = random.Random(0).sample(range(SHORTEST, LONGEST), options.lengths)
    for length in (LONGEST, SHORTEST):
        read(length)
    megabytes = {0: round(resident_megabytes())}
    for number, length in enumerate(lengths, 1):
        read(length)
        if number % 100 == 0:
            megabytes[number] = round(resident_megabytes())
    facts = machine("torch")
    report(benchmark="lengths", machine=facts, multiple=options.multiple, megabytes=megabytes)


if __name__ == "__main__":
    main()
