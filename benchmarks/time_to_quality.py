"""How long until a validation loss of 1.886 on Shakespeare by character, from nothing, on this
machine.

    python benchmarks/time_to_quality.py ../shared/data/tinyshakespeare/input.txt

The peer is nanoGPT's recipe for a CPU (4 layers × 128, context 64, batch 12, 2,000 steps of AdamW
with cosine decay) with transformers' GPT-2; it ends near 1.886. Both train on the first 90 % of the
text and are judged on the whole rest, in windows of 64 characters that do not overlap. The clock
runs from an untrained model to the end of that validation. Prints one JSON object last.
"""

import argparse
import json
import math
import sys
import time
from itertools import chain
from pathlib import Path

import torch
import torch.nn.functional as F
from common import machine as machine_facts
from transformers import GPT2Config, GPT2LMHeadModel

from xinye import machine
from xinye.data.batches import Batch, Windows
from xinye.data.blocks import OneBlock
from xinye.data.tokenizer import Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.kernels import product_dtype
from xinye.native.library import THIS
from xinye.training.loop import Loop
from xinye.training.optimizers import Optimization, make_optimizers
from xinye.training.schedule import Schedule

CONTEXT, TARGET = 64, 1.886


def xinye(
    tokens: torch.Tensor, held_out: torch.Tensor, tokenizer: Tokenizer, steps: int, seed: int
) -> dict[str, float]:
    sizes = tokenizer.vocab_size, 192, 2, 3, 1, 64, 192, CONTEXT + 1
    config = GPTConfig("modern", *sizes, tie_word_embeddings=False)
    device = torch.device("cpu")
    text = OneBlock(tokens.numpy(), torch.tensor([[0, len(tokens)]]).numpy())
    windows = Windows(text, CONTEXT + 1, tokenizer.bos_id, seed)
    begin = time.perf_counter()
    model = GPT(config).to(device)
    model.initialize(seed)
    # An embedding that is not the output head, too, may begin larger, and the head at zero.
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(5)
        model.lm_head.weight.zero_()
    model.compute_dtype = machine.fast_dtype(device)[0]
    optimizers = make_optimizers(
        model,
        Optimization("muon", 0.02, 0.03, 0.0, dtype=product_dtype(model.compute_dtype, device)),
    )
    for group in chain.from_iterable(each.param_groups for each in optimizers):
        # A short run wants a shorter memory of gradients, and a longer one of their sizes.
        group |= {"betas": (0.9, 0.99)} if "betas" in group else {"momentum": 0.8}
    schedule = Schedule([(0, steps)], warmup=2, decay=1.0)

    def loss_sum(batch: Batch) -> torch.Tensor:
        return model.loss(batch.tokens, batch.targets)

    loop = Loop(
        loss_sum, list(model.parameters()), optimizers, lambda step: [windows.batch(step * 24, 24)],
        schedule.rate,
    )  # fmt: skip
    for _ in loop.take(0, lambda: schedule.steps):
        pass
    with torch.no_grad():  # `<bos>` stands before each window and is no context
        loss = validate(held_out, lambda x: model(F.pad(x, (1, 0), value=tokenizer.bos_id))[:, 1:])
    return {
        "seconds": time.perf_counter() - begin,
        "loss": loss,
        "steps": steps,
        "parameters": config.parameters,
    }


def nanogpt_recipe(
    tokens: torch.Tensor, held_out: torch.Tensor, vocab_size: int, steps: int
) -> dict[str, float]:
    torch.manual_seed(1337)
    config = GPT2Config(
        vocab_size=vocab_size, n_positions=CONTEXT, n_embd=128, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )  # fmt: skip
    begin = time.perf_counter()
    model = GPT2LMHeadModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(steps):
        starts = torch.randint(len(tokens) - CONTEXT, (12,))
        x = torch.stack([tokens[i : i + CONTEXT + 1] for i in starts.tolist()])
        warm, along = min(1.0, (step + 1) / 100), max(0.0, (step - 100) / (steps - 100))
        for group in optimizer.param_groups:
            group["lr"] = warm * (1e-4 + 0.5 * (1 + math.cos(math.pi * along)) * 9e-4)
        F.cross_entropy(model(x[:, :-1]).logits.flatten(0, 1), x[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 200 == 0:
            print(
                f"  nanoGPT's recipe: step {step}, {time.perf_counter() - begin:.0f} s",
                file=sys.stderr,
            )
    with torch.no_grad():
        loss = validate(held_out, lambda x: model(x).logits)
    return {
        "seconds": time.perf_counter() - begin,
        "loss": loss,
        "steps": steps,
        "parameters": model.num_parameters(),
    }


def validate(held_out: torch.Tensor, logits_of) -> float:  # type: ignore[no-untyped-def]
    """Mean loss over all windows of CONTEXT characters, each predicting the next one at every
    place."""
    count = (len(held_out) - 1) // CONTEXT
    x = held_out[: count * CONTEXT].view(count, CONTEXT)
    y = held_out[1 : count * CONTEXT + 1].view(count, CONTEXT)
    total = 0.0
    for first in range(0, count, 64):
        logits = logits_of(x[first : first + 64]).float()
        total += float(
            F.cross_entropy(logits.flatten(0, 1), y[first : first + 64].flatten(), reduction="sum")
        )
    return total / (count * CONTEXT)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    arguments = parser.parse_args()
    THIS.get(wait=True)  # compiled once on a machine, and outside the clock
    machine.keep_freed_memory()  # as training does; the peer gains by it, too
    text = arguments.file.read_text("utf-8")
    tokenizer = Tokenizer.train([text], kind="char")
    tokens = torch.tensor(tokenizer.encode(text))
    cut = int(0.9 * len(tokens))
    training, held_out = tokens[:cut], tokens[cut:]
    ours = [
        xinye(training, held_out, tokenizer, arguments.steps, seed)
        for seed in range(arguments.seeds)
    ]
    for run in ours:
        print(f"  xinye: {run['loss']:.4f} in {run['seconds']:.1f} s", file=sys.stderr)
    result = {
        "benchmark": "time_to_quality",
        "target": TARGET,
        "xinye": ours,
        "machine": machine_facts("torch", "transformers"),
    }
    if not arguments.no_peer:
        peer = nanogpt_recipe(training, held_out, tokenizer.vocab_size, 2000)
        seconds = sorted(run["seconds"] for run in ours)[len(ours) // 2]
        result |= {"nanogpt_recipe": peer, "times_faster": round(peer["seconds"] / seconds, 2)}
    result["reached"] = all(run["loss"] <= TARGET for run in ours)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
