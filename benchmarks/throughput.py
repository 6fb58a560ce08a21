"""How fast Xinye trains beside transformers' GPT-2: same shape, batch and dtype, in turn, each side
in a process of its own, so that Xinye's settings of memory do not help its peer.

    python benchmarks/throughput.py [--quick] [--layers 12] [--keep-memory]

A step is forward, backward, clipping, the optimizer and zeroing the gradients. `of_matrix_speed`
counts the model's matrix products only, over the speed of one large product here in the same dtype
(in fp32 for bf16 on a processor without bf16 units, where Xinye multiplies in fp32).
The peer has its best: eager and compiled, with fused AdamW; with `--keep-memory` it also keeps the
memory that it frees, as Xinye does. A cell that would take this machine too long is left out, and
the report says so. Where there is a GPU, it is measured, on larger shapes.
"""

import argparse
import multiprocessing
import statistics
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
import transformers
from common import in_turn, machine, per_second, progress, ratio, report

from xinye.data.batches import Batch
from xinye.machine import device, keep_freed_memory, matrix_flops_per_second
from xinye.model.config import Architecture, GPTConfig
from xinye.model.gpt import GPT
from xinye.model.kernels import product_dtype
from xinye.native.library import THIS
from xinye.training.loop import Loop
from xinye.training.optimizers import Kind, Optimization, make_optimizers

ROUNDS = 3
LONGEST = 60  # seconds that a step may take, guessed from half of the matrix speed


class Shape(NamedTuple):
    layers: int
    width: int
    context: int
    batch: int
    vocabulary: int
    steps: int  # timed in one round


SHAPES = [Shape(6, 384, 256, 16, 65, steps=2), Shape(12, 768, 512, 4, 50304, steps=1)]
GPU_SHAPES = [Shape(12, 768, 1024, 32, 50304, steps=10), Shape(24, 1024, 1024, 16, 50304, steps=10)]


def make_config(shape: Shape, architecture: Architecture) -> GPTConfig:
    width, heads = shape.width, shape.width // 64
    intermediate = 4 * width if architecture == "gpt2" else round(width * 8 / 3 / 32) * 32
    sizes = shape.vocabulary, width, shape.layers, heads, heads, 64, intermediate, shape.context
    return GPTConfig(architecture, *sizes, norm_eps=1e-5 if architecture == "gpt2" else 1e-6)


def make_model(shape: Shape, architecture: Architecture, dtype: torch.dtype) -> GPT:
    model = GPT(make_config(shape, architecture)).train()
    model.to(device()).initialize(0)
    model.compute_dtype = dtype
    return model


def xinye_step(
    tokens: torch.Tensor, model: GPT, kind: Kind, compiled: bool
) -> Callable[[], object]:
    """A function that takes one step, with the training loop as it is."""
    optimizers = make_optimizers(
        model,
        Optimization(kind, 1e-3, 0.02, 0.1, dtype=product_dtype(model.compute_dtype, device())),
    )
    loss = torch.compile(model.loss) if compiled else model.loss
    batch = Batch(tokens, tokens.roll(-1, dims=1), None, None)

    def loss_sum(batch: Batch) -> torch.Tensor:
        return loss(batch.tokens, batch.targets, batch.positions, batch.documents)

    loop = Loop(loss_sum, list(model.parameters()), optimizers, lambda _: [batch], lambda _: 1.0)
    return lambda: list(loop.take(0, lambda: 1))


def peer_step(
    tokens: torch.Tensor, shape: Shape, dtype: torch.dtype, compiled: bool
) -> Callable[[], object]:
    """The same for transformers, which shifts the labels itself."""
    config = transformers.GPT2Config(
        vocab_size=shape.vocabulary, n_positions=shape.context, n_embd=shape.width, n_layer=shape.layers,
        n_head=shape.width // 64, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, use_cache=False,
        bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).train().to(tokens.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(model) if compiled else model

    def step() -> None:
        with torch.autocast(
            tokens.device.type, dtype=torch.bfloat16, enabled=dtype == torch.bfloat16
        ):
            loss = forward(tokens, labels=tokens).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


Steps = dict[str, Callable[[], object]]  # by the name of the variant


def peer_steps(shape: Shape, dtype: torch.dtype, keep_memory: bool) -> Steps:
    transformers.logging.set_verbosity_error()
    if keep_memory:
        keep_freed_memory()
    tokens = some_tokens(shape)
    return {
        "transformers": peer_step(tokens, shape, dtype, compiled=False),
        "transformers compiled": peer_step(tokens, shape, dtype, compiled=True),
    }


def our_steps(shape: Shape, dtype: torch.dtype, _: bool) -> Steps:
    THIS.get(wait=True)  # what `xinye pretrain` does when it begins
    keep_freed_memory()
    tokens, gpt2 = some_tokens(shape), make_model(shape, "gpt2", dtype)
    steps = {
        "xinye gpt2": xinye_step(tokens, gpt2, "adamw", compiled=False),
        "xinye gpt2 compiled": xinye_step(tokens, gpt2, "adamw", compiled=True),
    }
    if dtype == torch.bfloat16:  # for information, once for each shape
        modern = make_model(shape, "modern", dtype)
        steps["xinye modern with Muon compiled"] = xinye_step(tokens, modern, "muon", compiled=True)
    return steps


def some_tokens(shape: Shape) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randint(shape.vocabulary, (shape.batch, shape.context), device=device())


def take_steps(pipe: Connection, make: Callable[..., Steps], *about: Any) -> None:
    """In a process of its own: tell the names of the variants; then measure each that is asked for,
    until None is."""
    shape, steps = about[0], make(*about)
    for step in steps.values():
        step()  # warm-up
    pipe.send([*steps])
    while (name := pipe.recv()) is not None:
        pipe.send(per_second(steps[name], shape.steps, shape.batch * shape.context))


def measure(shape: Shape, dtype: torch.dtype, limit: float, keep_memory: bool) -> dict[str, Any]:
    about = {"dtype": str(dtype).removeprefix("torch."), **shape._asdict()}
    configs = {name: make_config(shape, name) for name in ("gpt2", "modern")}
    flops = {name: config.flops_per_token(shape.context) for name, config in configs.items()}
    seconds = 2 * shape.batch * shape.context * flops["gpt2"] / limit
    if seconds > LONGEST:
        why = f"a step would take about {seconds:,.0f} s at {limit / 1e9:,.0f} GFLOP/s"
        progress(f"  left out: {why}")
        return {**about, "left_out": why}
    spawn, runs, pipes = multiprocessing.get_context("spawn"), {}, []
    for make in (peer_steps, our_steps):
        pipe, other = spawn.Pipe()
        spawn.Process(target=take_steps, args=(other, make, shape, dtype, keep_memory)).start()
        other.close()  # so that an end without an answer is noticed
        runs |= {name: partial(ask, pipe, name) for name in pipe.recv()}
        pipes.append(pipe)
    speeds = in_turn(runs, ROUNDS)
    for pipe in pipes:
        pipe.send(None)
    rows: dict[str, dict[str, Any]] = {}
    for name, rounds in speeds.items():
        middle = statistics.median(rounds)
        share = middle * flops["modern" if "modern" in name else "gpt2"] / limit
        rows[name] = {"tokens_per_second": round(middle), "of_matrix_speed": round(share, 3)}
        rows[name] |= {
            f"to_{peer}": ratio(rounds, speeds[peer])
            for peer in speeds
            if peer.startswith("transformers")
        }
        rows[name]["rounds"] = [round(each) for each in rounds]
        progress(
            f"  {name}: {middle:,.0f} tokens/s, {rows[name]['to_transformers compiled']:.2f} × "
            f"transformers compiled, {share:.0%} of the matrix speed"
        )
    return {**about, "variants": rows}


def ask(pipe: Connection, name: str) -> float:
    pipe.send(name)
    speed: float = pipe.recv()
    return speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="only the small shape in bfloat16")
    parser.add_argument("--layers", type=int, help="only the shape with so many layers")
    parser.add_argument("--keep-memory", action="store_true", help="for the peer, too")
    options = parser.parse_args()
    facts, cells = machine("torch", "transformers"), []
    dtypes = [torch.bfloat16] if options.quick else [torch.float32, torch.bfloat16]
    limits = {
        dtype: matrix_flops_per_second(device(), product_dtype(dtype, device())) for dtype in dtypes
    }
    shapes = SHAPES if device().type == "cpu" else GPU_SHAPES
    for shape in shapes[:1] if options.quick else shapes:
        for dtype in dtypes:
            if options.layers in (None, shape.layers):
                progress(f"{shape.layers} × {shape.width}, {dtype}")
                cells.append(measure(shape, dtype, limits[dtype], options.keep_memory))
    matrix = {
        str(dtype).removeprefix("torch."): round(limit / 1e9) for dtype, limit in limits.items()
    }
    report(
        benchmark="training",
        machine=facts,
        matrix_gigaflops_per_second=matrix,
        peer_keeps_memory=options.keep_memory,
        cells=cells,
    )


if __name__ == "__main__":
    main()
