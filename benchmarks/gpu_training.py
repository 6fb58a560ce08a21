"""How much of a GPU training uses: tokens/s, MFU and memory on packed documents, compiled, beside
transformers' model of the same shape.

    python benchmarks/gpu_training.py [--size 350M] [--steps 20] [--peak 989] [--no-peer]
    python benchmarks/gpu_training.py --size 5M --steps 3      # a minute on a CPU, for show

A step is the training loop's: forward, backward, clipping, Muon with AdamW, zeroing the gradients.
Documents are random tokens of random lengths, packed into windows as pretraining packs them; each
step has other ones. MFU is the model's floating-point operations, attention counted over whole
windows, by the peak of the data sheet (`--peak`, in dense bf16 TFLOP/s). The peer, transformers'
Qwen3 under autocast with AdamW, reads the same tokens as if each window were one document, which is
less work for it than a mask; its operations are counted alike. Each model runs in a process of its
own, so that their memory is told apart.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from common import in_own_process, machine, peak_gigabytes, progress, report

from xinye.data.batches import Batch, Windows
from xinye.data.blocks import OneBlock
from xinye.machine import device, fast_dtype, finish, matrix_flops_per_second
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.planning.gpus import GPUS
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.text_job import text_loss

SHAPES = {  # layers, width, heads, key-value heads, context, windows, micro-batch, vocabulary
    "5M": (6, 256, 4, 2, 256, 16, 16, 6400),
    "125M": (12, 768, 12, 4, 1024, 256, 32, 50304),
    "350M": (24, 1024, 16, 8, 1024, 256, 16, 50304),
}
SHORTEST, LONGEST = 16, 2000  # tokens in a document
WARMUP = 3  # steps, in which code is compiled


class Work:
    """A model of a size, and what it reads."""

    def __init__(self, size: str) -> None:
        layers, width, heads, groups, self.context, self.windows, self.micro, vocabulary = SHAPES[
            size
        ]
        intermediate = round(width * 8 / 3 / 64) * 64
        self.config = GPTConfig(
            "modern", vocabulary, width, layers, heads, groups, 64, intermediate, self.context
        )
        self.dtype, _ = fast_dtype(device())
        chance = np.random.default_rng(0)
        ends = np.cumsum(
            np.exp(chance.uniform(np.log(SHORTEST), np.log(LONGEST), 20_000)).astype(int)
        )
        tokens = chance.integers(1, vocabulary, ends[-1], np.uint16)
        spans = np.stack((np.concatenate(([0], ends[:-1])), ends), axis=1)
        self.data = Windows(OneBlock(tokens, spans), self.context, 0)

    def batches(self, step: int) -> list[Batch]:
        return self.data.micro_batches(step * self.windows, self.windows, self.micro)


def xinye_steps(work: Work) -> Callable[[int, int], object]:
    model = GPT(work.config).train().to(device())
    model.initialize(0)
    model.compute_dtype = work.dtype
    plan = Optimization("muon", 1e-3, 0.02, 0.1, dtype=work.dtype, compiled=True)
    loss = text_loss(model, compiled=True)
    loop = Loop(
        loss, list(model.parameters()), make_optimizers(model, plan), work.batches,
        lambda step: 1.0, device=device(),
    )  # fmt: skip
    return lambda step, steps: list(loop.take(step, lambda: steps))


def peer_steps(work: Work) -> Callable[[int, int], object]:
    """The same for transformers, which shifts the labels itself."""
    import transformers

    transformers.logging.set_verbosity_error()
    config = work.config
    names = "vocab_size hidden_size num_hidden_layers num_attention_heads num_key_value_heads"
    names += " head_dim intermediate_size max_position_embeddings tie_word_embeddings"
    shape = {name: getattr(config, name) for name in names.split()}
    of_peer = transformers.Qwen3Config(
        **shape, use_cache=False, bos_token_id=None, eos_token_id=None
    )
    model = transformers.Qwen3ForCausalLM(of_peer).float().train().to(device())
    forward = torch.compile(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    kind, narrow = device().type, work.dtype == torch.bfloat16

    def take(step: int, steps: int) -> None:
        for number in range(step, steps):
            for batch in work.batches(number):
                tokens = batch.tokens.to(device())
                with torch.autocast(kind, dtype=torch.bfloat16, enabled=narrow):
                    loss = forward(tokens, labels=tokens).loss
                loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return take


def measure(name: str, size: str, steps: int) -> dict[str, Any]:
    """Tokens per second over some steps after the first ones, and the most memory."""
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    work = Work(size)
    take = {"xinye": xinye_steps, "transformers": peer_steps}[name](work)
    take(0, WARMUP)
    progress(f"  {name}: warmed up")
    finish(device())
    start = time.perf_counter()
    take(WARMUP, WARMUP + steps)
    finish(device())
    seconds = time.perf_counter() - start
    cuda = torch.cuda.is_available()
    return {
        "tokens_per_second": round(steps * work.windows * work.context / seconds),
        "peak_gigabytes": round(torch.cuda.max_memory_allocated() / 1e9, 2)
        if cuda
        else peak_gigabytes(),
    }


def peak_of(given: float | None, dtype: torch.dtype) -> tuple[float, str]:
    """Floating-point operations per second that MFU is a share of, and where the number is from."""
    if given:
        return given * 1e12, "given"
    if torch.cuda.is_available():
        name = torch.cuda.get_device_name().lower().replace(" ", "")
        others = ("pcie", "nvl")  # slower ones of the same name; give --peak
        for part, gpu in GPUS.items():
            if part in name and gpu.bfloat16 and not any(each in name for each in others):
                return gpu.bfloat16, f"data sheet of {gpu.title}, bf16, dense"
    return matrix_flops_per_second(device(), dtype), "one large product here"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    sizes = ["125M", "350M"] if torch.cuda.is_available() else ["5M"]
    parser.add_argument("--size", choices=SHAPES, help=f"default: {' and '.join(sizes)}")
    parser.add_argument("--steps", type=int, default=10, help="steps that are timed")
    parser.add_argument("--peak", type=float, metavar="TFLOPS", help="what MFU is a share of")
    parser.add_argument("--no-peer", action="store_true", help="without transformers")
    parser.add_argument("--alone", choices=["xinye", "transformers"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        report(**measure(options.alone, options.size, options.steps))
        return
    facts, cells = machine("torch", "transformers"), []
    dtype, _ = fast_dtype(device())
    peak, source = peak_of(options.peak, dtype)
    for size in [options.size] if options.size else sizes:
        progress(size)
        config = Work(size).config
        flops = config.flops_per_token(config.max_position_embeddings)
        models = {}
        for name in ["xinye"] if options.no_peer else ["xinye", "transformers"]:
            found = in_own_process("--size", size, "--steps", str(options.steps), "--alone", name)
            models[name] = found | {"mfu": round(found["tokens_per_second"] * flops / peak, 3)}
        cells.append({"size": size, "parameters": config.parameters, "models": models})
    about = {"dtype": str(dtype).removeprefix("torch."), "peak_teraflops": round(peak / 1e12, 3)}
    report(benchmark="gpu training", machine=facts, **about, peak_is=source, cells=cells)


if __name__ == "__main__":
    main()
