"""A run of Xinye beside transformers' GPT-2 with AdamW: same text, tokenizer, parameters and
minutes, in bits per byte.

    python benchmarks/same_minutes.py runs/novel

The peer trains, compiled and in bf16 where the run was, for as many seconds as the run took, on the
same windows, with a linear warm-up and a cosine to a tenth of a peak rate of 1e-3, dropout 0.1 and
decay 0.1. Both are judged on the run's whole validation split. It is meant for long documents:
where a window holds two, the peer reads them as one. Prints one JSON object last.
"""

import argparse
import json
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from common import machine
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from xinye.checkpoints.huggingface import load_model, read_json
from xinye.evaluation.perplexity import evaluate
from xinye.observer import Observer
from xinye.planning.plan import Draft
from xinye.runs.resume import saved_settings
from xinye.tasks.text import prepare_text

PEAK, WARMUP = 1e-3, 0.02


class Peer(torch.nn.Module):
    """transformers' GPT-2 behind the face that `evaluate` and the loop use."""

    def __init__(self, config: GPT2Config, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.dtype = GPT2LMHeadModel(config), dtype
        self.lm_head = self.network.lm_head

    def loss(
        self, tokens: Tensor, targets: Tensor, positions: Tensor | None, documents: Tensor | None
    ) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            logits = self.network(tokens).logits
        return F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="sum")


def peer_config(
    parameters: int, vocab_size: int, context: int, width: int, heads: int
) -> GPT2Config:
    """As wide as our model, and as deep as comes nearest to its parameters."""
    per_layer = 12 * width * width + 13 * width
    layers = max(1, round((parameters - (vocab_size + context + 2) * width) / per_layer))
    return GPT2Config(
        vocab_size=vocab_size, n_positions=context, n_embd=width, n_layer=layers, n_head=heads, bos_token_id=1,
        eos_token_id=2, resid_pdrop=0.1, embd_pdrop=0.1, attn_pdrop=0.0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    arguments = parser.parse_args()
    plan = read_json(arguments.run / "training" / "plan.json")["values"]
    result = read_json(arguments.run / "training" / "result.json")
    text = prepare_text(saved_settings(arguments.run), Draft(), Observer())
    lengths = text.tokenizer.token_lengths
    ours, _ = load_model(arguments.run)
    ours.compute_dtype = getattr(torch, plan["dtype"])
    print(f"  xinye: {result['seconds']:.0f} s of training", file=sys.stderr)
    our_figures = evaluate(ours, text.validation.in_order(8), lengths)

    torch.manual_seed(0)
    config = peer_config(
        plan["parameters"], plan["vocabulary"], plan["context"], plan["width"], plan["heads"]
    )
    peer = Peer(config, getattr(torch, plan["dtype"]))
    decayed = [p for p in peer.parameters() if p.ndim >= 2]
    rest = [p for p in peer.parameters() if p.ndim < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
        lr=PEAK,
        betas=(0.9, 0.95),
    )
    begin = time.perf_counter()
    loss = torch.compile(peer.loss) if plan["compile"] else peer.loss
    step, along = 0, 0.0
    while along < 1:
        batch = text.training.batch(step * plan["batch_size"], plan["batch_size"])
        rate = min(1.0, along / WARMUP + 0.01) * (0.1 + 0.45 * (1 + math.cos(math.pi * along)))
        for group in optimizer.param_groups:
            group["lr"] = PEAK * rate
        (
            loss(batch.tokens, batch.targets, batch.positions, batch.documents) / batch.counted
        ).backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        step += 1
        along = (time.perf_counter() - begin) / result["seconds"]
        if step % 100 == 0:
            print(f"  transformers: step {step}, {along:.0%} of the time", file=sys.stderr)
    peer_figures = evaluate(peer, text.validation.in_order(8), lengths)  # type: ignore[arg-type]
    figures = {
        "benchmark": "same_minutes",
        "seconds": result["seconds"],
        "xinye": {"parameters": plan["parameters"], "steps": result["steps"], **our_figures},
        "transformers": {
            "parameters": peer.network.num_parameters(),
            "steps": step,
            **peer_figures,
        },
        "bits_per_byte_ratio": our_figures["bits_per_byte"] / peer_figures["bits_per_byte"],
        "machine": machine("torch", "transformers"),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
