"""How fast two processes with one thread each train beside one process with two threads: the same
batch of 16 windows of 256 tokens, in turn, fp32, eager.

    python benchmarks/processes.py [--rounds 8] [--steps 3] [--shape 0]

All take steps of the training loop as it is. "two by gloo" exchange gradients by DDP over gloo, as
the processes of several hosts do; "two" through memory that they share, as those of one host do.
Needs a machine with two cores and nothing else to do.
"""

import argparse
import multiprocessing
import os
import socket
import statistics
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch
from common import in_turn, machine, progress, ratio, report

from xinye.data.batches import Batch
from xinye.machine import keep_freed_memory
from xinye.model.config import Architecture, GPTConfig
from xinye.model.gpt import GPT
from xinye.native.library import THIS
from xinye.training.averaged import by_messages, together
from xinye.training.distributed import Processes, processes
from xinye.training.job import LossSum
from xinye.training.loop import Loop
from xinye.training.optimizers import Kind, Optimization, make_optimizers
from xinye.training.text_job import text_loss

SPAWN = multiprocessing.get_context("spawn")
WINDOWS, CONTEXT, CORES = 16, 256, 2
VARIANTS = {"one": 1, "two by gloo": 2, "two": 2}  # the number of processes


class Shape(NamedTuple):
    architecture: Architecture
    optimizer: Kind
    layers: int
    width: int
    intermediate: int
    vocabulary: int


# The second one is the plan of `xinye pretrain --size 5M`.
SHAPES = [Shape("gpt2", "adamw", 6, 384, 1536, 65), Shape("modern", "muon", 5, 256, 704, 4096)]


def make_loop(shape: Shape, group: Processes, by_gloo: bool) -> Loop:
    """The training loop of this process, on its share of random windows."""
    sizes = shape.width, shape.layers, shape.width // 64, shape.width // 64, 64
    config = GPTConfig(
        shape.architecture, shape.vocabulary, *sizes, shape.intermediate, CONTEXT,
        norm_eps=1e-5 if shape.architecture == "gpt2" else 1e-6,
    )  # fmt: skip
    model = GPT(config).train()
    model.initialize(0)
    torch.manual_seed(0)
    windows = torch.randint(shape.vocabulary, (WINDOWS, CONTEXT))
    first, size = group.share(0, WINDOWS)
    tokens = windows[first : first + size]
    batch = Batch(tokens, tokens.roll(-1, dims=1), None, None)
    plan = Optimization(shape.optimizer, 1e-3, 0.02, 0.1, dtype=torch.float32)
    loss_sum = LossSum(model, text_loss(model), torch.device("cpu"))
    optimizers = make_optimizers(model, plan, group)
    averaged = by_messages(loss_sum) if by_gloo else together(loss_sum, optimizers, group)
    return Loop(
        averaged, [*model.parameters()], optimizers, lambda _: [batch], lambda _: 1.0,
        processes=group,
    )  # fmt: skip


def work(pipe: Connection, variant: str, shape: Shape, where: dict[str, str]) -> None:
    """Be a process of a variant: take as many steps as asked, and tell the seconds of one; until 0
    are asked."""
    os.environ.update(where)
    THIS.get(wait=True)  # what `xinye pretrain` does when it begins
    keep_freed_memory()
    with processes() as group:
        loop = make_loop(shape, group, "gloo" in variant)
        list(loop.take(0, lambda: 2))  # warm-up
        pipe.send(0.0)
        while steps := pipe.recv():
            records = list(loop.take(0, lambda steps=steps: steps))
            pipe.send(statistics.mean(record.seconds for record in records))


def start(variant: str, shape: Shape) -> list[Connection]:
    """Start the processes of a variant; returns a pipe to each."""
    count, pipes = VARIANTS[variant], []
    os.environ["OMP_NUM_THREADS"] = str(CORES // count)
    with socket.create_server(("localhost", 0)) as free:
        port = str(free.getsockname()[1])
    for rank in map(str, range(count)):
        where = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        where |= {"RANK": rank, "LOCAL_RANK": rank}
        pipe, other = SPAWN.Pipe()
        arguments = other, variant, shape, where if count > 1 else {}
        SPAWN.Process(target=work, args=arguments).start()
        other.close()  # so that an end without an answer is noticed
        pipes.append(pipe)
    return pipes


def ask(pipes: list[Connection], steps: int) -> float:
    """The tokens per second of these processes over some steps."""
    for pipe in pipes:
        pipe.send(steps)
    return WINDOWS * CONTEXT / max(pipe.recv() for pipe in pipes)


def measure(shape: Shape, rounds: int, steps: int) -> dict[str, object]:
    teams = {variant: start(variant, shape) for variant in VARIANTS}
    for pipes in teams.values():
        for pipe in pipes:
            pipe.recv()
    speeds = in_turn({name: partial(ask, pipes, steps) for name, pipes in teams.items()}, rounds)
    for pipe in (pipe for pipes in teams.values() for pipe in pipes):
        pipe.send(0)
    return {
        name: {
            "tokens_per_second": round(statistics.median(found)),
            "to_one": ratio(found, speeds["one"]),
            "rounds": [round(each) for each in found],
        }
        for name, found in speeds.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--shape", type=int, help="only the first one, 0, or the second one, 1")
    options = parser.parse_args()
    facts, cells = machine("torch"), []
    for number, shape in enumerate(SHAPES):
        if options.shape in (None, number):
            progress(f"{shape}")
            variants = measure(shape, options.rounds, options.steps)
            cells.append({**shape._asdict(), "variants": variants})
    report(benchmark="processes", machine=facts, cells=cells)


if __name__ == "__main__":
    main()
